// What threads tell each other through memory: their fences, and the log of what they published at each address.
//
// A strong write (volatile, relaxed, atomic) publishes at its address what its thread had fenced, and a strong read
// learns what stands there once a fence or a barrier follows it, as PTX's release and acquire patterns say (PTX ISA,
// "Memory Consistency Model"). Publications are kept in a log by address and knowledge refers to stretches of logs, so
// that nothing is copied until somebody asks whether an access is over (learning.h).
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
    // The same by the thread that was asked about, once there is one: where every thread of a block arrives for itself at
    // an mbarrier, each has an answer of its own, and eight are forgotten before any is asked for again.
    Publication** by_thread;
};
constexpr u32 ANSWERS = 128;

struct Publication {
    u32 block, thread;
    u32 base;    // of the block's stamps: those of questions count from it
    u32 self;    // stamp of the access that published
    u32 before;  // index + 1 of the same block's last one at this address
    Fence *far, *near;
    Knowledge *far_known, *near_known;
    Fence* then;  // what was over for the thread, fenced or not, where strong loads are judged by it
};

struct Location {
    u64 space, address;  // space: 0 for global memory, else the block whose shared memory it is
    u32 start;           // what a read sees now begins here
    u32 phase;           // of an mbarrier: what its last complete phase has ends here
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
    free(k->by_thread);
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
    l->locations[l->count] = {space, address, 0, 0, 0, 0, nullptr, 0, 0, 0};
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
            drop(p->far), drop(p->near), drop(p->far_known), drop(p->near_known), drop(p->then);
            free(p);
        }
        free(l->locations[i].log);
    }
    free(l->locations);
    free(l->table);
    free(l->last);
    free(l);
}

}  // namespace
}  // namespace WS_NS
