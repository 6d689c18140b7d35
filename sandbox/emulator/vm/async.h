// cp.async: copies from global to shared memory that arrive when a wait asks for them, and not before.
//
// Arriving at the last moment the ISA allows shows a missing wait: the reader finds what was there before.
#pragma once
#include "loads.h"

namespace WS_NS {
namespace {

struct Copy {
    const Operation* op;
    u32 mask;                // lanes whose copy is still to come
    u32 group[LANES];        // the group it was committed to
    u32 to[LANES];           // offset in shared memory
    const u8* from[LANES];
    u64 address[LANES];      // the same on the device
    u8 size[LANES];          // bytes that are read; the rest is zero
    bool tracked;            // no copy, but the arrival at the mbarrier at `to` once those before it are complete
};

struct Copies {
    Copy* queue;
    u32 count, capacity;
    u32 groups[LANES];  // groups committed by each lane
};

static Copy* next_copy(Copies* copies) {
    if (copies->count == copies->capacity) {
        u32 capacity = copies->capacity ? 2 * copies->capacity : 16;
        void* grown = realloc(copies->queue, capacity * sizeof(Copy));
        if (!grown) abort();
        copies->queue = static_cast<Copy*>(grown);
        copies->capacity = capacity;
    }
    return &copies->queue[copies->count++];
}

static void count_copy(Warp* w, const Operation* op, const Copy& copy, const u64* from, u32 reading) {
    Port& port = w->worker->ports[op->port];
    u32 first = first_lane(w->active);
    u64 differ = port.mask ^ w->active;
    if (reading == w->active)
        for (u32 m = w->active; m; m &= m - 1) {
            u32 lane = first_lane(m);
            differ |= (from[lane] - from[first]) ^ port.distance[lane];
            differ |= (copy.to[lane] - copy.to[first]) ^ port.distance32[lane];
        }
    bool known = reading == w->active && !differ;
    if (!known) {
        learn(port, from, w->active, op->bytes);
        for (u32 m = w->active; m; m &= m - 1) port.distance32[first_lane(m)] = copy.to[first_lane(m)] - copy.to[first];
        port.passes[0] = bank_passes(copy.to, w->active, op->bytes);
    }
    u32 sectors = port.sectors[from[first] & 31];
    if (reading != w->active) {
        sectors = reading ? sectors_touched(from, reading, op->bytes) : 0;
        port.mask = 0;
    } else if (!sectors) {
        sectors = count_sectors(port, from[first], op->bytes);
    }
    for (u32 m = reading; m; m &= m - 1)
        port.counts.fresh += note_load(w->worker, op->port, from[first_lane(m)], copy.size[first_lane(m)]);
    port.counts.requests++;
    port.counts.lanes += w->active_count;
    port.counts.sectors += sectors;
    port.counts.wavefronts += port.passes[0].wavefronts;
    port.counts.ideal += port.passes[0].ideal;
}

static void bring(const Copy& copy, u32 lane, u8* arriving) {
    memset(arriving, 0, 16);
    if (copy.size[lane]) memcpy(arriving, copy.from[lane], copy.size[lane]);
}

// Counts the lane's copy into those that its words of shared memory are in flight of, or out of them.
WS_INLINE void count_flight(Races* r, const Copy& copy, u32 lane, s32 by) {
    u16* flights = r->flights + copy.to[lane] / 4;
    for (u32 i = 0; i < copy.op->bytes / 4; i++) flights[i] = u16(flights[i] + by);
}

WS_INLINE bool met_in_flight(const Races* r, const Copy& copy, u32 lane) {
    const u16* flights = r->flights + copy.to[lane] / 4;
    u32 any = 0;
    for (u32 i = 0; i < copy.op->bytes / 4; i++) any |= flights[i];
    return any;
}

// Finds a copy in flight that brings something else to [at, at + size), where the lane's copy goes, too. Which of the two
// comes last nobody knows, but for those of one thread: its groups complete in the order in which they were committed (PTX
// ISA, "Async-group mechanism"), and `or_later` looks for them, too.
WS_COLD bool meets_another(Warp* w, const Copy& copy, u32 lane, u32 at, u32 size, bool or_later,
                           Collision& found) {
    const Worker* k = w->worker;
    u8 mine[16], theirs[16];
    u32 from = copy.to[lane], thread = thread_of(w, lane);
    bring(copy, lane, mine);
    for (u32 v = 0; v < k->warp_count; v++) {
        const Copies* copies = k->warps[v].copies;
        for (u32 c = 0; c < copies->count; c++) {
            const Copy& other = copies->queue[c];
            for (u32 m = other.tracked ? 0 : other.mask; m; m &= m - 1) {
                u32 i = first_lane(m), start = other.to[i], end = start + other.op->bytes;
                u32 begins = start > at ? start : at, ends = end < at + size ? end : at + size;
                if (begins >= ends || (&other == &copy && i >= lane)) continue;
                bool own = v * LANES + i == thread, ordered = own && other.group[i] != copy.group[lane];
                if (ordered && !or_later) continue;
                bring(other, i, theirs);
                if (!memcmp(mine + (begins - from), theirs + (begins - start), ends - begins)) continue;
                found = {WS_RACE, other.op->site, v * LANES + i};
                return true;
            }
        }
    }
    return false;
}

// The copy's write to shared memory: it begins when it is issued, and is over when a wait has seen it.
static bool touch_target(Warp* w, const Copy& copy, u32 lane, u32 at, u32 size, bool issues) {
    Worker* k = w->worker;
    if (calm_one(w, copy.op, lane, at, size, issues ? Touch::ISSUE : Touch::WRITE)) return true;
    u8 arriving[16];
    bring(copy, lane, arriving);
    Toucher toucher = {k->races, w->index, thread_of(w, lane), copy.op->site, false,
                       w, copy.op, nullptr, arriving, copy.to[lane], issues};
    Collision found;
    return touch(toucher, at, size, true, found) || !collide(w, copy.op, lane, found, at, size);
}

static bool begin_flight(Warp* w, const Copy& copy, u32 lane) {
    Races* r = w->worker->races;
    u32 at = copy.to[lane], size = copy.op->bytes;
    Collision found;
    if (__builtin_expect(met_in_flight(r, copy, lane), 0) && meets_another(w, copy, lane, at, size, false, found)) {
        collide(w, copy.op, lane, found, at, size);
        return false;
    }
    count_flight(r, copy, lane, 1);
    return touch_target(w, copy, lane, at, size, true);
}

// Words that another copy is still to bring something else to remain in flight.
static bool end_flight(Warp* w, const Copy& copy, u32 lane) {
    Races* r = w->worker->races;
    u32 at = copy.to[lane], end = at + copy.op->bytes;
    Collision other;
    count_flight(r, copy, lane, -1);
    if (__builtin_expect(!met_in_flight(r, copy, lane), 1)) return touch_target(w, copy, lane, at, copy.op->bytes, false);
    for (; at < end; at += 4)
        if (!touch_target(w, copy, lane, at, 4, meets_another(w, copy, lane, at, 4, true, other))) return false;
    return true;
}

enum CopyOperand : u32 { WHOLE_SOURCE, SOURCE_SIZE, IGNORES_SOURCE };

// a: shared address; b: global address with offset e; c: what target says, bytes to read or a predicate.
static const Operation* cp_async(Warp* w, const Operation* op) {
    Worker* k = w->worker;
    u64 to[LANES], from[LANES];
    widen_addresses(w, op->a, op->flags & WS_WIDE, op->imm, to);
    widen_addresses(w, op->b, true, s32(op->e), from);
    u32 reading = w->active;
    Copy* copy = next_copy(w->copies);
    copy->op = op;
    copy->mask = w->active;
    copy->tracked = false;
    for (u32 m = w->active; m; m &= m - 1) {
        u32 lane = first_lane(m), size = op->bytes;
        if (op->target == SOURCE_SIZE) {
            u32 asked = lanes<u32>(w, op->c)[lane];
            size = asked < size ? asked : size;
        } else if (op->target == IGNORES_SOURCE && lanes<u32>(w, op->c)[lane]) {
            size = 0;
        }
        copy->size[lane] = u8(size);
        copy->group[lane] = w->copies->groups[lane];
        if (!size) reading &= ~(1u << lane);
        Place place;
        if (!reach_one(w, op, lane, WS_SHARED, to[lane], op->bytes, Use::WRITE, place)) return nullptr;
        copy->to[lane] = u32(to[lane]);
    }
    // A partial copy reads fewer bytes, but its address must have the alignment of the whole.
    for (u32 m = reading; m; m &= m - 1) {
        u32 lane = first_lane(m), size = copy->size[lane];
        Place place;
        if (from[lane] % op->bytes) {
            bad_access(w, op, WS_MISALIGNED, lane, WS_GLOBAL, from[lane], op->bytes);
            return nullptr;
        }
        if (!reach_allocation(w, op, lane, from[lane], size, Use::READ, place)) return nullptr;
        if (k->checks && place.valid && !all_valid(place.valid, size)) {
            bad_access(w, op, WS_UNINITIALISED, lane, WS_GLOBAL, from[lane], size);
            return nullptr;
        }
        if (k->checks && !visit_lane(w, op, lane, from[lane], size, Use::READ, nullptr)) return nullptr;
        copy->from[lane] = place.data;
        copy->address[lane] = from[lane];
    }
    for (u32 m = k->races ? w->active : 0; m; m &= m - 1)
        if (!begin_flight(w, *copy, first_lane(m))) return nullptr;
    if (k->count) count_copy(w, op, *copy, from, reading);
    return op + 1;
}

static const Operation* cp_async_commit(Warp* w, const Operation* op) {
    for (u32 m = w->active; m; m &= m - 1) w->copies->groups[first_lane(m)]++;
    return op + 1;
}

static bool deliver(Warp* w, const Copy& copy, u32 lane) {
    Worker* k = w->worker;
    u32 bytes = copy.op->bytes, size = copy.size[lane];
    u8* to = k->shared + copy.to[lane];
    if (k->races) {
        // The copy reads at some time between its issue and now.
        if (size && !visit_lane(w, copy.op, lane, copy.address[lane], size, Use::READ, nullptr)) return false;
        if (!end_flight(w, copy, lane)) return false;
    }
    if (size == 16) {
        memcpy(to, copy.from[lane], 16);
        return true;
    }
    if (size) memcpy(to, copy.from[lane], size);
    memset(to + size, 0, bytes - size);
    return true;
}

// At a block's end: what nobody waited for.
static void forget_copies(Warp* w) {
    Copies* copies = w->copies;
    Races* r = w->worker->races;
    for (u32 c = 0; r && c < copies->count; c++) {
        const Copy& copy = copies->queue[c];
        for (u32 m = copy.tracked ? 0 : copy.mask; m; m &= m - 1) count_flight(r, copy, first_lane(m), -1);
    }
    copies->count = 0;
    memset(copies->groups, 0, sizeof copies->groups);
}

static bool arrive_for_copies(Warp* w, const Copy& copy, u32 lane);

static bool complete(Warp* w, const Copy& copy, u32 lane) {
    return copy.tracked ? arrive_for_copies(w, copy, lane) : deliver(w, copy, lane);
}

// Delivers the active lanes' copies of all but their last `keep` groups; `open` ones have not been committed.
static bool deliver_groups(Warp* w, u32 keep, bool open) {
    Copies* copies = w->copies;
    u32 left = 0;
    for (u32 i = 0; i < copies->count; i++) {
        Copy& copy = copies->queue[i];
        for (u32 m = copy.mask & w->active; m; m &= m - 1) {
            u32 lane = first_lane(m), committed = copies->groups[lane];
            bool due = copy.group[lane] < committed ? committed - copy.group[lane] > keep : open;
            if (!due) continue;
            if (!complete(w, copy, lane)) return false;
            copy.mask &= ~(1u << lane);
        }
        if (copy.mask) {
            if (left != i) copies->queue[left] = copy;
            left++;
        }
    }
    copies->count = left;
    return true;
}

// imm: groups that may stay in flight.
static const Operation* cp_async_wait(Warp* w, const Operation* op) {
    return deliver_groups(w, u32(op->imm), false) ? op + 1 : nullptr;
}
static const Operation* cp_async_wait_all(Warp* w, const Operation* op) {
    return deliver_groups(w, 0, true) ? op + 1 : nullptr;
}

}  // namespace
}  // namespace WS_NS
