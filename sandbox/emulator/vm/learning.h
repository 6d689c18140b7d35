// Whether a thread has learnt, through flags and locks, that an access of another one is over.
//
// A question follows the stretches of logs that the thread read, and what the publishers there had learnt themselves,
// until a publication's fence covers the access.
#pragma once
#include "ledger.h"

namespace WS_NS {
namespace {

WS_INLINE u32 block_number(const Worker* k) { return u32(k->position) + 1; }

static const Fence* fence_seen(const Publication* p, bool near) { return near ? p->near : p->far; }

static bool answers(const Publication* p, u32 asking, bool near, u32 block, u32 thread, u32 stamp) {
    if (p->block != block || (near && block != asking)) return false;
    const Fence* f = fence_seen(p, block == asking);
    return f && covers(f, p->thread, thread, stamp + p->base);
}

// A publication within `ref` that itself covers the access.
static Publication* direct_answer(Ledger* l, const Reference& ref, u32 asking, u32 block, u32 thread, u32 stamp) {
    if (ref.near && block != asking) return nullptr;
    const LastPublication* last = l->last_size ? last_of(l, ref.location, block) : nullptr;
    const Location& at = l->locations[ref.location];
    for (u32 index = last ? last->index : 0; index > ref.from; index = at.log[index - 1]->before)
        if (index <= ref.to && answers(at.log[index - 1], asking, ref.near, block, thread, stamp))
            return at.log[index - 1];
    return nullptr;
}

struct Trail {
    Reference* items;
    u32 count, capacity;
};

static void follow(Ledger* l, Trail& trail, const Reference& ref) {
    Location& at = l->locations[ref.location];
    if (at.asked == l->question && at.from <= ref.from && at.to >= ref.to) return;
    at.asked = l->question;
    at.from = ref.from;
    at.to = ref.to;
    if (trail.count == trail.capacity) {
        trail.capacity = trail.capacity ? 2 * trail.capacity : 64;
        trail.items = static_cast<Reference*>(realloc(trail.items, trail.capacity * sizeof(Reference)));
        if (!trail.items) abort();
    }
    trail.items[trail.count++] = ref;
}

// The same through what publishers had learnt themselves.
static Publication* distant_answer(Ledger* l, const Knowledge* known, u32 asking, u32 block, u32 thread, u32 stamp) {
    Trail trail = {};
    Publication* found = nullptr;
    l->question++;
    for (u32 i = 0; i < known->count; i++) follow(l, trail, known->items[i]);
    for (u32 next = 0; next < trail.count && !found; next++) {
        Reference ref = trail.items[next];
        found = direct_answer(l, ref, asking, block, thread, stamp);
        for (u32 i = ref.from; i < ref.to && !found; i++) {
            const Publication* p = l->locations[ref.location].log[i];
            if (ref.near && p->block != asking) continue;
            const Knowledge* more = p->block == asking ? p->near_known : p->far_known;
            for (u32 j = 0; more && j < more->count; j++) {
                Reference further = more->items[j];
                if (p->block != asking && further.near) continue;
                follow(l, trail, further);
            }
        }
    }
    free(trail.items);
    return found;
}

static bool knows(Ledger* l, Knowledge* known, u32 asking, u32 block, u32 thread, u32 stamp) {
    if (!known) return false;
    const Publication* last = known->by_thread ? known->by_thread[thread % ANSWERS] : nullptr;
    if (last && answers(last, asking, false, block, thread, stamp)) return true;
    for (Publication* p : known->memo)
        if (p && answers(p, asking, false, block, thread, stamp)) return true;
    Publication* found = nullptr;
    for (u32 i = known->count; i-- && !found;)
        found = direct_answer(l, known->items[i], asking, block, thread, stamp);
    if (!found) found = distant_answer(l, known, asking, block, thread, stamp);
    if (!found) return false;
    known->memo[known->next_memo++ % 8] = found;
    if (!known->by_thread) known->by_thread = made<Publication*>(ANSWERS);
    known->by_thread[thread % ANSWERS] = found;
    return true;
}

// Whether thread `me` learnt that what a thread of any block did at `stamp` is over.
WS_COLD bool learnt_from(Worker* k, u32 me, u32 block, u32 thread, u32 stamp) {
    return k->views && knows(k->ledger, k->views[me].known, block_number(k), block, thread, stamp);
}

// Whether thread `me` learnt of what `thread` did to global `address` by publishing there, which its fence does not cover.
WS_COLD bool saw_published(Worker* k, u32 me, u64 address, u32 block, u32 thread, u32 stamp) {
    const Knowledge* known = k->views ? k->views[me].known : nullptr;
    u32 location = known ? location_of(k->ledger, 0, address, false) : ALL;
    if (location == ALL) return false;
    const Location& at = k->ledger->locations[location];
    for (u32 i = 0; i < known->count; i++) {
        const Reference& ref = known->items[i];
        if (ref.location != location) continue;
        for (u32 index = last_of(k->ledger, location, block)->index; index > ref.from; index = at.log[index - 1]->before) {
            const Publication* p = at.log[index - 1];
            bool told = !ref.near || block == block_number(k);
            if (index <= ref.to && told && p->near && p->thread == thread && stamp + p->base <= p->self) return true;
        }
    }
    return false;
}

// Whether thread `me` saw, at another address, what the block of `thread` wrote strongly behind that thread's access to
// global `address`, and no fence it knows of covers the access: it may see the later one and miss this one.
WS_COLD bool overtaken(Worker* k, u32 me, u64 address, u32 block, u32 thread, u32 stamp) {
    Ledger* l = k->ledger;
    const View& v = k->views[me];
    bool saw = false;
    for (const Knowledge* seen : {v.known, v.pending})
        for (u32 i = 0; seen && i < seen->count && !saw; i++) {
            const Reference& ref = seen->items[i];
            const Location& at = l->locations[ref.location];
            if (ref.near || at.space || at.address == address) continue;
            for (u32 index = last_of(l, ref.location, block)->index; index > ref.from && !saw;
                 index = at.log[index - 1]->before) {
                const Publication* p = at.log[index - 1];
                saw = index <= ref.to && p->then && covers(p->then, p->thread, thread, stamp + p->base);
            }
        }
    if (!saw) return false;
    u32 here = block_number(k);
    return !knows(l, v.known, here, block, thread, stamp) && !knows(l, v.pending, here, block, thread, stamp);
}

WS_COLD bool learnt(Worker* k, u32 me, u32 other, u32 stamp) {
    return learnt_from(k, me, block_number(k), other, stamp - k->order->base);
}

}  // namespace
}  // namespace WS_NS
