// Barriers of a block, counted by lane, and meetings of the lanes of one warp.
#pragma once
#include "control.h"
#include "global_races.h"

namespace WS_NS {
namespace {

WS_INLINE u32 waiting_at(const Warp* w, u32 id) {
    if (w->together) return w->barrier == id ? w->waiting : 0;
    u32 mask = 0;
    for (u32 m = w->waiting; m; m &= m - 1) {
        u32 lane = first_lane(m);
        if (w->barrier_of[lane] == id) mask |= 1u << lane;
    }
    return mask;
}

WS_INLINE u32 barrier_position(const Warp* w, u32 lane) {
    return w->together ? w->barrier_position : w->barrier_at[lane];
}

enum Reduction : u32 { NO_REDUCTION, POPC, AND, OR };

WS_INLINE void give_reduction(Warp* w, u32 lane, const Barrier& barrier) {
    const Operation& op = w->code[barrier_position(w, lane)];
    if (op.imm == NO_REDUCTION) return;
    lanes<u32>(w, op.d)[lane] =
        op.imm == POPC ? barrier.count_true : op.imm == AND ? barrier.all_true : barrier.any_true;
}

WS_COLD void barrier_fault(Warp* w, u32 lane, u32 other_warp, u32 other_lane, u32 detail) {
    Warp& other = w->worker->warps[other_warp];
    fail(w, w->code + barrier_position(w, lane), WS_BARRIER, lane, detail);
    w->worker->fault.other_site = w->code[barrier_position(&other, other_lane)].site;
    w->worker->fault.other_thread = thread_of(&other, other_lane);
}

// Lets everybody at the barrier go on. Lanes of one warp must have come by the same instruction.
static bool release(Worker* k, u32 id) {
    Barrier& barrier = k->barriers[id];
    for (u32 m = barrier.warps; m; m &= m - 1) {
        Warp* w = &k->warps[first_lane(m)];
        u32 mask = waiting_at(w, id);
        u32 first = first_lane(mask), at = barrier_position(w, first);
        for (u32 q = mask; q && !w->together; q &= q - 1) {
            u32 lane = first_lane(q);
            if (w->barrier_at[lane] == at) continue;
            barrier_fault(w, first, w->index, lane, WS_DIFFERENT_INSTRUCTIONS);
            return false;
        }
        // A warp comes whole to an aligned barrier, whatever the order in which its lanes do.
        if (w->code[at].flags & WS_ALIGNED && mask != w->alive) {
            fail(w, w->code + at, WS_BARRIER, first_lane(w->alive & ~mask), WS_PART_OF_WARP);
            return false;
        }
        views_leave(w, id, mask);
        if (w->code[at].imm != NO_REDUCTION)
            for (u32 q = mask; q; q &= q - 1) give_reduction(w, first_lane(q), barrier);
        w->waiting &= ~mask;
    }
    if (k->races) {
        bool everybody = meets_everybody(k, barrier.warps);
        if (!everybody && k->races->epoch.calm) tell(k);
        order_release(k->order, id, barrier.warps);
        if (everybody) epoch_next(k->races->epoch);
    }
    views_left(k, id, !barrier.expected);
    memset(&barrier, 0, sizeof barrier);
    return true;
}

static bool release_if_complete(Worker* k, u32 id) {
    Barrier& barrier = k->barriers[id];
    if (!barrier.arrived || barrier.arrived < (barrier.expected ? barrier.expected : k->live)) return true;
    return release(k, id);
}

// Threads exited: a barrier for all threads may be complete now.
static void thread_left(Warp* w, u32 count) {
    Worker* k = w->worker;
    k->live -= count;
    for (u32 id = 0; id < MAX_BARRIERS; id++)
        if (k->barriers[id].arrived && !k->barriers[id].expected && !release_if_complete(k, id))
            w->status = Status::FAULTED;
}

// Those of `group` that name the same barrier as its first lane. Lanes that run one turn of a loop ahead of the others
// name another one where the turns alternate between barriers.
WS_INLINE u32 of_one_barrier(Warp* w, const Operation* op, u32 group) {
    const u32* id = lanes<u32>(w, op->a);
    u32 first = id[first_lane(group)], same = 0;
    for (u32 i = 0; i < LANES; i++) same |= u32(id[i] == first) << i;
    return group & same;
}

// a: barrier; b: threads, where flags say so; c: predicate of bar.red.
static bool arrive(Warp* w, const Operation* op, u32 group, u32& id) {
    Worker* k = w->worker;
    u32 lane = first_lane(group);
    id = lanes<u32>(w, op->a)[lane];
    u32 expected = op->bytes ? lanes<u32>(w, op->b)[lane] : 0;
    if (id >= MAX_BARRIERS || expected > k->warp_count * LANES || (op->bytes && (expected == 0 || expected % LANES))) {
        fail(w, op, WS_BARRIER, lane, WS_BAD_BARRIER);
        return false;
    }
    Barrier& barrier = k->barriers[id];
    if (!barrier.arrived) {
        barrier.expected = expected;
        barrier.all_true = 1;
        barrier.first_site = op->site;
    } else if (barrier.expected != expected) {
        fail(w, op, WS_BARRIER, lane, WS_DIFFERENT_COUNTS);
        k->fault.other_site = barrier.first_site;
        return false;
    }
    barrier.arrived += u32(__builtin_popcount(group));
    if (op->imm != NO_REDUCTION) {
        u32 holds = mask_of(lanes<u32>(w, op->c));
        if (op->flags & WS_NEGATED) holds = ~holds;
        holds &= group;
        barrier.count_true += u32(__builtin_popcount(holds));
        barrier.all_true &= holds == group;
        barrier.any_true |= holds != 0;
    }
    views_arrive(w, id, group);
    if (k->order) order_arrive(k->order, id, w->index);
    return true;
}

// Lets `group` wait at the barrier that its lanes name.
static bool wait_at_barrier(Warp* w, const Operation* op, u32 group) {
    u32 id;
    if (!arrive(w, op, group, id)) return false;
    park(w, group, position_of(w, op + 1));
    w->waiting |= group;
    w->barrier = id;
    w->barrier_position = position_of(w, op);
    if (!w->together)
        for (u32 m = group; m; m &= m - 1) {
            u32 lane = first_lane(m);
            w->barrier_of[lane] = id;
            w->barrier_at[lane] = w->barrier_position;
        }
    w->worker->barriers[id].warps |= 1u << w->index;
    if (release_if_complete(w->worker, id)) return true;
    w->status = Status::FAULTED;
    return false;
}

static const Operation* bar_sync(Warp* w, const Operation* op) {
    for (u32 rest = w->active, group; rest; rest &= ~group) {
        group = of_one_barrier(w, op, rest);
        if (!wait_at_barrier(w, op, group)) return nullptr;
    }
    return dispatch(w);
}

static const Operation* bar_arrive(Warp* w, const Operation* op) {
    for (u32 rest = w->active, group; rest; rest &= ~group) {
        u32 id;
        group = of_one_barrier(w, op, rest);
        if (!arrive(w, op, group, id)) return nullptr;
        if (release_if_complete(w->worker, id)) continue;
        w->status = Status::FAULTED;
        return nullptr;
    }
    return op + 1;
}

// The lanes named by a member mask go on together; true when all that still live are here.
WS_INLINE bool all_here(Warp* w, u32 members) { return !(members & w->alive & ~w->active); }

WS_COLD const Operation* wait_for_members(Warp* w, const Operation* op, u32 members) {
    u32 group = w->active;
    park(w, group, position_of(w, op));
    separate(w);
    for (u32 m = group; m; m &= m - 1) w->meeting_mask[first_lane(m)] = members;
    w->meeting |= group;
    return dispatch(w);
}

static const Operation* bar_warp_sync(Warp* w, const Operation* op);

// What several exchanges do as one: an operation of its own over registers of its own.
struct JointExchange {
    enum Slot : u32 { D, A, B, C, E, P, SLOTS };
    static constexpr u32 WIDTH = LANES * 8;
    alignas(64) u8 registers[SLOTS * WIDTH];
    Operation op;
    u32 list;

    explicit JointExchange(const Operation& like) : registers(), op(like), list(P * WIDTH) {
        op.d = D * WIDTH, op.a = A * WIDTH, op.b = B * WIDTH, op.c = C * WIDTH, op.e = E * WIDTH;
        op.list = 0;
        op.target = 1;
        op.flags &= ~u32(WS_NEGATED);
    }
    u32& word(Slot slot, u32 lane) { return reinterpret_cast<u32*>(registers + slot * WIDTH)[lane]; }
    void bring(Warp* w, u32 lane) {
        const Operation& from = w->code[w->position[lane]];
        word(B, lane) = lanes<u32>(w, from.b)[lane];
        word(C, lane) = lanes<u32>(w, from.c)[lane];
        word(E, lane) = lanes<u32>(w, from.e)[lane];
        if (from.bytes == 8) reinterpret_cast<u64*>(registers + A * WIDTH)[lane] = lanes<u64>(w, from.a)[lane];
        else word(A, lane) = lanes<u32>(w, from.a)[lane];
        if (from.flags & WS_NEGATED) word(A, lane) = !word(A, lane);
    }
    void give(Warp* w, u32 lane) {
        const Operation& to = w->code[w->position[lane]];
        lanes<u32>(w, to.d)[lane] = word(D, lane);
        if (to.target) lanes<u32>(w, w->worker->lists[to.list])[lane] = word(P, lane);
    }
};

// The members stand at several instructions of one name, which take part in one exchange.
WS_COLD void exchange_at_several(Warp* w, u32 members) {
    JointExchange all(w->code[w->position[first_lane(members)]]);
    for (u32 m = members; m; m &= m - 1) all.bring(w, first_lane(m));
    u8* registers = w->registers;
    const u32* lists = w->worker->lists;
    w->registers = all.registers;
    w->worker->lists = &all.list;
    w->pending = 0;
    set_active(w, members);
    all.op.run(w, &all.op);
    w->registers = registers;
    w->worker->lists = lists;
    for (u32 m = members; m; m &= m - 1) all.give(w, first_lane(m));
}

// The ISA asks of bar.warp.sync, shfl, vote, match and redux for the same qualifiers and the same mask, not for the
// same instruction: two sides of a branch may have one each.
static bool alike(const Operation& a, const Operation& b) {
    return a.flags & b.flags & WS_ANYWHERE && a.run == b.run && a.imm == b.imm && a.bytes == b.bytes;
}

static bool meet_at_several(Warp* w) {
    for (u32 m = w->meeting; m; m &= m - 1) {
        u32 lane = first_lane(m), mask = w->meeting_mask[lane], members = mask & w->alive, here = 0;
        const Operation& op = w->code[w->position[lane]];
        for (u32 q = members & w->meeting; q; q &= q - 1) {
            u32 other = first_lane(q);
            here |= u32(alike(op, w->code[w->position[other]]) && w->meeting_mask[other] == mask) << other;
        }
        if (!here || members & ~here) continue;
        w->meeting &= ~members;
        if (op.run == bar_warp_sync) lanes_met(w, members);
        else exchange_at_several(w, members);
        for (u32 q = members; q; q &= q - 1) w->position[first_lane(q)]++;
        return true;
    }
    return false;
}

// Lanes that reached the same instruction with everybody their mask names resume there as one group.
static bool meet(Warp* w) {
    for (u32 m = w->meeting; m; m &= m - 1) {
        u32 lane = first_lane(m), here = 0;
        for (u32 q = w->meeting; q; q &= q - 1) {
            u32 other = first_lane(q);
            if (w->position[other] == w->position[lane]) here |= 1u << other;
        }
        u32 members = w->meeting_mask[lane] & w->alive;
        if (members & ~here) continue;
        w->meeting &= ~(members & here);
        return true;
    }
    return meet_at_several(w);
}

WS_INLINE bool one_mask(const Warp* w, const u32* mask, u32 members) {
#if defined(__AVX512F__)
    __m512i wanted = _mm512_set1_epi32(s32(members));
    u32 differ = joined(_mm512_cmpneq_epi32_mask(_mm512_load_si512(mask), wanted),
                        _mm512_cmpneq_epi32_mask(_mm512_load_si512(mask + 16), wanted));
    return !(differ & w->active);
#else
    u32 differ = 0;
    for (u32 i = 0; i < LANES; i++) differ |= u32(mask[i] != members) << i;
    return !(differ & w->active);
#endif
}

// The active lanes name different members: those with the first lane's mask go first, the others stay where they are.
WS_COLD bool meet_apart(Warp* w, const Operation* op, const u32* mask, const Operation*& next) {
    u32 members = mask[first_lane(w->active)], group = 0, at = position_of(w, op);
    separate(w);
    for (u32 m = w->active; m; m &= m - 1) {
        u32 lane = first_lane(m);
        if (!(mask[lane] >> lane & 1)) {
            next = fail(w, op, WS_BARRIER, lane, WS_LANE_NOT_IN_MASK);
            return false;
        }
        if (mask[lane] == members) group |= 1u << lane;
        w->position[lane] = at;
    }
    w->pending |= w->active & ~group;
    w->min_pending = at < w->min_pending ? at : w->min_pending;
    set_active(w, group);
    if (all_here(w, members)) return true;
    next = wait_for_members(w, op, members);
    return false;
}

// Whether the lanes named by the member mask at `offset` are here, so that the instruction acts for the active ones;
// else `next` is what the warp does instead, which may be the operation behind it for other lanes.
WS_INLINE bool assembled(Warp* w, const Operation* op, u32 offset, const Operation*& next) {
    u32 members = lanes<u32>(w, offset)[first_lane(w->active)];
    next = op + 1;
    if (__builtin_expect(w->active & ~members || !one_mask(w, lanes<u32>(w, offset), members), 0))
        return meet_apart(w, op, lanes<u32>(w, offset), next);
    if (__builtin_expect(all_here(w, members), 1)) return true;
    next = wait_for_members(w, op, members);
    return false;
}

static const Operation* bar_warp_sync(Warp* w, const Operation* op) {
    const Operation* next;
    if (!assembled(w, op, op->a, next)) return next;
    lanes_met(w, w->active);
    return rejoin(w, next);
}

// imm: whether other blocks are meant too.
static const Operation* memory_fence(Warp* w, const Operation* op) {
    fence(w, w->active, op->imm);
    return op + 1;
}

// Nobody can go on: names two waiting places where there are two.
static void deadlock(Worker* k) {
    Warp* first = nullptr;
    u32 lane = 0;
    for (u32 i = 0; i < k->warp_count; i++) {
        Warp* w = &k->warps[i];
        for (u32 m = w->alive; m; m &= m - 1) {
            u32 other = first_lane(m);
            if (w->meeting >> other & 1) {
                fail(w, w->code + w->position[other], WS_BARRIER, other, WS_LANES_NEVER_ARRIVE);
                return;
            }
            if (!first) {
                first = w;
                lane = other;
                continue;
            }
            u32 mine = first->together ? first->barrier : first->barrier_of[lane];
            u32 theirs = w->together ? w->barrier : w->barrier_of[other];
            if (mine == theirs) continue;
            barrier_fault(first, lane, i, other, WS_DIFFERENT_BARRIERS);
            return;
        }
    }
    fail(first, first->code + barrier_position(first, lane), WS_DEADLOCK, lane);
}

}  // namespace
}  // namespace WS_NS
