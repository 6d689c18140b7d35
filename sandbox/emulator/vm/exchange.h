// Lanes of a warp exchange values: shuffle, vote, match, reduce. They wait for the lanes their mask names.
#pragma once
#include "barriers.h"

namespace WS_NS {
namespace {

// value[i] = a[source[i]].
WS_INLINE void take_lanes(const u32* a, const u32* source, u32* value) {
#if defined(__AVX512F__)
    __m512i low = _mm512_load_si512(a), high = _mm512_load_si512(a + 16);
    for (u32 half = 0; half < 2; half++) {
        __m512i index = _mm512_load_si512(source + 16 * half);
        _mm512_store_si512(value + 16 * half, _mm512_permutex2var_epi32(low, index, high));
    }
#else
    for (u32 i = 0; i < LANES; i++) value[i] = a[source[i] & 31];
#endif
}

// What a shuffle finds in lanes that take no part: isa/warp_lanes.py, `foreign_value`.
WS_INLINE u32 foreign_value(const Worker* k) { return k->launch->seed & 1 ? 0xFF7FFFFFu : 0x7F7FFFFFu; }

// Puts that where the source lane is not here or not a member.
WS_COLD void take_foreign(const Warp* w, const u32* members, const u32* source, u32* value) {
    u32 foreign = foreign_value(w->worker);
    for (u32 i = 0; i < LANES; i++)
        if (!(w->active & members[i] & 1u << source[i])) value[i] = foreign;
}

enum ShuffleMode : s64 { UP, DOWN, BUTTERFLY, INDEX };

// a: value; b: lane or distance; c: clamp and segment mask; e: member mask; imm: mode; list[0]: predicate, if target.
template <s64 Mode>
static const Operation* shuffle(Warp* w, const Operation* op) {
    const Operation* next;
    if (!assembled(w, op, op->e, next)) return next;
    alignas(64) u32 value[LANES];
    alignas(64) u32 inside[LANES];
    const u32 *a = lanes<u32>(w, op->a), *b = lanes<u32>(w, op->b), *c = lanes<u32>(w, op->c);
    alignas(64) u32 source[LANES];
    for (u32 i = 0; i < LANES; i++) {
        s32 lane = s32(i), by = s32(b[i] & 31), clamp = s32(c[i] & 31), segment = s32(c[i] >> 8 & 31);
        s32 last = (lane & segment) | (clamp & ~segment), from = 0;
        if (Mode == UP) from = lane - by;
        if (Mode == DOWN) from = lane + by;
        if (Mode == BUTTERFLY) from = lane ^ by;
        if (Mode == INDEX) from = (lane & segment) | (by & ~segment);
        inside[i] = Mode == UP ? from >= last : from <= last;
        source[i] = u32(inside[i] ? from : lane);
    }
    take_lanes(a, source, value);
    const u32* members = lanes<u32>(w, op->e);
    if (__builtin_expect((w->active & members[first_lane(w->active)]) != ALL, 0))
        take_foreign(w, members, source, value);
    u32* d = lanes<u32>(w, op->d);
    u32* p = op->target ? lanes<u32>(w, w->worker->lists[op->list]) : nullptr;
    if (!w->blend) {
        memcpy(d, value, sizeof value);
        if (p) memcpy(p, inside, sizeof inside);
        return rejoin(w, next);
    }
    for (u32 m = w->active; m; m &= m - 1) {
        u32 i = first_lane(m);
        d[i] = value[i];
        if (p) p[i] = inside[i];
    }
    return rejoin(w, next);
}

WS_INLINE void give_all(Warp* w, u32 offset, u32 value) {
    u32* d = lanes<u32>(w, offset);
    for (u32 m = w->active; m; m &= m - 1) d[first_lane(m)] = value;
}

enum VoteMode : s64 { VOTE_ALL, VOTE_ANY, VOTE_UNI, VOTE_BALLOT };

// a: predicate; e: member mask; imm: mode.
static const Operation* vote(Warp* w, const Operation* op) {
    const Operation* next;
    if (!assembled(w, op, op->e, next)) return next;
    u32 members = w->active & lanes<u32>(w, op->e)[first_lane(w->active)];
    u32 holds = guard_mask(w, op) & members;
    u32 answer = holds;
    if (op->imm == VOTE_ALL) answer = holds == members;
    if (op->imm == VOTE_ANY) answer = holds != 0;
    if (op->imm == VOTE_UNI) answer = holds == members || holds == 0;
    give_all(w, op->d, answer);
    return rejoin(w, next);
}

static const Operation* active_mask(Warp* w, const Operation* op) {
    give_all(w, op->d, w->active);
    return op + 1;
}

// a: value; e: member mask; bytes: its width; imm: 1 for match.all; list[0]: predicate, if target.
static const Operation* match(Warp* w, const Operation* op) {
    const Operation* next;
    if (!assembled(w, op, op->e, next)) return next;
    u32 members = w->active & lanes<u32>(w, op->e)[first_lane(w->active)];
    u64 value[LANES];
    for (u32 i = 0; i < LANES; i++) value[i] = op->bytes == 8 ? lanes<u64>(w, op->a)[i] : lanes<u32>(w, op->a)[i];
    u32 answer[LANES];
    bool all = true;
    for (u32 m = members; m; m &= m - 1) {
        u32 lane = first_lane(m);
        answer[lane] = 0;
        for (u32 q = members; q; q &= q - 1)
            answer[lane] |= u32(value[first_lane(q)] == value[lane]) << first_lane(q);
        all &= answer[lane] == members;
    }
    for (u32 m = members; m; m &= m - 1) {
        u32 lane = first_lane(m);
        lanes<u32>(w, op->d)[lane] = op->imm ? (all ? members : 0) : answer[lane];
        if (op->target) lanes<u32>(w, w->worker->lists[op->list])[lane] = all;
    }
    return rejoin(w, next);
}

enum ReduceMode : s64 { RED_ADD, RED_MIN_U, RED_MAX_U, RED_MIN_S, RED_MAX_S, RED_AND, RED_OR, RED_XOR, RED_ADD_S };

// a: value; e: member mask; imm: mode.
static const Operation* reduce(Warp* w, const Operation* op) {
    const Operation* next;
    if (!assembled(w, op, op->e, next)) return next;
    u32 members = w->active & lanes<u32>(w, op->e)[first_lane(w->active)];
    const u32* a = lanes<u32>(w, op->a);
    u32 sum = a[first_lane(members)];
    for (u32 m = members & (members - 1); m; m &= m - 1) {
        u32 x = a[first_lane(m)];
        switch (op->imm) {
            case RED_ADD: case RED_ADD_S: sum += x; break;
            case RED_MIN_U: sum = x < sum ? x : sum; break;
            case RED_MAX_U: sum = x > sum ? x : sum; break;
            case RED_MIN_S: sum = s32(x) < s32(sum) ? x : sum; break;
            case RED_MAX_S: sum = s32(x) > s32(sum) ? x : sum; break;
            case RED_AND: sum &= x; break;
            case RED_OR: sum |= x; break;
            default: sum ^= x;
        }
    }
    give_all(w, op->d, sum);
    return rejoin(w, next);
}

// d: register for the chosen lane; e: member mask; list[0]: predicate. The lowest member is elected.
static const Operation* elect(Warp* w, const Operation* op) {
    const Operation* next;
    if (!assembled(w, op, op->e, next)) return next;
    u32 chosen = first_lane(w->active & lanes<u32>(w, op->e)[first_lane(w->active)]);
    give_all(w, op->d, chosen);
    u32* p = lanes<u32>(w, w->worker->lists[op->list]);
    for (u32 m = w->active; m; m &= m - 1) p[first_lane(m)] = first_lane(m) == chosen;
    return rejoin(w, next);
}

}  // namespace
}  // namespace WS_NS
