// mbarrier: the objects of isa/mbarrier.py, and copies that arrive at them.
#pragma once
#include "async.h"

namespace WS_NS {
namespace {

constexpr u64 LARGEST_COUNT = (1 << 20) - 1;
enum ArrivalFlag : s64 { ARRIVES = 0, DROPS = 1, NOT_COMPLETING = 2, EXPECTS_BYTES = 4 };

struct Phase {
    u64 expected, pending;
    s64 bytes;
    u64 parity;

    explicit Phase(u64 word)
        : expected(word & LARGEST_COUNT), pending(word >> 20 & LARGEST_COUNT),
          bytes(s64(word << 3) >> 43), parity(word >> 63) {}
    u64 word() const { return expected | pending << 20 | (u64(bytes) & 0x1FFFFF) << 40 | parity << 63; }
    bool settle() {
        if (pending || bytes) return false;
        parity ^= 1;
        pending = expected;
        return true;
    }
};

WS_COLD bool misuse(Warp* w, const Operation* op, u32 lane, u32 detail) {
    fail(w, op, WS_BARRIER, lane, detail);
    return false;
}

// Initialisation and order of one lane's operation on an object. Operations need no order among themselves, only behind
// what made the object and before what ends it: they count as reads of it. Nobody asks whether one is over for another;
// thousands of arrivals would make that question long. A test publishes nothing, and learns when it succeeds.
static bool inspect_object(Warp* w, const Operation* op, u32 lane, u32 at, bool tests) {
    Races* r = w->worker->races;
    if (tests) r->shared_flags[w->index] = r->stamp[w->index];
    else begin_strong(w, op, lane, block_number(w->worker), at, Use::UPDATE);
    if (!known_written(r->epoch, at / 4) && r->words[at / 4].write_stamp <= r->base)
        return bad_access(w, op, WS_UNINITIALISED, lane, WS_SHARED, at, 8);
    Toucher toucher = {r, w->index, thread_of(w, lane), op->site, true, w, op, nullptr, nullptr, at, false, true};
    Collision found;
    return touch(toucher, at, 8, false, found) || !collide(w, op, lane, found, at, 8);
}

// The object at an address, or null after a fault.
static u8* object_at(Warp* w, const Operation* op, u32 lane, u32 space, u64 address, Use use, u64& offset) {
    Place place;
    if (!reach_one(w, op, lane, space, address, 8, use, place)) return nullptr;
    if (place.space != WS_SHARED) {
        bad_access(w, op, WS_OUT_OF_BOUNDS, lane, place.space, address, 8);
        return nullptr;
    }
    offset = place.offset;
    if (!w->worker->checks) return place.data;
    bool begins = use == Use::WRITE;
    if (begins && !inspect(w, op, lane, place, address, 8, use)) return nullptr;
    if (!begins && !inspect_object(w, op, lane, u32(offset), use == Use::READ)) return nullptr;
    return place.data;
}

static u64 word_at(const u8* object) {
    u64 word;
    memcpy(&word, object, 8);
    return word;
}

// A phase is complete: whoever waits for it learns of its arrivals, and not of the next one's.
static void end_phase(Worker* k, u32 at) {
    u32 location = k->views ? location_of(k->ledger, block_number(k), at, false) : ALL;
    if (location != ALL) k->ledger->locations[location].phase = k->ledger->locations[location].count;
}

// A lane has waited for the last complete phase.
static void learn_phase(Warp* w, const Operation* op, u32 lane, u32 at) {
    Worker* k = w->worker;
    u32 location = k->views ? location_of(k->ledger, block_number(k), at, false) : ALL;
    if (location == ALL) return;
    u32 upto = k->ledger->locations[location].phase;
    read_strongly(k, thread_of(w, lane), location, upto, !(op->flags & WS_BLOCK_SCOPE), op->flags & WS_ACQUIRES);
}

// One lane's arrivals; `detail` of the fault is set where the object cannot take them.
static bool take_arrivals(Warp* w, const Operation* op, u32 lane, u8* object, u32 at, u64 count, s64 flags, s64 bytes) {
    Phase phase(word_at(object));
    if (!phase.expected) return misuse(w, op, lane, WS_NO_MBARRIER);
    phase.bytes += bytes;
    if (!count || count > phase.pending) return misuse(w, op, lane, WS_TOO_MANY_ARRIVALS);
    phase.pending -= count;
    if (flags & NOT_COMPLETING && !phase.pending) return misuse(w, op, lane, WS_COMPLETES);
    if (flags & DROPS) phase.expected -= count;
    if (phase.settle()) end_phase(w->worker, at);
    u64 word = phase.word();
    memcpy(object, &word, 8);
    w->worker->changes++;
    return true;
}

// a: address; b: count; bytes: the space.
static const Operation* mbarrier_init(Warp* w, const Operation* op) {
    u64 address[LANES], offset;
    widen_addresses(w, op->a, op->flags & WS_WIDE, op->imm, address);
    for (u32 m = w->active; m; m &= m - 1) {
        u32 lane = first_lane(m);
        u64 count = lanes<u32>(w, op->b)[lane];
        // An object's end is one of its operations; others need not be ordered with it otherwise.
        Use use = op->target ? Use::WRITE : Use::UPDATE;
        u8* object = object_at(w, op, lane, op->bytes, address[lane], use, offset);
        if (!object) return nullptr;
        // Without arrivals to expect it is what mbarrier.inval leaves.
        if (op->target ? !count || count > LARGEST_COUNT : !Phase(word_at(object)).expected) {
            misuse(w, op, lane, op->target ? WS_TOO_MANY_ARRIVALS : WS_NO_MBARRIER);
            return nullptr;
        }
        u64 word = op->target ? count | count << 20 : 0;
        memcpy(object, &word, 8);
    }
    return op + 1;
}

// a: address; b: count or bytes; d: state, if target; imm: flags.
static const Operation* mbarrier_arrive(Warp* w, const Operation* op) {
    u64 address[LANES], offset;
    widen_addresses(w, op->a, op->flags & WS_WIDE, s32(op->e), address);
    for (u32 m = w->active; m; m &= m - 1) {
        u32 lane = first_lane(m), number = lanes<u32>(w, op->b)[lane];
        u8* object = object_at(w, op, lane, op->bytes, address[lane], Use::UPDATE, offset);
        if (!object) return nullptr;
        u64 before = word_at(object);
        bool expects = op->imm & EXPECTS_BYTES;
        s64 bytes = expects ? number : 0;
        if (!take_arrivals(w, op, lane, object, u32(offset), expects ? 1 : number, op->imm, bytes)) return nullptr;
        if (op->target) lanes<u64>(w, op->d)[lane] = before;
    }
    return op + 1;
}

// a: address; b: bytes; imm: 1 expects, -1 has them complete.
static const Operation* mbarrier_bytes(Warp* w, const Operation* op) {
    u64 address[LANES], offset;
    widen_addresses(w, op->a, op->flags & WS_WIDE, s32(op->e), address);
    for (u32 m = w->active; m; m &= m - 1) {
        u32 lane = first_lane(m);
        u8* object = object_at(w, op, lane, op->bytes, address[lane], Use::UPDATE, offset);
        if (!object) return nullptr;
        Phase phase(word_at(object));
        if (!phase.expected) {
            misuse(w, op, lane, WS_NO_MBARRIER);
            return nullptr;
        }
        phase.bytes += op->imm * s64(lanes<u32>(w, op->b)[lane]);
        if (op->imm < 0 && phase.settle()) end_phase(w->worker, u32(offset));
        u64 word = phase.word();
        memcpy(object, &word, 8);
        w->worker->changes++;
    }
    return op + 1;
}

// a: address. A marker behind the lane's copies so far, which `deliver_tracked` finds.
static const Operation* track_copies(Warp* w, const Operation* op) {
    u64 address[LANES], offset;
    widen_addresses(w, op->a, op->flags & WS_WIDE, op->imm, address);
    Copy* copy = next_copy(w->copies);
    copy->op = op;
    copy->mask = 0;
    copy->tracked = true;
    for (u32 m = w->active; m; m &= m - 1) {
        u32 lane = first_lane(m);
        u8* object = object_at(w, op, lane, op->bytes, address[lane], Use::UPDATE, offset);
        if (!object) return nullptr;
        Phase phase(word_at(object));
        if (!phase.expected) {
            misuse(w, op, lane, WS_NO_MBARRIER);
            return nullptr;
        }
        // The arrival to come is one more than the phase expects, unless the kernel has counted it.
        if (!op->target) phase.pending++;
        u64 word = phase.word();
        memcpy(object, &word, 8);
        copy->to[lane] = u32(offset);
        copy->group[lane] = w->copies->groups[lane];
        copy->mask |= 1u << lane;
    }
    return op + 1;
}

// A marker's arrival: what the lane copied before it is complete.
static bool arrive_for_copies(Warp* w, const Copy& copy, u32 lane) {
    Worker* k = w->worker;
    if (k->checks) begin_strong(w, copy.op, lane, block_number(k), copy.to[lane], Use::UPDATE);
    return take_arrivals(w, copy.op, lane, k->shared + copy.to[lane], copy.to[lane], 1, ARRIVES, 0);
}

// Completes the copies that the object at a shared address tracks: somebody waits for them.
static bool deliver_tracked(Worker* k, u32 address) {
    for (u32 i = 0; i < k->warp_count; i++) {
        Warp* w = &k->warps[i];
        Copies* copies = w->copies;
        u32 last[LANES], found = 0;
        for (u32 c = 0; c < copies->count; c++) {
            const Copy& copy = copies->queue[c];
            if (!copy.tracked) continue;
            for (u32 m = copy.mask; m; m &= m - 1) {
                u32 lane = first_lane(m);
                if (copy.to[lane] != address) continue;
                last[lane] = c;
                found |= 1u << lane;
            }
        }
        for (u32 c = 0; found && c < copies->count; c++) {
            Copy& copy = copies->queue[c];
            for (u32 m = copy.mask & found; m; m &= m - 1) {
                u32 lane = first_lane(m);
                if (c > last[lane]) continue;
                if (!complete(w, copy, lane)) return false;
                copy.mask &= ~(1u << lane);
            }
        }
    }
    return true;
}

// a: address; b: state or parity, by imm; d: predicate. A phase that is not over ends the turn of a loop.
static const Operation* mbarrier_test(Warp* w, const Operation* op) {
    u64 address[LANES], offset = 0;
    widen_addresses(w, op->a, op->flags & WS_WIDE, s32(op->e), address);
    bool waits = false;
    for (u32 m = w->active; m; m &= m - 1) {
        u32 lane = first_lane(m);
        u64 at = address[lane];
        if (op->bytes == WS_GENERIC) space_of(w->worker->launch, at);
        if (!deliver_tracked(w->worker, u32(at))) {
            w->status = Status::FAULTED;
            return nullptr;
        }
        u8* object = object_at(w, op, lane, op->bytes, address[lane], Use::READ, offset);
        if (!object) return nullptr;
        Phase phase(word_at(object));
        if (!phase.expected) {
            misuse(w, op, lane, WS_NO_MBARRIER);
            return nullptr;
        }
        u64 awaited = op->imm ? lanes<u32>(w, op->b)[lane] & 1 : lanes<u64>(w, op->b)[lane] >> 63;
        lanes<u32>(w, op->d)[lane] = phase.parity != awaited;
        if (phase.parity != awaited) learn_phase(w, op, lane, u32(offset));
        waits |= phase.parity == awaited;
    }
    if (waits) w->turns = TURN - 1;
    return op + 1;
}

#define MBARRIERS                                                                                            \
    SAME("mbarrier.init", mbarrier_init) SAME("mbarrier.arrive", mbarrier_arrive)                            \
    SAME("mbarrier.bytes", mbarrier_bytes) SAME("mbarrier.test", mbarrier_test)                              \
    SAME("cp.async.mbarrier.arrive", track_copies)

}  // namespace
}  // namespace WS_NS
