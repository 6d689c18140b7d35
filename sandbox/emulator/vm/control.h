// Control flow: every lane has a position, and the lanes at the lowest one run first.
//
// Operations lie in layout order, so lanes that fell behind catch up before the others go on, and lanes that meet
// continue together. While all live lanes are together nothing is kept per lane. A schedule's seed sometimes holds the
// lower side of a diverged branch back, so that the other runs first and goes on alone where the two would meet.
#pragma once
#include "machine.h"

namespace WS_NS {
namespace {

// Backward branches after which a group of lanes, or a warp, lets others go first (spin locks need that).
constexpr u32 TURN = 1024;
// Warp instructions a host thread takes from the shared budget at once.
constexpr s64 FUEL = 1 << 12;
// Of its first divergences a warp draws for each, and later as many for every doubling or so: a schedule costs little.
constexpr u32 DRAWN = 4;
// Backward branches for which lanes are held back at most.
constexpr u32 HELD = 8;

WS_COLD bool refuel(Worker* k) {
    s64 used = FUEL - k->fuel;
    k->spent += u64(used);
    k->fuel = FUEL;
    return __atomic_sub_fetch(&k->launch->budget, used, __ATOMIC_RELAXED) > 0;
}

static __attribute__((noinline)) void park(Warp* w, u32 mask, u32 position);

// Turns without a change after which waiting loops, not their work, are said to have spent the budget.
constexpr u64 QUIET = 16;

// The budget is spent: the warp stays where it was about to go on.
WS_COLD const Operation* stop(Warp* w, const Operation* op) {
    park(w, w->active, u32(op - w->code));
    return fail(w, op, WS_BUDGET, first_lane(w->active), w->worker->quiet >= QUIET ? WS_NOTHING_CHANGES : WS_RUNS);
}

WS_INLINE const Operation* enter(Warp* w, u32 block) {
    Worker* k = w->worker;
    BlockCount& entered = k->counts[block];
    entered.warps++;
    entered.lanes += w->active_count;
    k->fuel -= entered.instructions;
    const Operation* op = w->code + entered.first;
    if (__builtin_expect(k->fuel < 0, 0) && !refuel(k)) return stop(w, op);
    return op;
}

WS_INLINE u32 position_of(const Warp* w, const Operation* op) { return u32(op - w->code); }

// Gives every live lane its own position.
static void separate(Warp* w) {
    if (!w->together) return;
    w->together = 0;
    for (u32 i = 0; i < LANES; i++) {
        w->position[i] = w->resume;
        w->barrier_of[i] = w->barrier;
        w->barrier_at[i] = w->barrier_position;
    }
}

static void park(Warp* w, u32 mask, u32 position) {
    if (mask == w->alive) {
        w->together = 1;
        w->resume = position;
        return;
    }
    separate(w);
    for (u32 i = 0; i < LANES; i++) w->position[i] = mask >> i & 1 ? position : w->position[i];
}

// Lowest position of the lanes of a mask; ALL for no lanes.
WS_INLINE u32 lowest_position(const Warp* w, u32 mask) {
#if defined(__AVX512F__)
    // Compilers do not make vectors of the loop below.
    __m512i none = _mm512_set1_epi32(-1);
    __m512i low = _mm512_mask_loadu_epi32(none, __mmask16(mask), w->position);
    __m512i high = _mm512_mask_loadu_epi32(none, __mmask16(mask >> 16), w->position + 16);
    __m512i least = _mm512_maskz_min_epu32(0xFFFF, low, high);
    least = _mm512_maskz_min_epu32(0xFFFF, least, _mm512_maskz_shuffle_i64x2(0xFF, least, least, 0x4E));
    least = _mm512_maskz_min_epu32(0xFFFF, least, _mm512_maskz_shuffle_i64x2(0xFF, least, least, 0xB1));
    least = _mm512_maskz_min_epu32(0xFFFF, least, _mm512_maskz_shuffle_epi32(0xFFFF, least, _MM_PERM_ENUM(0x4E)));
    least = _mm512_maskz_min_epu32(0xFFFF, least, _mm512_maskz_shuffle_epi32(0xFFFF, least, _MM_PERM_ENUM(0xB1)));
    return u32(_mm_cvtsi128_si32(_mm512_maskz_extracti32x4_epi32(0xF, least, 0)));
#else
    u32 lowest = ALL;
    for (u32 i = 0; i < LANES; i++) {
        u32 at = mask >> i & 1 ? w->position[i] : ALL;
        lowest = at < lowest ? at : lowest;
    }
    return lowest;
#endif
}

WS_INLINE u32 lanes_at(const Warp* w, u32 position) {
#if defined(__AVX512F__)
    __m512i wanted = _mm512_set1_epi32(s32(position));
    return joined(_mm512_cmpeq_epi32_mask(_mm512_load_si512(w->position), wanted),
                  _mm512_cmpeq_epi32_mask(_mm512_load_si512(w->position + 16), wanted));
#else
    u32 mask = 0;
    for (u32 i = 0; i < LANES; i++) mask |= u32(w->position[i] == position) << i;
    return mask;
#endif
}

static bool meet(Warp* w);

// Chooses the lanes that run next.
static __attribute__((noinline)) const Operation* dispatch(Warp* w) {
    for (;;) {
        u32 ready = w->alive & ~(w->waiting | w->meeting);
        if (!w->alive) {
            w->status = Status::DONE;
            return nullptr;
        }
        if (!ready) {
            if (w->meeting && meet(w)) continue;
            w->status = Status::BLOCKED;
            return nullptr;
        }
        u32 position = w->resume, group = ready;
        w->pending = 0;
        w->min_pending = ALL;
        if (!w->together) {
            u32 candidates = ready & ~w->yielded;
            if (!candidates) {
                w->yielded = 0;
                // Those who turn in a loop may wait for what lanes do that have met meanwhile.
                if (w->meeting && meet(w)) continue;
                candidates = ready;
            }
            position = lowest_position(w, candidates);
            group = lanes_at(w, position) & ready;
            w->min_pending = lowest_position(w, candidates & ~group);
            w->pending = ready & ~group;
            w->yielded &= ~group;
        }
        if (group != w->active || (w->alive & ~group) != w->blend) set_active(w, group);
        w->status = Status::READY;
        u32 block = w->worker->block_at[position];
        return block == ALL ? w->code + position : enter(w, block);
    }
}

// A group that has branched backwards long enough lets the other lanes, or the other warps, go first.
WS_COLD const Operation* take_turn(Warp* w, const Operation* op, u32 position) {
    w->turns = 0;
    w->polled = op->flags & WS_POLLS;
    u32 group = w->active;
    bool others = w->pending | w->meeting;
    park(w, group, position);
    w->yielded = others ? group : 0;
    // What other lanes hold up may be another warp's work, so the warp gives way in either case.
    w->status = Status::READY;
    return nullptr;
}

WS_INLINE const Operation* go(Warp* w, const Operation* op, u32 block) {
    u32 first = w->worker->counts[block].first;
    if (op->flags & WS_BACKWARD && __builtin_expect(++w->turns >= TURN, 0)) return take_turn(w, op, first);
    if (__builtin_expect(!w->pending || first < w->min_pending, 1)) return enter(w, block);
    park(w, w->active, first);
    return dispatch(w);
}

WS_COLD const Operation* catch_up(Warp* w, const Operation* op) {
    u32 at = position_of(w, op);
    if (w->min_pending > at) return op;
    park(w, w->active, at);
    return dispatch(w);
}

// Behind an instruction that lanes may have reached in groups: those that lag or stand here go on with these.
WS_INLINE const Operation* rejoin(Warp* w, const Operation* op) {
    return __builtin_expect(!w->pending, 1) ? op : catch_up(w, op);
}

static const Operation* branch(Warp* w, const Operation* op) { return go(w, op, op->target); }

// Where a group has just separated: the lanes at its lowest position may have to let the others go first, until those
// wait, exit or have turned in loops for a while.
WS_COLD void draw_order(Warp* w, u32 group) {
    u32 number = ++w->divergences;
    u64 draw = drawn(w, number);
    if (draw >> 63 || (draw >> 16 & 0xFFFFFF) % number >= DRAWN) return;
    u32 behind = lanes_at(w, lowest_position(w, group)) & group;
    if (behind == group) return;
    w->yielded |= behind;
    w->turns = TURN - 1 - u32(draw >> 48) % HELD;
}

static __attribute__((noinline)) const Operation* diverge(Warp* w, const Operation* op, u32 taken) {
    const BlockCount* counts = w->worker->counts;
    w->worker->divergent[op->site]++;
    if (op->flags & WS_BACKWARD && ++w->turns >= TURN) {
        w->turns = 0;
        w->yielded = taken;
    }
    separate(w);
    u32 there = counts[op->target].first, here = position_of(w, op + 1), group = w->active;
    for (u32 i = 0; i < LANES; i++) {
        u32 next = taken >> i & 1 ? there : here;
        w->position[i] = group >> i & 1 ? next : w->position[i];
    }
    if (draws_order(w->worker)) draw_order(w, group);
    return dispatch(w);
}

// Notes the lanes that an instruction under a guard acts for.
template <bool Counts>
WS_INLINE void note_guard(Warp* w, const Operation* op, u32 mask, u64 times) {
    w->worker->guarded[op->site] += times;
    if (Counts) w->worker->guarded_lanes[op->site] += times * u64(__builtin_popcount(mask));
}

// The operation behind a conditional branch is always the first of the next block.
template <bool Counts>
static const Operation* branch_if(Warp* w, const Operation* op) {
    u32 taken = guard_mask(w, op) & w->active;
    note_guard<Counts>(w, op, taken, taken != 0);
    if (taken == w->active) return go(w, op, op->target);
    if (taken) return diverge(w, op, taken);
    u32 next = op->bytes;
    u32 first = position_of(w, op + 1);
    if (__builtin_expect(!w->pending || first < w->min_pending, 1)) return enter(w, next);
    park(w, w->active, first);
    return dispatch(w);
}

static void thread_left(Warp* w, u32 count);

static const Operation* leave(Warp* w, const Operation* op, u32 leaving) {
    u32 rest = w->active & ~leaving;
    w->alive &= ~leaving;
    w->pending &= w->alive;
    thread_left(w, u32(__builtin_popcount(leaving)));
    if (w->status == Status::FAULTED) return nullptr;
    if (!rest) return dispatch(w);
    set_active(w, rest);
    return op + 1;
}

static const Operation* exit_all(Warp* w, const Operation* op) { return leave(w, op, w->active); }
template <bool Counts>
static const Operation* exit_if(Warp* w, const Operation* op) {
    u32 leaving = guard_mask(w, op) & w->active;
    if (!leaving) return op + 1;
    note_guard<Counts>(w, op, leaving, 1);
    return leave(w, op, leaving);
}

// a: index; list: number of targets, then the blocks.
static const Operation* branch_indexed(Warp* w, const Operation* op) {
    const u32* list = w->worker->lists + op->list;
    const u32* index = lanes<u32>(w, op->a);
    u32 chosen = index[first_lane(w->active)], others = 0;
    separate(w);
    for (u32 m = w->active; m; m &= m - 1) {
        u32 lane = first_lane(m);
        if (index[lane] >= list[0]) return fail(w, op, WS_TRAP, lane);
        w->position[lane] = w->worker->counts[list[1 + index[lane]]].first;
        others += list[1 + index[lane]] != list[1 + chosen];
    }
    w->worker->divergent[op->site] += others != 0;
    if (op->flags & WS_BACKWARD && ++w->turns >= TURN) {
        w->turns = 0;
        w->yielded = w->pending ? w->active : 0;
    }
    if (others && draws_order(w->worker)) draw_order(w, w->active);
    return dispatch(w);
}

// The next operation acts for the lanes whose predicate holds. imm: 1 on the first of an instruction.
template <bool Counts>
static const Operation* guarded(Warp* w, const Operation* op) {
    u32 mask = guard_mask(w, op) & w->active;
    if (!mask) return op + 2;
    note_guard<Counts>(w, op, mask, u64(op->imm));
    const Operation* inner = op + 1;
    if (mask == w->active) return inner->run(w, inner);
    u32 before = w->active;
    set_active(w, mask);
    const Operation* next = inner->run(w, inner);
    set_active(w, before);
    return next;
}

// As `guarded`, for an operation that may wait: the lanes go separate ways around it.
template <bool Counts>
static const Operation* split(Warp* w, const Operation* op) {
    u32 group = w->active, mask = guard_mask(w, op) & group;
    if (!mask) return op + 2;
    note_guard<Counts>(w, op, mask, 1);
    if (mask == group) return op + 1;
    separate(w);
    for (u32 m = group; m; m &= m - 1) {
        u32 lane = first_lane(m);
        w->position[lane] = position_of(w, op) + (mask >> lane & 1 ? 1 : 2);
    }
    if (draws_order(w->worker)) draw_order(w, group);
    return dispatch(w);
}

static const Operation* trap(Warp* w, const Operation* op) { return fail(w, op, WS_TRAP, first_lane(w->active)); }
// Addresses of the message (a) and of the file's name (b), and the line (c).
static const Operation* assert_failed(Warp* w, const Operation* op) {
    u32 lane = first_lane(w->active);
    bool first = w->worker->fault.kind == WS_NO_FAULT;
    fail(w, op, WS_TRAP, lane);
    if (!first) return nullptr;
    WsFault& fault = w->worker->fault;
    fault.address = lanes<u64>(w, op->a)[lane];
    fault.distance = s64(lanes<u64>(w, op->b)[lane]);
    fault.detail = lanes<u32>(w, op->c)[lane];
    return nullptr;
}
// a: marks that say whether a lane's value was ever written.
static const Operation* require_defined(Warp* w, const Operation* op) {
    u32 unknown = w->active & ~mask_of(lanes<u32>(w, op->a));
    if (__builtin_expect(!unknown, 1)) return op + 1;
    bool first = w->worker->fault.kind == WS_NO_FAULT;
    fail(w, op, WS_UNINITIALISED, first_lane(unknown));
    if (first) w->worker->fault.space = WS_REGISTER;
    return nullptr;
}
static const Operation* nothing(Warp*, const Operation* op) { return op + 1; }

}  // namespace
}  // namespace WS_NS
