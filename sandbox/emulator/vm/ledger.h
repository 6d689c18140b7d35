// What threads learn from each other through memory: fences, releases and acquires, with scopes.
//
// A strong write (volatile, relaxed, atomic) publishes at its address what its thread had fenced, and a strong read
// learns what stands there once a fence or a barrier follows it, as PTX's release and acquire patterns say (PTX ISA,
// "Memory Consistency Model"). Publications are kept in a log by address and knowledge refers to stretches of logs, so
// that nothing is copied until somebody asks whether an access is over. Threads at a barrier share what they know and
// what they have fenced; a barrier behind a strong read counts as the reader's fence, as NVIDIA's own
// threadFenceReduction sample has it.
#pragma once
#include "order.h"

namespace WS_NS {
namespace {

// What was over for a thread when it executed a fence.
struct Fence {
    u32 refs, warp;
    u32 stamp;  // of the fencing threads' own accesses, the last one covered
    u32 row[MAX_WARPS];
    u32* own;           // by thread, where the fences of several threads were joined
    LaneClock* lanes;   // of the warp, where its lanes met in parts
};

// Publications [from, to) of an address; near: those of the reader's block alone.
struct Reference {
    u32 location, from, to, near;
};

struct Publication;
struct Knowledge {
    u32 refs, count, next_memo;
    Publication* memo[8];  // what answered earlier questions
    Reference* items;
};

struct Publication {
    u32 block, thread;
    u32 base;    // of the block's stamps: those of questions count from it
    u32 self;    // stamp of the access that published
    u32 before;  // index + 1 of the same block's last one at this address
    Fence *far, *near;
    Knowledge *far_known, *near_known;
};

struct Location {
    u64 space, address;  // space: 0 for global memory, else the block whose shared memory it is
    u32 start;           // what a read sees now begins here
    u32 count, capacity;
    Publication** log;
    u32 asked, from, to;  // the question that went through [from, to) last
};

struct LastPublication {
    u32 location, block, index;  // index + 1; 0 for an unused entry
};

struct Ledger {
    Location* locations;
    u32 count, capacity;
    u32* table;  // index + 1 by hash
    u32 table_size;
    LastPublication* last;
    u32 last_count, last_size;
    u32 question;
};

struct View {
    Fence *far, *near;  // last fence of each scope
    Knowledge *far_known, *near_known, *known, *pending;
    Fence* published;  // and where: nothing is said twice
    u32 published_at, published_index;
};

template <class T> T* made(u64 count = 1) {
    void* memory = calloc(size_t(count), sizeof(T));
    if (!memory) abort();
    return static_cast<T*>(memory);
}

static Fence* keep(Fence* f) {
    if (f) f->refs++;
    return f;
}
static void drop(Fence* f) {
    if (!f || --f->refs) return;
    free(f->own);
    free(f->lanes);
    free(f);
}
static Knowledge* keep(Knowledge* k) {
    if (k) k->refs++;
    return k;
}
static void drop(Knowledge* k) {
    if (!k || --k->refs) return;
    free(k->items);
    free(k);
}
template <class T> void put(T*& place, T* value) {
    keep(value);
    drop(place);
    place = value;
}

static void clear(View& v) {
    drop(v.far), drop(v.near), drop(v.far_known), drop(v.near_known), drop(v.known), drop(v.pending);
    v = {};
}

// `a` and what `b` adds; near: only what b's own block said. The caller owns the result.
static Knowledge* joined(Knowledge* a, const Knowledge* b, bool near) {
    if (!b || (a == b && !near)) return keep(a);
    if (!a && !near) return keep(const_cast<Knowledge*>(b));
    auto* sum = made<Knowledge>();
    sum->refs = 1;
    u32 old = a ? a->count : 0;
    sum->items = made<Reference>(old + b->count);
    for (u32 i = 0; i < old; i++) sum->items[i] = a->items[i];
    sum->count = old;
    for (u32 j = 0; j < b->count; j++) {
        Reference more = b->items[j];
        more.near |= near;
        bool known = false;
        for (u32 i = 0; i < sum->count && !known; i++) {
            Reference& has = sum->items[i];
            if (has.location != more.location) continue;
            known = has.from <= more.from && has.to >= more.to && has.near <= more.near;
            if (!known && more.from <= has.from && more.to >= has.to && more.near <= has.near) {
                has = more;
                known = true;
            }
        }
        if (!known) sum->items[sum->count++] = more;
    }
    return sum;
}

static void learn_more(Knowledge*& place, const Knowledge* b, bool near = false) {
    Knowledge* sum = joined(place, b, near);
    drop(place);
    place = sum;
}

static Fence* fence_now(const Order* r, u32 w) {
    auto* f = made<Fence>();
    f->refs = 1;
    f->warp = w;
    f->stamp = r->stamp[w];
    memcpy(f->row, r->clock[w], sizeof f->row);
    if (r->partial >> w & 1) {
        f->lanes = made<LaneClock>();
        *f->lanes = r->lanes[w];
    }
    return f;
}

// Whether the fence of thread `me` covers what `other` of its block did at `stamp`.
static bool covers(const Fence* f, u32 me, u32 other, u32 stamp) {
    if (stamp < f->row[other / LANES] || (f->own && stamp < f->own[other])) return true;
    if (me / LANES != f->warp) return false;
    if (me == other) return stamp <= f->stamp;
    return f->lanes && other / LANES == f->warp && stamp < f->lanes->over[me % LANES][other % LANES];
}

// Adds to `sum`, which nobody else has yet, what the fence of thread `me` covers.
static void join_fence(Fence*& sum, const Fence* f, u32 me, u32 threads) {
    if (!f) return;
    if (!sum) {
        sum = made<Fence>();
        sum->refs = 1;
        sum->warp = ALL;
        sum->own = made<u32>(threads);
    }
    for (u32 v = 0; v < MAX_WARPS; v++) sum->row[v] = f->row[v] > sum->row[v] ? f->row[v] : sum->row[v];
    for (u32 t = 0; t < threads && f->own; t++) sum->own[t] = f->own[t] > sum->own[t] ? f->own[t] : sum->own[t];
    if (me / LANES != f->warp) return;
    if (sum->own[me] < f->stamp + 1) sum->own[me] = f->stamp + 1;
    for (u32 j = 0; j < LANES && f->lanes; j++) {
        u32 over = f->lanes->over[me % LANES][j], &has = sum->own[f->warp * LANES + j];
        has = over > has ? over : has;
    }
}

// Places and logs

WS_INLINE u64 scatter(u64 x) {
    x ^= x >> 32;
    x *= 0x9E3779B97F4A7C15ull;
    return x ^ x >> 29;
}

static void index_locations(Ledger* l, u32 size) {
    free(l->table);
    l->table = made<u32>(size);
    l->table_size = size;
    for (u32 i = 0; i < l->count; i++) {
        u64 slot = scatter(l->locations[i].address + (l->locations[i].space << 40));
        while (l->table[slot & (size - 1)]) slot++;
        l->table[slot & (size - 1)] = i + 1;
    }
}

// Index of the location, or ALL where nothing was published there; `make` adds it.
static u32 location_of(Ledger* l, u64 space, u64 address, bool make) {
    if (!l->table_size) {
        if (!make) return ALL;
        index_locations(l, 256);
    }
    u64 slot = scatter(address + (space << 40));
    for (; u32 at = l->table[slot & (l->table_size - 1)]; slot++) {
        const Location& it = l->locations[at - 1];
        if (it.address == address && it.space == space) return at - 1;
    }
    if (!make) return ALL;
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? 2 * l->capacity : 64;
        l->locations = static_cast<Location*>(realloc(l->locations, l->capacity * sizeof(Location)));
        if (!l->locations) abort();
    }
    l->locations[l->count] = {space, address, 0, 0, 0, nullptr, 0, 0, 0};
    l->table[slot & (l->table_size - 1)] = ++l->count;
    if (4 * l->count > 3 * l->table_size) index_locations(l, 2 * l->table_size);
    return l->count - 1;
}

static LastPublication* last_of(Ledger* l, u32 location, u32 block) {
    u64 slot = scatter(u64(location) << 32 | block);
    for (;; slot++) {
        LastPublication& it = l->last[slot & (l->last_size - 1)];
        if (!it.index || (it.location == location && it.block == block)) return &it;
    }
}

static void note_last(Ledger* l, u32 location, u32 block, u32 index) {
    if (4 * l->last_count >= 3 * l->last_size) {
        LastPublication* old = l->last;
        u32 size = l->last_size;
        l->last_size = size ? 2 * size : 256;
        l->last = made<LastPublication>(l->last_size);
        for (u32 i = 0; i < size; i++)
            if (old[i].index) *last_of(l, old[i].location, old[i].block) = old[i];
        free(old);
    }
    LastPublication* it = last_of(l, location, block);
    l->last_count += !it->index;
    *it = {location, block, index + 1};
}

static void free_ledger(Ledger* l) {
    if (!l) return;
    for (u32 i = 0; i < l->count; i++) {
        for (u32 j = 0; j < l->locations[i].count; j++) {
            Publication* p = l->locations[i].log[j];
            drop(p->far), drop(p->near), drop(p->far_known), drop(p->near_known);
            free(p);
        }
        free(l->locations[i].log);
    }
    free(l->locations);
    free(l->table);
    free(l->last);
    free(l);
}

// Questions

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
    for (Publication* p : known->memo)
        if (p && answers(p, asking, false, block, thread, stamp)) return true;
    Publication* found = nullptr;
    for (u32 i = known->count; i-- && !found;)
        found = direct_answer(l, known->items[i], asking, block, thread, stamp);
    if (!found) found = distant_answer(l, known, asking, block, thread, stamp);
    if (found) known->memo[known->next_memo++ % 8] = found;
    return found;
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
            if (index <= ref.to && told && p->thread == thread && stamp + p->base <= p->self) return true;
        }
    }
    return false;
}

WS_COLD bool learnt(Worker* k, u32 me, u32 other, u32 stamp) {
    return learnt_from(k, me, block_number(k), other, stamp - k->order->base);
}

// Events

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

static void read_strongly(Worker* k, u32 thread, u32 location, bool far, bool acquires) {
    const Location& at = k->ledger->locations[location];
    if (at.start == at.count) return;
    Reference ref = {location, at.start, at.count, !far};
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

static void write_strongly(Worker* k, u32 thread, u64 space, u64 address, bool far, bool updates) {
    Ledger* l = k->ledger;
    View& v = k->views[thread];
    u32 location = location_of(l, space, address, v.near != nullptr);
    if (location == ALL) return;
    Location& at = l->locations[location];
    // Reads from now on see this value, and what was published under earlier ones is not theirs.
    if (!updates) at.start = at.count;
    if (!v.near) return;
    bool said = v.published == v.near && v.published_at == location && v.published_index >= at.start;
    if (said && v.published_index < at.count) return;
    v.published = v.near;
    v.published_at = location;
    v.published_index = at.count;
    auto* p = made<Publication>();
    *p = {block_number(k), thread, k->order->base, k->order->stamp[thread / LANES], 0, far ? keep(v.far) : nullptr, keep(v.near),
          far ? keep(v.far_known) : nullptr, keep(v.near_known)};
    append(l, location, p);
}

// A volatile, relaxed, acquiring, releasing or atomic access of one lane.
static void strong_access(Warp* w, const Operation* op, u32 lane, u64 space, u64 address, bool reads, bool writes) {
    Worker* k = w->worker;
    if (!k->views) return;
    u32 thread = thread_of(w, lane);
    bool far = !(op->flags & WS_BLOCK_SCOPE);
    if (reads) {
        u32 location = location_of(k->ledger, space, address, false);
        if (location != ALL) read_strongly(k, thread, location, far, op->flags & WS_ACQUIRES);
    }
    if (!writes) return;
    if (op->flags & WS_RELEASES) fence(w, 1u << lane, far);
    write_strongly(k, thread, space, address, far, reads);
}

// The same, and what tells a value that a thread waited for from one it takes to be there.
static void begin_strong(Warp* w, const Operation* op, u32 lane, u64 space, u64 address, Use use) {
    Order* r = w->worker->order;
    u32 i = w->index;
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
    Knowledge *far_known, *near_known, *known;
    const Fence *far_last, *near_last;  // joined already
};

static void bring(Shared& s, const View& v, u32 thread, u32 threads, bool fences) {
    if (v.known != s.known) learn_more(s.known, v.known);
    if (fences && v.pending) learn_more(s.known, v.pending);
    // A joined fence says the same of every thread.
    if (v.far && (v.far != s.far_last || !v.far->own)) join_fence(s.far, v.far, thread, threads);
    if (v.near && (v.near != s.near_last || !v.near->own)) join_fence(s.near, v.near, thread, threads);
    s.far_last = v.far;
    s.near_last = v.near;
    if (v.far_known != s.far_known) learn_more(s.far_known, v.far_known);
    if (v.near_known != s.near_known) learn_more(s.near_known, v.near_known);
}

static void take_away(const Shared& s, View& v, bool fences) {
    put(v.known, s.known);
    if (fences) put(v.pending, static_cast<Knowledge*>(nullptr));
    put(v.far, s.far);
    put(v.near, s.near);
    put(v.far_known, s.far_known);
    put(v.near_known, s.near_known);
    v.published = nullptr;
}

static void forget(Shared& s) {
    drop(s.far), drop(s.near), drop(s.far_known), drop(s.near_known), drop(s.known);
    s = {};
}

static void bring_all(Warp* w, Shared& s, u32 mask, bool fences) {
    Worker* k = w->worker;
    for (u32 m = mask; m; m &= m - 1) {
        u32 thread = thread_of(w, first_lane(m));
        bring(s, k->views[thread], thread, k->warp_count * LANES, fences);
    }
}

static void take_all_away(Warp* w, const Shared& s, u32 mask, bool fences) {
    for (u32 m = mask; m; m &= m - 1) take_away(s, w->worker->views[thread_of(w, first_lane(m))], fences);
}

// Lanes of a warp reach a barrier of the block, and go on from it.
static void views_arrive(Warp* w, u32 barrier, u32 mask) {
    Worker* k = w->worker;
    if (k->views && !k->views_alike) bring_all(w, k->gathered[barrier], mask, true);
}

static void views_leave(Warp* w, u32 barrier, u32 mask) {
    Worker* k = w->worker;
    if (k->views && !k->views_alike) take_all_away(w, k->gathered[barrier], mask, true);
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
    order_lanes(k->order, w->index, mask, w->alive);
    if (!k->views || k->views_alike) return;
    Shared s = {};
    bring_all(w, s, mask, false);
    take_all_away(w, s, mask, false);
    forget(s);
}

}  // namespace
}  // namespace WS_NS
