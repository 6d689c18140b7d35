// Happens-before checking of shared memory, by the clocks of order.h.
//
// Each four-byte word remembers its last write and the reads since, and splits into bytes when something narrower
// touches it. Threads that write the same bytes need no order among themselves: whoever comes later is ordered after
// one of them to read, after all to write something else. Lanes of a warp are threads like any others: only a meeting
// (bar.warp.sync or a barrier of the block) orders them, not that the machine runs them together.
#pragma once
#include "cells.h"

namespace WS_NS {
namespace {

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
    bool issues;         // an asynchronous copy begins: what it overwrites is gone, what it brings not there yet
    bool object;         // an operation on an mbarrier, which only begins and ends of its life need order with
};

// Fills what `other` stores at [at, at + size), if it is a lower lane whose part of the same instruction covers that: it is
// checked already, and not made yet.
WS_COLD bool stored_beside(Warp* w, const Operation* op, StoredBytes stored, u64 at, u32 size, u32 thread, u32 other,
                           u8* theirs) {
    const Worker* k = w->worker;
    u32 lane = other % LANES;
    if (thread / LANES != other / LANES || other >= thread || !(w->active >> lane & 1)) return false;
    u64 start = k->storing_from + (k->storing_shared ? k->storing_shared[lane] : k->storing[lane]);
    if (k->storing_shared) start = u32(start);
    if (at < start || at + size > start + k->storing_bytes) return false;
    u8 bytes[16] = {};
    stored(w, op, lane, bytes);
    memcpy(theirs, bytes + (at - start), size);
    return true;
}

// Whether the store of `thread`, from `start` on, leaves [at, at + size), which holds `memory`, as `other` made or makes it.
WS_COLD bool stores_alike(Warp* w, const Operation* op, StoredBytes stored, const u8* memory, u64 at, u64 start, u32 size,
                          u32 thread, u32 other) {
    u8 mine[16] = {}, theirs[16];
    stored(w, op, thread % LANES, mine);
    bool beside = stored_beside(w, op, stored, at, size, thread, other, theirs);
    return !memcmp(beside ? theirs : memory, mine + (at - start), size);
}

// Whether the write leaves [at, at + size) of shared memory as `other` made it.
WS_COLD bool writes_the_same(const Toucher& t, u32 at, u32 size, u32 other) {
    const u8* memory = t.running->worker->shared + at;
    if (t.bytes) return !memcmp(memory, t.bytes + (at - t.start), size);
    return t.stored && stores_alike(t.running, t.op, t.stored, memory, at, t.start, size, t.thread, other);
}

// Null, or the kind of fault; `other` gets the access it collides with.
struct Collision {
    WsFaultKind kind;
    u32 site, thread;
};

// Whether what all lanes, or any, of warp v in the set did is over for the toucher.
WS_COLD bool members_over(const Toucher& t, const ByWarp& set, u32 v, bool all) {
    Races* r = t.races;
    Worker* k = t.running->worker;
    if (!set.each || set.stamps[v] < r->clock[t.warp][v])
        return lanes_over(k, r, t.thread, v, set.stamps[v], set.lanes[v], all);
    const u32* stamps = r->each[set.each - 1].stamps[v];
    for (u32 m = set.lanes[v]; m; m &= m - 1)
        if (over(k, r, t.thread, v * LANES + first_lane(m), stamps[first_lane(m)]) != all) return !all;
    return all;
}

// Whether one (for a read) or all (for a write) of the cell's unordered writers are over for the toucher.
WS_COLD bool writers_over(const Toucher& t, const Cell& cell, bool all) {
    Races* r = t.races;
    Worker* k = t.running->worker;
    if (!cell.write_set) {
        u32 own = cell.write_thread / LANES == t.warp ? 1u << t.thread % LANES : 0;
        // What several lanes wrote alike is there for each of them.
        if (!all && cell.write_lanes & own) return true;
        return lanes_over(k, r, t.thread, cell.write_thread / LANES, cell.write_stamp, cell.write_lanes, all);
    }
    const ByWarp& set = r->sets[cell.write_set - 1];
    for (u32 v = 0; v < r->warps; v++)
        if (set.stamps[v] && members_over(t, set, v, all) != all) return !all;
    return all;
}

WS_INLINE bool collides_with_write(const Toucher& t, const Cell& cell, bool write, Collision& found) {
    if (cell.write_stamp <= t.races->base) return false;
    if (t.atomic && cell.atomic) {
        if (write || !trusts_lockstep(t.running->worker, t.op, t.thread, cell.write_thread, cell.write_stamp)) return false;
        found = {WS_RACE, cell.write_site, cell.write_thread};
        return true;
    }
    bool before = cell.write_stamp < t.races->clock[t.warp][cell.write_thread / LANES];
    if (__builtin_expect(before && !cell.write_set, 1)) return false;
    if (cell.write_thread == t.thread && cell.write_lanes == 1u << t.thread % LANES && !cell.write_set) return false;
    if (writers_over(t, cell, write || cell.atomic)) return false;
    found = {WS_RACE, cell.write_site, cell.write_thread};
    return true;
}

// The toucher joins the set, and what its warp's lanes did that it is not ordered after stays with it.
static u32 join_set(const Toucher& t, ByWarp& set) {
    Races* r = t.races;
    u32 stamp = r->stamp[t.warp], before = set.stamps[t.warp], lanes = set.lanes[t.warp];
    // Those that have met the toucher's lanes since are over; the others stay, over or not: to ask of each is too dear.
    if (before < r->clock[t.warp][t.warp]) lanes = 0;
    if (lanes && before != stamp && !set.each) {
        set.each = new_each(r);
        for (u32 v = 0; v < r->warps; v++)
            for (u32 i = 0; i < LANES; i++) r->each[set.each - 1].stamps[v][i] = set.stamps[v];
    }
    if (set.each) r->each[set.each - 1].stamps[t.warp][t.thread % LANES] = stamp;
    set.stamps[t.warp] = stamp;
    return set.lanes[t.warp] = lanes | 1u << t.thread % LANES;
}

// One more write that is not ordered with those before.
WS_COLD void add_writer(const Toucher& t, Cell& cell) {
    Races* r = t.races;
    u32 v = cell.write_thread / LANES;
    bool again = v == t.warp && cell.write_stamp == r->stamp[t.warp];
    if (!cell.write_set && !again) {
        u32 set = new_set(r);
        r->sets[set - 1].stamps[v] = cell.write_stamp;
        r->sets[set - 1].lanes[v] = cell.write_lanes;
        cell.write_set = set;
    }
    cell.write_lanes = cell.write_set ? join_set(t, r->sets[cell.write_set - 1])
                                      : cell.write_lanes | 1u << t.thread % LANES;
    cell.write_stamp = r->stamp[t.warp];
    cell.write_site = t.site;
    cell.write_thread = u16(t.thread);
    cell.atomic = 0;
}

// Whether the reads of warp v are over for the toucher.
WS_INLINE bool reader_over(const Toucher& t, const Readers& read, u32 v) {
    const Races* r = t.races;
    if (read.set) return members_over(t, r->sets[read.set - 1], v, true);
    return lanes_over(t.running->worker, r, t.thread, v, read.stamp, lanes_of_reader(r, read, v), true);
}

// Whether one of the reads is not over for the toucher, who writes; two strong accesses need no order.
WS_INLINE bool still_reading(const Toucher& t, const Readers& readers, Collision& found) {
    const Races* r = t.races;
    if (!readers.warps || readers.stamp <= r->base || (t.atomic && !readers.weak)) return false;
    if (!readers.set && readers.stamp < r->floor[t.warp]) return false;
    for (u32 m = readers.warps; m; m &= m - 1) {
        u32 v = first_lane(m);
        if (reader_over(t, readers, v)) continue;
        for (u32 q = lanes_of_reader(r, readers, v); q; q &= q - 1) {
            u32 other = v * LANES + first_lane(q);
            if (!over(t.running->worker, r, t.thread, other, stamp_of_reader(r, readers, other)))
                found = {WS_RACE, readers.site, other};
        }
        return true;
    }
    return false;
}

// A write of what is there already, unordered with the one before: benign, unless somebody may still be reading what
// was there before both.
WS_COLD bool join_writers(const Toucher& t, Cell& cell, Collision& found) {
    if (still_reading(t, cell.before, found)) return false;
    add_writer(t, cell);
    return true;
}

static bool readers_over(const Toucher& t, const Readers& read) {
    for (u32 m = read.warps; m; m &= m - 1)
        if (!reader_over(t, read, first_lane(m))) return false;
    return true;
}

WS_COLD void remember_read_again(const Toucher& t, Readers& read) {
    Races* r = t.races;
    u32 bit = 1u << t.warp, stamp = r->stamp[t.warp], lane = 1u << t.thread % LANES;
    bool stale = read.stamp <= r->base || !read.warps;
    bool again = !stale && read.set && r->sets[read.set - 1].stamps[t.warp] == stamp;
    if (stale || (!again && !t.object && readers_over(t, read))) {
        drop_set(r, read.set, read.stamp);
        read = {stamp, t.site, bit, 0, lane, 0, u16(t.thread), u8(!t.atomic)};
        return;
    }
    if (!read.set) spread(r, read);
    read.lanes = join_set(t, r->sets[read.set - 1]);
    read.warps |= bit;
    read.weak |= !t.atomic;
    read.stamp = stamp;
    read.site = t.site;
    read.thread = u16(t.thread);
}

WS_INLINE void remember_read(const Toucher& t, Readers& read) {
    // The usual case: warps read what a barrier made visible to all of them, each with the same lanes.
    if (__builtin_expect(read.stamp == t.races->stamp[t.warp] && read.warps && !read.set, 1)) {
        u32 last = read.thread / LANES, lanes = read.lanes;
        if (last != t.warp) {
            if (read.warps & ~(1u << last) && read.others != lanes) return remember_read_again(t, read);
            read.others = lanes;
            if (!(read.warps >> t.warp & 1)) lanes = 0;
        }
        read.warps |= 1u << t.warp;
        read.lanes = lanes | 1u << t.thread % LANES;
        read.weak |= !t.atomic;
        read.site = t.site;
        read.thread = u16(t.thread);
        return;
    }
    remember_read_again(t, read);
}

WS_INLINE bool touch_read(const Toucher& t, Cell& cell, u32 at, Collision& found) {
    if (cell.write_stamp <= t.races->base) {
        remember_read(t, cell.read);
        if (known_written(t.races->epoch, at / 4)) return true;
        found = {WS_UNINITIALISED, t.site, t.thread};
        return false;
    }
    if (collides_with_write(t, cell, false, found)) return false;
    remember_read(t, cell.read);
    return true;
}

// `at`, `size`: the bytes of the cell.
WS_INLINE bool touch_write(const Toucher& t, Cell& cell, u32 at, u32 size, Collision& found) {
    Races* r = t.races;
    if (__builtin_expect(collides_with_write(t, cell, true, found), 0))
        return writes_the_same(t, at, size, found.thread) && join_writers(t, cell, found);
    if (t.atomic && cell.atomic && cell.write_stamp > r->base && !writers_over(t, cell, true)) {
        add_writer(t, cell);
        cell.atomic = 1;
        return !still_reading(t, cell.read, found) && !still_reading(t, cell.before, found);
    }
    if (__builtin_expect(cell.write_set != 0, 0)) drop_set(r, cell.write_set, cell.write_stamp);
    if (still_reading(t, cell.read, found)) return false;
    // Who read a value came after its writer, and so after who read the value before that.
    if (cell.read.warps && cell.read.stamp > r->base) {
        if (__builtin_expect(cell.before.set != 0, 0)) drop_set(r, cell.before.set, cell.before.stamp);
        cell.before = cell.read;
    }
    // The thread's own plain store, which others are as little ordered with as with its atomic behind it.
    bool plain = !cell.atomic && cell.write_stamp == r->stamp[t.warp] && cell.write_thread == t.thread;
    cell.write_stamp = r->stamp[t.warp];
    cell.write_site = t.site;
    cell.write_thread = u16(t.thread);
    cell.write_lanes = 1u << t.thread % LANES;
    cell.atomic = t.atomic && !plain;
    cell.read = {};
    if (t.issues) cell.write_stamp = 0;
    return true;
}

static Cell* split_word(Races* r, u32 word) {
    if (!r->bytes) r->bytes = static_cast<Cell*>(calloc(size_t(r->words_count) * 4, sizeof(Cell)));
    if (!r->bytes) abort();
    Cell* bytes = r->bytes + size_t(word) * 4;
    Cell& cell = r->words[word];
    if (!cell.split) {
        for (u32 i = 0; i < 4; i++) bytes[i] = cell;
        for (u32 i = 1; i < 4; i++) {
            copy_set(r, bytes[i].write_set, cell.write_stamp);
            copy_set(r, bytes[i].read.set, cell.read.stamp);
            copy_set(r, bytes[i].before.set, cell.before.stamp);
        }
        cell.split = 1;
    }
    return bytes;
}

// What the tags know of a copy that has begun goes into the history.
WS_COLD void note_flight(Races* r, u32 word) {
    r->epoch.tags[word] = 0;
    r->words[word].write_stamp = 0;
    for (u32 i = 0; i < 4 && r->words[word].split; i++) r->bytes[size_t(word) * 4 + i].write_stamp = 0;
}

WS_INLINE bool touch_cell(const Toucher& t, Cell& cell, bool write, u32 at, u32 size, Collision& found) {
    return write ? touch_write(t, cell, at, size, found) : touch_read(t, cell, at, found);
}

// One lane's access to [address, address + size) of shared memory, which is in bounds.
WS_INLINE bool touch(const Toucher& t, u32 address, u32 size, bool write, Collision& found) {
    Races* r = t.races;
    if (__builtin_expect(r->epoch.calm, 0)) tell(t.running->worker);
    r->epoch.touched |= 1u << t.warp;
    bool clean = true;
    for (u32 at = address, end = address + size; at < end;) {
        u32 word = at / 4, from = at % 4, to = end - at + from < 4 ? end - at + from : 4;
        if (__builtin_expect(in_flight(r->epoch, word), 0)) note_flight(r, word);
        if (__builtin_expect(t.issues, 0)) r->epoch.tags[word] = 0;
        Cell& cell = r->words[word];
        bool whole = from == 0 && to == 4;
        if (whole && !cell.split) {
            if (!touch_cell(t, cell, write, at, 4, found)) clean = false;
        } else {
            Cell* bytes = split_word(r, word);
            for (u32 i = from; i < to; i++)
                if (!touch_cell(t, bytes[i], write, word * 4 + i, 1, found)) clean = false;
            u32 sets = 0;
            for (u32 i = 0; i < 4; i++) sets |= bytes[i].write_set | bytes[i].read.set | bytes[i].before.set;
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
        for (u32 word = address / 4; waits && word <= (address + size - 1) / 4; word++)
            if (k->races->flights[word]) fault.detail = WS_STILL_IN_FLIGHT;
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
