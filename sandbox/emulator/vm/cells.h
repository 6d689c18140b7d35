// What the race checker remembers of shared memory: of each word, who wrote it last and who has read it since.
//
// Accesses of one warp at one stamp, or of several warps by the same lanes each, stand in the cell itself; what is
// more mixed has a ByWarp of its own until the block ends or the cell forgets it.
#pragma once
#include "strong.h"

namespace WS_NS {
namespace {

// Reads that no write lies between.
struct Readers {
    u32 stamp, site;  // of the last
    u32 warps;        // all at `stamp` unless `set`
    u32 set;          // index + 1 of a ByWarp, where stamps differ, or the lanes of more than two warps
    u32 lanes;        // of the last reader's warp
    u32 others;       // the same of each of the other warps
    u16 thread;       // the last
    u8 weak;          // one was neither volatile nor atomic
};

struct Cell {
    u32 write_stamp, write_site;
    u32 write_set;    // index + 1 of a ByWarp, where several wrote the same bytes unordered
    u32 write_lanes;  // of the last writer's warp, at its stamp
    Readers read;     // since the last write
    Readers before;   // those whose value the last ordered writes replaced
    u16 write_thread;
    u8 atomic;        // the last write was one
    u8 split;         // the word's bytes have cells of their own
};

// Accesses that are not ordered among each other: each warp's last stamp, and its lanes.
struct ByWarp {
    u32 stamps[MAX_WARPS], lanes[MAX_WARPS];
    u32 each;  // index + 1 of an EachLane, where lanes of one warp have different stamps
};

struct EachLane {
    u32 stamps[MAX_WARPS][LANES];
};

struct Races : Order {
    u32 words_count;
    Cell* words;
    Cell* bytes;
    u16* flights;  // by word: asynchronous copies that have begun to write it and not ended
    ByWarp* sets;
    u32 set_count, set_capacity;
    u32 free_set;  // index + 1 of the first unused one; its first stamp names the next
    EachLane* each;
    u32 each_count, each_capacity, free_each;  // the same
};

static void races_begin(Races* r, u32 warps) {
    // Stamps grow from block to block, so that nothing need be cleared before they have all been given out.
    if (r->now > 0xC0000000u) {
        memset(r->words, 0, r->words_count * sizeof(Cell));
        if (r->bytes) memset(r->bytes, 0, size_t(r->words_count) * 4 * sizeof(Cell));
        r->now = 0;
    }
    order_begin(r, warps);
    epoch_begin_block(r->epoch, r->words_count);
    r->set_count = r->free_set = r->each_count = r->free_each = 0;
}

static bool races_prepare(Races* r, u32 shared_bytes) {
    r->words_count = shared_bytes / 4 + 1;
    r->words = static_cast<Cell*>(calloc(r->words_count, sizeof(Cell)));
    r->flights = static_cast<u16*>(calloc(r->words_count, sizeof(u16)));
    return r->words && r->flights && epoch_prepare(r->epoch, r->words_count);
}

static void races_free(Races* r) {
    free(r->words);
    free(r->bytes);
    free(r->flights);
    free(r->sets);
    free(r->each);
    free(r->lanes);
    epoch_free(r->epoch);
}

static u32 stamp_of_reader(const Races* r, const Readers& readers, u32 thread) {
    if (!readers.set) return readers.stamp;
    const ByWarp& set = r->sets[readers.set - 1];
    return set.each ? r->each[set.each - 1].stamps[thread / LANES][thread % LANES] : set.stamps[thread / LANES];
}

WS_INLINE u32 lanes_of_reader(const Races* r, const Readers& readers, u32 v) {
    if (readers.set) return r->sets[readers.set - 1].lanes[v];
    return v == readers.thread / LANES ? readers.lanes : readers.others;
}

static u32 new_set(Races* r) {
    u32 set = r->free_set;
    if (set) {
        r->free_set = r->sets[set - 1].stamps[0];
        r->sets[set - 1] = {};
        return set;
    }
    if (r->set_count == r->set_capacity) {
        u32 capacity = r->set_capacity ? 2 * r->set_capacity : 256;
        void* grown = realloc(r->sets, size_t(capacity) * sizeof *r->sets);
        if (!grown) abort();
        r->sets = static_cast<ByWarp*>(grown);
        r->set_capacity = capacity;
    }
    r->sets[r->set_count] = {};
    return ++r->set_count;
}

static u32 new_each(Races* r) {
    u32 each = r->free_each;
    if (each) {
        r->free_each = r->each[each - 1].stamps[0][0];
        return each;
    }
    if (!room_for_one(r->each, r->each_count, r->each_capacity)) abort();
    return ++r->each_count;
}

// `newest`: the last stamp of the set's owner; sets of earlier blocks are gone already.
static void drop_set(Races* r, u32& set, u32 newest) {
    if (set && newest > r->base) {
        if (u32 each = r->sets[set - 1].each) {
            r->each[each - 1].stamps[0][0] = r->free_each;
            r->free_each = each;
        }
        r->sets[set - 1].stamps[0] = r->free_set;
        r->free_set = set;
    }
    set = 0;
}

static void copy_set(Races* r, u32& set, u32 newest) {
    if (!set || newest <= r->base) return;
    u32 copy = new_set(r);
    r->sets[copy - 1] = r->sets[set - 1];
    if (u32 from = r->sets[set - 1].each) {
        u32 each = r->sets[copy - 1].each = new_each(r);
        r->each[each - 1] = r->each[from - 1];
    }
    set = copy;
}

static void spread(Races* r, Readers& read) {
    u32 index = new_set(r);
    ByWarp& set = r->sets[index - 1];
    for (u32 m = read.warps; m; m &= m - 1) {
        set.stamps[first_lane(m)] = read.stamp;
        set.lanes[first_lane(m)] = lanes_of_reader(r, read, first_lane(m));
    }
    read.set = index;
}

}  // namespace
}  // namespace WS_NS
