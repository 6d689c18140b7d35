// Fences, strong accesses and barriers as they happen: what threads publish, learn, and share where they meet.
//
// Threads at a barrier share what they know, what they have fenced, and what they have seen and not fenced yet. A
// barrier behind a strong read is the reader's fence for what its own block published, and for nothing beyond it.
#pragma once
#include "learning.h"

namespace WS_NS {
namespace {

static void fence(Warp* w, u32 mask, bool far) {
    Worker* k = w->worker;
    if (!k->views) return;
    Fence* f = fence_now(k->order, w->index);
    for (u32 m = mask; m; m &= m - 1) {
        View& v = k->views[thread_of(w, first_lane(m))];
        learn_more(v.known, v.pending, !far);
        if (far) put(v.pending, static_cast<Knowledge*>(nullptr));
        put(v.near, f);
        put(v.near_known, v.known);
        v.published = nullptr;
        if (!far) continue;
        put(v.far, f);
        put(v.far_known, v.known);
    }
    drop(f);
    k->order->stamp[w->index] = ++k->order->now;
    k->views_alike = false;
}

// `upto`: publications of the location that the read sees.
static void read_strongly(Worker* k, u32 thread, u32 location, u32 upto, bool far, bool acquires) {
    const Location& at = k->ledger->locations[location];
    if (at.start >= upto) return;
    Reference ref = {location, at.start, upto, !far};
    Knowledge one = {1, 1, 0, {}, &ref};
    Knowledge*& place = acquires ? k->views[thread].known : k->views[thread].pending;
    Knowledge* nothing = place ? place : made<Knowledge>();
    if (!place) nothing->refs = 1;
    place = joined(nothing, &one, false);
    drop(nothing);
    k->views_alike = false;
}

static void append(Ledger* l, u32 location, Publication* p) {
    Location& at = l->locations[location];
    if (at.count == at.capacity) {
        at.capacity = at.capacity ? 2 * at.capacity : 8;
        at.log = static_cast<Publication**>(realloc(at.log, at.capacity * sizeof(Publication*)));
        if (!at.log) abort();
    }
    p->before = l->last_size ? last_of(l, location, p->block)->index : 0;
    at.log[at.count] = p;
    note_last(l, location, p->block, at.count++);
}

// Whether strong loads of what stands in this space are held against what their threads saw elsewhere.
WS_INLINE bool hands_over(const Worker* k, u64 space) { return !space && k->views && k->launch->orders & WS_HANDS_OVER; }

static void write_strongly(Worker* k, u32 thread, u64 space, u64 address, bool far, bool updates) {
    Ledger* l = k->ledger;
    View& v = k->views[thread];
    bool judged = hands_over(k, space);
    u32 location = location_of(l, space, address, v.near || judged);
    if (location == ALL) return;
    Location& at = l->locations[location];
    // Reads from now on see this value, and what was published under earlier ones is not theirs.
    if (!updates) at.start = at.count;
    if (!v.near && !judged) return;
    u32 stamp = k->order->stamp[thread / LANES];
    bool said = v.published && v.published == v.near && v.published_at == location && v.published_index >= at.start;
    if (said && v.published_index < at.count && (!judged || at.log[v.published_index]->self == stamp)) return;
    v.published = v.near;
    v.published_at = location;
    v.published_index = at.count;
    auto* p = made<Publication>();
    *p = {block_number(k), thread, k->order->base, stamp, 0, far ? keep(v.far) : nullptr, keep(v.near),
          far ? keep(v.far_known) : nullptr, keep(v.near_known), judged ? fence_now(k->order, thread / LANES) : nullptr};
    append(l, location, p);
}

// A volatile, relaxed, acquiring, releasing or atomic access of one lane. A release is a fence in front of it, and so
// none behind what it reads.
static void strong_access(Warp* w, const Operation* op, u32 lane, u64 space, u64 address, bool reads, bool writes) {
    Worker* k = w->worker;
    if (!k->views) return;
    u32 thread = thread_of(w, lane);
    bool far = !(op->flags & WS_BLOCK_SCOPE);
    if (writes && op->flags & WS_RELEASES) fence(w, 1u << lane, far);
    u32 location = reads ? location_of(k->ledger, space, address, false) : ALL;
    if (location != ALL)
        read_strongly(k, thread, location, k->ledger->locations[location].count, far, op->flags & WS_ACQUIRES);
    if (writes) write_strongly(k, thread, space, address, far, reads);
}

// The same, and what tells a value that a thread waited for from one it takes to be there.
static void begin_strong(Warp* w, const Operation* op, u32 lane, u64 space, u64 address, Use use) {
    Order* r = w->worker->order;
    u32 i = w->index;
    // What comes before another strong write and what behind it must be told apart.
    if (use != Use::READ && hands_over(w->worker, space)) r->stamp[i] = ++r->now;
    if (use == Use::UPDATE || op->flags & WS_AWAITS) r->shared_flags[i] = r->stamp[i];
    else if (use == Use::WRITE && r->shared_flags[i] == r->stamp[i]) r->stamp[i] = ++r->now;
    strong_access(w, op, lane, space, address, use != Use::WRITE, use != Use::READ);
}

// A volatile load that finds what another lane of its warp stored, without waiting for it and without anything
// between that would order the two, trusts that lanes run in step.
WS_INLINE bool trusts_lockstep(Worker* k, const Operation* op, u32 thread, u32 writer, u32 stamp) {
    const Order* r = k->order;
    u32 w = thread / LANES;
    if (op->flags & WS_AWAITS || writer == thread || writer / LANES != w) return false;
    return stamp > r->shared_flags[w] && !over(k, r, thread, writer, stamp);
}

// What threads bring to a barrier and take away from it.
struct Shared {
    Fence *far, *near;
    Knowledge *far_known, *near_known, *known, *pending;
    const Fence *far_last, *near_last;  // the same
    Knowledge* pending_last;  // joined already
};

// What of `seen` other blocks may have published.
static Knowledge* from_afar(const Ledger* l, Knowledge* seen) {
    u32 count = 0;
    for (u32 i = 0; i < seen->count; i++) count += !seen->items[i].near && !l->locations[seen->items[i].location].space;
    if (count == seen->count) return keep(seen);
    if (!count) return nullptr;
    auto* far = made<Knowledge>();
    far->refs = 1;
    far->items = made<Reference>(count);
    for (u32 i = 0; i < seen->count; i++) {
        const Reference& ref = seen->items[i];
        if (!ref.near && !l->locations[ref.location].space) far->items[far->count++] = ref;
    }
    return far;
}

static void bring_pending(const Ledger* l, Shared& s, Knowledge* seen, bool fences) {
    if (!seen || seen == s.pending_last) return;
    put(s.pending_last, seen);
    if (fences) learn_more(s.known, seen, true);
    Knowledge* far = fences ? from_afar(l, seen) : keep(seen);
    learn_more(s.pending, far);
    drop(far);
}

static void bring(const Ledger* l, Shared& s, const View& v, u32 thread, u32 threads, bool fences) {
    if (v.known != s.known) learn_more(s.known, v.known);
    bring_pending(l, s, v.pending, fences);
    // A joined fence says the same of every thread.
    if (v.far && (v.far != s.far_last || !v.far->own)) join_fence(s.far, v.far, thread, threads);
    if (v.near && (v.near != s.near_last || !v.near->own)) join_fence(s.near, v.near, thread, threads);
    s.far_last = v.far;
    s.near_last = v.near;
    if (v.far_known != s.far_known) learn_more(s.far_known, v.far_known);
    if (v.near_known != s.near_known) learn_more(s.near_known, v.near_known);
}

static void take_away(const Shared& s, View& v) {
    put(v.known, s.known);
    put(v.pending, s.pending);
    put(v.far, s.far);
    put(v.near, s.near);
    put(v.far_known, s.far_known);
    put(v.near_known, s.near_known);
    v.published = nullptr;
}

static void forget(Shared& s) {
    drop(s.far), drop(s.near), drop(s.far_known), drop(s.near_known), drop(s.known);
    drop(s.pending), drop(s.pending_last);
    s = {};
}

static void bring_all(Warp* w, Shared& s, u32 mask, bool fences) {
    Worker* k = w->worker;
    for (u32 m = mask; m; m &= m - 1) {
        u32 thread = thread_of(w, first_lane(m));
        bring(k->ledger, s, k->views[thread], thread, k->warp_count * LANES, fences);
    }
}

static void take_all_away(Warp* w, const Shared& s, u32 mask) {
    for (u32 m = mask; m; m &= m - 1) take_away(s, w->worker->views[thread_of(w, first_lane(m))]);
}

// Lanes of a warp reach a barrier of the block, and go on from it.
static void views_arrive(Warp* w, u32 barrier, u32 mask) {
    Worker* k = w->worker;
    if (k->views && !k->views_alike) bring_all(w, k->gathered[barrier], mask, true);
}

static void views_leave(Warp* w, u32 barrier, u32 mask) {
    Worker* k = w->worker;
    if (k->views && !k->views_alike) take_all_away(w, k->gathered[barrier], mask);
}

// `all`: every thread of the block was there.
static void views_left(Worker* k, u32 barrier, bool all) {
    if (!k->views) return;
    forget(k->gathered[barrier]);
    if (all) k->views_alike = true;
}

static void end_views(Worker* k) {
    if (!k->views) return;
    for (u32 t = 0; t < k->warp_count * LANES; t++) clear(k->views[t]);
    for (u32 b = 0; b < MAX_BARRIERS; b++) forget(k->gathered[b]);
    k->views_alike = true;
}

// Some or all lanes of a warp met at bar.warp.sync.
static void lanes_met(Warp* w, u32 mask) {
    Worker* k = w->worker;
    if (!k->order) return;
    Epoch& epoch = k->order->epoch;
    if (epoch.calm && epoch.touched >> w->index & 1) tell(k);
    order_lanes(k->order, w->index, mask, lanes_begun(k, w->index));
    if (!k->views || k->views_alike) return;
    Shared s = {};
    bring_all(w, s, mask, false);
    take_all_away(w, s, mask);
    forget(s);
}

}  // namespace
}  // namespace WS_NS
