// Happens-before checking of shared memory, by vector clocks.
//
// Every warp stamps its accesses; clock[w][v] says which stamps of warp v are over for warp w. Barriers join
// clocks, and so do atomics and volatile accesses to one address (taken to be fenced). Each four-byte word remembers
// its last write and the reads since, and splits into bytes when something narrower touches it. Warps that write the
// same bytes need no order among themselves: whoever comes later is ordered after one of them to read, after all to write
// something else. Lanes of one warp are ordered by the machine itself.
// Source of the method: Flanagan and Freund, FastTrack, PLDI 2009.
#pragma once
#include "machine.h"

namespace WS_NS {
namespace {

struct Cell {
    u32 write_stamp, write_site;
    u32 read_stamp, read_site;
    u32 read_warps;  // warps that read since the last write, all at read_stamp unless read_set
    u32 read_set;    // index + 1 of stamps by warp, where readers' stamps differ
    u32 write_set;   // index + 1 of stamps by warp, where several wrote the same bytes unordered
    u32 before_stamp, before_site;  // a read of what the last ordered write replaced
    u16 write_thread, read_thread, before_thread;
    u8 atomic;       // the last write was one
    u8 split;        // the word's bytes have cells of their own
};

struct Meeting {  // what an address orders
    u64 address;
    u32 base;
    u32 clock[MAX_WARPS];
};
constexpr u32 MEETINGS = 1024;

struct Races {
    u32 now;   // stamps given out
    u32 base;  // stamps up to here belong to earlier blocks
    u32 stamp[MAX_WARPS];
    u32 floor[MAX_WARPS];  // least of clock[w][v], v != w
    u32 clock[MAX_WARPS][MAX_WARPS];
    u32 arrivals[MAX_BARRIERS][MAX_WARPS];
    u32 warps;
    u32 words_count;
    Cell* words;
    Cell* bytes;
    u32 (*sets)[MAX_WARPS];
    u32 set_count, set_capacity;
    u32 free_set;  // index + 1 of the first unused one; its first element names the next
    Meeting* meetings;
};

static void set_floor(Races* r, u32 w) {
    u32 least = ALL;
    for (u32 v = 0; v < r->warps; v++)
        if (v != w && r->clock[w][v] < least) least = r->clock[w][v];
    r->floor[w] = least;
}

static void races_begin(Races* r, u32 warps) {
    r->base = r->now++;
    r->warps = warps;
    r->set_count = r->free_set = 0;
    for (u32 w = 0; w < warps; w++) {
        r->stamp[w] = r->now;
        for (u32 v = 0; v < warps; v++) r->clock[w][v] = r->now;
        r->floor[w] = r->now;
    }
    memset(r->arrivals, 0, sizeof r->arrivals);
}

static bool races_prepare(Races* r, u32 shared_bytes) {
    r->words_count = shared_bytes / 4 + 1;
    r->words = static_cast<Cell*>(calloc(r->words_count, sizeof(Cell)));
    r->meetings = static_cast<Meeting*>(calloc(MEETINGS, sizeof(Meeting)));
    return r->words && r->meetings;
}

static void races_free(Races* r) {
    free(r->words);
    free(r->bytes);
    free(r->sets);
    free(r->meetings);
}

static void publish(Races* r, u32 w, u32* clock) {
    for (u32 v = 0; v < r->warps; v++) clock[v] = r->clock[w][v] > clock[v] ? r->clock[w][v] : clock[v];
    if (r->stamp[w] + 1 > clock[w]) clock[w] = r->stamp[w] + 1;
}

static void acquire(Races* r, u32 w, const u32* clock) {
    for (u32 v = 0; v < r->warps; v++) r->clock[w][v] = clock[v] > r->clock[w][v] ? clock[v] : r->clock[w][v];
    set_floor(r, w);
}

static void races_arrive(Races* r, u32 barrier, u32 w) {
    publish(r, w, r->arrivals[barrier]);
    r->stamp[w] = ++r->now;
}

static void races_release(Races* r, u32 barrier, u32 warps) {
    r->now++;
    for (u32 m = warps; m; m &= m - 1) {
        u32 w = first_lane(m);
        acquire(r, w, r->arrivals[barrier]);
        r->stamp[w] = r->now;
    }
    memset(r->arrivals[barrier], 0, sizeof r->arrivals[barrier]);
}

// An atomic or volatile access: everything before earlier ones to this address happened before it.
static void races_meet(Races* r, u32 w, u64 address) {
    u32 slot = u32((address * 0x9E3779B97F4A7C15ull) >> 54) % MEETINGS;
    for (u32 probe = 0; probe < MEETINGS; probe++, slot = (slot + 1) % MEETINGS) {
        Meeting& meeting = r->meetings[slot];
        if (meeting.base != r->base + 1) {
            memset(&meeting, 0, sizeof meeting);
            meeting.address = address;
            meeting.base = r->base + 1;
        }
        if (meeting.address != address) continue;
        acquire(r, w, meeting.clock);
        publish(r, w, meeting.clock);
        r->stamp[w] = ++r->now;
        return;
    }
}

// Writes the bytes that a lane's store will write.
using StoredBytes = void (*)(Warp*, const Operation*, u32 lane, u8*);

struct Toucher {
    Races* races;
    u32 warp, thread, site;
    bool atomic;
    Warp* running;
    const Operation* op;
    StoredBytes stored;  // null: nobody can tell, or `bytes` holds them
    const u8* bytes;
    u32 start;           // of the lane's access
};

// Whether the write leaves [at, at + size) of shared memory as it is.
WS_COLD bool writes_the_same(const Toucher& t, u32 at, u32 size) {
    u8 bytes[16];
    if (!t.bytes && !t.stored) return false;
    if (!t.bytes) t.stored(t.running, t.op, t.thread % LANES, bytes);
    return !memcmp(t.running->worker->shared + at, (t.bytes ? t.bytes : bytes) + (at - t.start), size);
}

WS_INLINE bool over(const Races* r, u32 w, u32 v, u32 stamp) { return v == w || stamp < r->clock[w][v]; }

WS_INLINE u32 stamp_of_reader(const Races* r, const Cell& cell, u32 v) {
    return cell.read_set ? r->sets[cell.read_set - 1][v] : cell.read_stamp;
}

// Null, or the kind of fault; `other` gets the access it collides with.
struct Collision {
    WsFaultKind kind;
    u32 site, thread;
};

// Whether one (for a read) or all (for a write) of the cell's unordered writers are over for the toucher.
WS_COLD bool over_for(const Toucher& t, const Cell& cell, bool all) {
    const u32* stamps = t.races->sets[cell.write_set - 1];
    for (u32 v = 0; v < t.races->warps; v++)
        if (stamps[v] && over(t.races, t.warp, v, stamps[v]) != all) return !all;
    return all;
}

WS_INLINE bool collides_with_write(const Toucher& t, const Cell& cell, bool write, Collision& found) {
    if (cell.write_stamp <= t.races->base || (t.atomic && cell.atomic)) return false;
    bool last = over(t.races, t.warp, cell.write_thread / LANES, cell.write_stamp);
    if (__builtin_expect(!cell.write_set, 1) ? last : over_for(t, cell, write)) return false;
    found = {WS_RACE, cell.write_site, cell.write_thread};
    return true;
}

static u32 new_set(Races* r) {
    u32 set = r->free_set;
    if (set) {
        r->free_set = r->sets[set - 1][0];
        memset(r->sets[set - 1], 0, sizeof r->sets[0]);
        return set;
    }
    if (r->set_count == r->set_capacity) {
        u32 capacity = r->set_capacity ? 2 * r->set_capacity : 256;
        void* grown = realloc(r->sets, size_t(capacity) * sizeof *r->sets);
        if (!grown) abort();
        r->sets = static_cast<u32(*)[MAX_WARPS]>(grown);
        r->set_capacity = capacity;
    }
    memset(r->sets[r->set_count], 0, sizeof r->sets[0]);
    return ++r->set_count;
}

static void drop_write_set(Races* r, Cell& cell) {
    r->sets[cell.write_set - 1][0] = r->free_set;
    r->free_set = cell.write_set;
    cell.write_set = 0;
}

// A write of what is there already, unordered with the one before: benign, unless somebody may still be reading what
// was there before both.
WS_COLD bool join_writers(const Toucher& t, Cell& cell, Collision& found) {
    Races* r = t.races;
    if (cell.before_stamp > r->base && !over(r, t.warp, cell.before_thread / LANES, cell.before_stamp)) {
        found = {WS_RACE, cell.before_site, cell.before_thread};
        return false;
    }
    if (!cell.write_set) {
        u32 set = new_set(r);
        r->sets[set - 1][cell.write_thread / LANES] = cell.write_stamp;
        cell.write_set = set;
    }
    r->sets[cell.write_set - 1][t.warp] = r->stamp[t.warp];
    cell.write_stamp = r->stamp[t.warp];
    cell.write_site = t.site;
    cell.write_thread = u16(t.thread);
    cell.atomic = 0;
    return true;
}

static void remember_read_again(const Toucher& t, Cell& cell) {
    Races* r = t.races;
    u32 bit = 1u << t.warp, stamp = r->stamp[t.warp];
    bool stale = cell.read_stamp <= r->base || !cell.read_warps;
    if (!stale && !cell.read_set && cell.read_stamp == stamp) {
        cell.read_warps |= bit;
    } else {
        bool replaces = true;
        for (u32 m = stale ? 0 : cell.read_warps; m && replaces; m &= m - 1) {
            u32 v = first_lane(m);
            replaces = over(r, t.warp, v, stamp_of_reader(r, cell, v));
        }
        if (replaces) {
            cell.read_warps = bit;
            cell.read_set = 0;
        } else {
            if (!cell.read_set) {
                u32 set = new_set(r);
                for (u32 m = cell.read_warps; m; m &= m - 1) r->sets[set - 1][first_lane(m)] = cell.read_stamp;
                cell.read_set = set;
            }
            r->sets[cell.read_set - 1][t.warp] = stamp;
            cell.read_warps |= bit;
        }
        cell.read_stamp = stamp;
    }
    cell.read_site = t.site;
    cell.read_thread = u16(t.thread);
}

WS_INLINE void remember_read(const Toucher& t, Cell& cell) {
    // The usual case: warps read what a barrier made visible to all of them.
    if (__builtin_expect(cell.read_stamp == t.races->stamp[t.warp] && cell.read_warps && !cell.read_set, 1)) {
        cell.read_warps |= 1u << t.warp;
        cell.read_site = t.site;
        cell.read_thread = u16(t.thread);
        return;
    }
    remember_read_again(t, cell);
}

WS_INLINE bool touch_read(const Toucher& t, Cell& cell, Collision& found) {
    if (cell.write_stamp <= t.races->base) {
        remember_read(t, cell);
        found = {WS_UNINITIALISED, t.site, t.thread};
        return false;
    }
    if (collides_with_write(t, cell, false, found)) return false;
    remember_read(t, cell);
    return true;
}

// `at`, `size`: the bytes of the cell.
WS_INLINE bool touch_write(const Toucher& t, Cell& cell, u32 at, u32 size, Collision& found) {
    Races* r = t.races;
    if (__builtin_expect(collides_with_write(t, cell, true, found), 0))
        return writes_the_same(t, at, size) && join_writers(t, cell, found);
    if (__builtin_expect(cell.write_set != 0, 0)) {
        if (cell.write_stamp > r->base) drop_write_set(r, cell);
        cell.write_set = 0;
    }
    bool read = cell.read_warps && cell.read_stamp > r->base;
    if (read && (cell.read_set || cell.read_stamp >= r->floor[t.warp]))
        for (u32 m = cell.read_warps; m; m &= m - 1) {
            u32 v = first_lane(m);
            if (over(r, t.warp, v, stamp_of_reader(r, cell, v))) continue;
            u32 thread = cell.read_thread / LANES == v ? cell.read_thread : v * LANES;
            found = {WS_RACE, cell.read_site, thread};
            return false;
        }
    if (read) {
        cell.before_stamp = cell.read_stamp;
        cell.before_site = cell.read_site;
        cell.before_thread = cell.read_thread;
    } else if (cell.write_stamp != r->stamp[t.warp] || cell.write_thread / LANES != t.warp) {
        // Other lanes' writes by the same instruction keep it.
        cell.before_stamp = 0;
    }
    cell.write_stamp = r->stamp[t.warp];
    cell.write_site = t.site;
    cell.write_thread = u16(t.thread);
    cell.atomic = t.atomic;
    cell.read_warps = cell.read_set = 0;
    cell.read_stamp = 0;
    return true;
}

static Cell* split_word(Races* r, u32 word) {
    if (!r->bytes) r->bytes = static_cast<Cell*>(calloc(size_t(r->words_count) * 4, sizeof(Cell)));
    if (!r->bytes) abort();
    Cell* bytes = r->bytes + size_t(word) * 4;
    Cell& cell = r->words[word];
    if (!cell.split) {
        for (u32 i = 0; i < 4; i++) bytes[i] = cell;
        for (u32 i = 1; i < 4 && cell.write_set && cell.write_stamp > r->base; i++) {
            bytes[i].write_set = new_set(r);
            memcpy(r->sets[bytes[i].write_set - 1], r->sets[cell.write_set - 1], sizeof r->sets[0]);
        }
        cell.split = 1;
    }
    return bytes;
}

WS_INLINE bool touch_cell(const Toucher& t, Cell& cell, bool write, u32 at, u32 size, Collision& found) {
    return write ? touch_write(t, cell, at, size, found) : touch_read(t, cell, found);
}

// One lane's access to [address, address + size) of shared memory, which is in bounds.
WS_INLINE bool touch(const Toucher& t, u32 address, u32 size, bool write, Collision& found) {
    Races* r = t.races;
    bool clean = true;
    for (u32 at = address, end = address + size; at < end;) {
        u32 word = at / 4, from = at % 4, to = end - at + from < 4 ? end - at + from : 4;
        Cell& cell = r->words[word];
        bool whole = from == 0 && to == 4;
        if (whole && !cell.split) {
            if (!touch_cell(t, cell, write, at, 4, found)) clean = false;
        } else {
            Cell* bytes = split_word(r, word);
            for (u32 i = from; i < to; i++)
                if (!touch_cell(t, bytes[i], write, word * 4 + i, 1, found)) clean = false;
            u32 sets = bytes[0].write_set | bytes[1].write_set | bytes[2].write_set | bytes[3].write_set;
            if (whole && write && !sets) cell = bytes[0];
        }
        if (!clean && found.kind == WS_RACE) return false;
        at = (word + 1) * 4;
    }
    return clean;
}

// Tells whether the collision ends the launch. A read of shared memory that nobody wrote waits for the block's end
// (settle): it is a race where a write follows that it is not ordered with.
WS_COLD bool collide(Warp* w, const Operation* op, u32 lane, const Collision& found, u32 address, u32 size) {
    Worker* k = w->worker;
    bool waits = found.kind == WS_UNINITIALISED;
    WsFault& fault = waits ? k->unread : k->fault;
    if (fault.kind == WS_NO_FAULT) {
        fault = fault_of(w, op, found.kind, lane);
        fault.other_site = found.site;
        fault.other_thread = found.thread;
        fault.space = WS_SHARED;
        fault.address = address;
        fault.size = size;
    }
    if (!waits) w->status = Status::FAULTED;
    return !waits;
}

// At a block's end: what ran on values that nobody wrote proves nothing else, except that it raced.
static void settle(Worker* k) {
    if (k->unread.kind && k->fault.kind != WS_RACE) k->fault = k->unread;
    k->unread.kind = WS_NO_FAULT;
}

}  // namespace
}  // namespace WS_NS
