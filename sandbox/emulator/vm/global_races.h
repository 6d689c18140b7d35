// Happens-before checking of global memory, between threads of one block and of different ones.
//
// Each granule (a word, or less where something narrower touched the kilobyte) remembers who wrote and who read it
// since the last plain write. Blocks are unordered unless a flag, a lock or a grid barrier made one wait for another
// (strong.h), which takes a fence: in programs without any, two blocks at one granule are a race unless both read or
// both use atomics of device scope. Memory that the launch may not write needs no memory of who reads it.
#pragma once
#include "races.h"

namespace WS_NS {
namespace {

// Who and when: block (26 bits), thread (10), stamp since the block began (28). 0: nobody.
using Who = u64;
constexpr u32 STAMP_BITS = 28, THREAD_BITS = 10;
constexpr u64 SAME_STAMP = (1ull << STAMP_BITS) - 1;

WS_INLINE u32 block_of(Who who) { return u32(who >> (STAMP_BITS + THREAD_BITS)); }
WS_INLINE u32 thread_in(Who who) { return u32(who >> STAMP_BITS) & ((1u << THREAD_BITS) - 1); }
WS_INLINE u32 stamp_of(Who who) { return u32(who & SAME_STAMP); }
WS_INLINE bool same_thread(Who a, Who b) { return !((a ^ b) >> STAMP_BITS); }
WS_INLINE bool same_warp(Who a, Who b) { return !((a ^ b) >> (STAMP_BITS + 5)); }

enum AccessKind : u8 {
    WEAK = 0, BLOCK_STRONG = 1, STRONG = 2, STRENGTH = 3,
    MANY = 4,  // several lanes of the warp at that stamp
    TWINS = 8,  // a record of several writers of the same bytes
    STORED = 16  // a strong store or exchange, no other update
};

struct Past {
    Who who;
    u32 site;
    u8 kind;
};

struct Pasts {
    u32 count, capacity, newest;  // newest: largest stamp
    bool two_blocks;
    Past* items;
};

struct Record {
    Past last;
    Pasts* more;  // all, where they are several that are not ordered
};

struct Granule {
    Record written, read;
};

constexpr u32 PAGE = 1024;
struct Page {
    u32 shift;  // a granule has 1 << shift bytes
    Granule* granules;
};

// What one host thread's blocks did to one allocation.
struct Shadow {
    u64 address;
    u64 pages_count;
    Page* pages;  // null for memory that is read-only
};

static void forget(Record& r) {
    if (r.more) {
        free(r.more->items);
        free(r.more);
    }
    r = {};
}

static Shadow* new_shadows(const WsLaunch* launch) {
    auto* shadows = made<Shadow>(launch->allocation_count + 1);
    for (u32 i = 0; i < launch->allocation_count; i++) {
        const WsAllocation& it = launch->allocations[i];
        shadows[i] = {it.address, it.size / PAGE + 1, nullptr};
        if (it.writable) shadows[i].pages = made<Page>(shadows[i].pages_count);
    }
    return shadows;
}

static void free_shadows(const WsLaunch* launch, Shadow* shadows) {
    for (u32 i = 0; shadows && i < launch->allocation_count; i++) {
        for (u64 p = 0; shadows[i].pages && p < shadows[i].pages_count; p++) {
            Page& page = shadows[i].pages[p];
            for (u32 g = 0; page.granules && g < PAGE >> page.shift; g++) {
                forget(page.granules[g].written);
                forget(page.granules[g].read);
            }
            free(page.granules);
        }
        free(shadows[i].pages);
    }
    free(shadows);
}

static Record copy_of(const Record& r) {
    Record copy = r;
    if (!r.more) return copy;
    copy.more = made<Pasts>();
    *copy.more = *r.more;
    copy.more->items = made<Past>(r.more->capacity);
    memcpy(copy.more->items, r.more->items, r.more->count * sizeof(Past));
    return copy;
}

static __attribute__((noinline)) void refine(Page& page, u32 shift) {
    if (!page.granules) {
        page.shift = shift;
        page.granules = made<Granule>(PAGE >> shift);
        return;
    }
    auto* finer = made<Granule>(PAGE >> shift);
    for (u32 i = 0; i < PAGE >> shift; i++) {
        const Granule& from = page.granules[i >> (page.shift - shift)];
        bool first = !(i & ((1u << (page.shift - shift)) - 1));
        finer[i] = first ? from : Granule{copy_of(from.written), copy_of(from.read)};
    }
    free(page.granules);
    page.granules = finer;
    page.shift = shift;
}

struct Visitor {
    Worker* k;
    Warp* w;
    const Operation* op;
    StoredBytes stored;
    u32 thread;
    Who who;
    u8 strength;
    u8 kind;    // STORED or nothing
    u64 start;  // of the lane's access
};

WS_COLD bool over_past(const Visitor& v, const Past& past) {
    const Order* r = v.k->order;
    u32 thread = thread_in(past.who), block = block_of(past.who), stamp = stamp_of(past.who);
    u32 first = past.kind & MANY ? thread & ~(LANES - 1) : thread;
    u32 last = past.kind & MANY ? first + LANES - 1 : thread;
    if (block == block_of(v.who)) {
        if (stamp + r->base < r->clock[v.thread / LANES][thread / LANES]) return true;
        for (u32 t = first; t <= last; t++)
            if ((past.kind & MANY || t != v.thread) && !over_apart(v.k, r, v.thread, t, stamp + r->base)) return false;
        return true;
    }
    for (u32 t = first; t <= last; t++)
        if (!learnt_from(v.k, v.thread, block, t, stamp) &&
            !saw_published(v.k, v.thread, v.start, block, t, stamp))
            return false;
    return true;
}

// Two strong accesses, each of a scope that has the other's thread, do not race.
WS_INLINE bool both_strong(const Visitor& v, const Past& past) {
    u32 weaker = past.kind & STRENGTH;
    if (v.strength < weaker) weaker = v.strength;
    return weaker == STRONG || (weaker == BLOCK_STRONG && block_of(past.who) == block_of(v.who));
}

WS_INLINE bool quiet(const Visitor& v, const Past& past) {
    bool own = same_thread(past.who, v.who) && !(past.kind & MANY);
    return own || both_strong(v, past) || over_past(v, past);
}

// The first of the record's accesses that the visitor's collides with, or null.
static const Past* collision(const Visitor& v, const Record& r, bool reading) {
    if (!r.last.who) return nullptr;
    if (!r.more) return quiet(v, r.last) ? nullptr : &r.last;
    bool any = reading && r.last.kind & TWINS;
    const Past* found = nullptr;
    for (u32 i = 0; i < r.more->count; i++) {
        const Past& past = r.more->items[i];
        bool fine = quiet(v, past);
        if (any && fine) return nullptr;
        if (!fine && !found) found = &past;
    }
    return found;
}

static void grow(Pasts* list) {
    list->capacity = list->capacity ? 2 * list->capacity : 4;
    list->items = static_cast<Past*>(realloc(list->items, list->capacity * sizeof(Past)));
    if (!list->items) abort();
}

static void add_past(Pasts* list, const Past& past) {
    if (list->count == list->capacity) grow(list);
    list->two_blocks |= list->count && block_of(list->items[0].who) != block_of(past.who);
    if (stamp_of(past.who) > list->newest) list->newest = stamp_of(past.who);
    list->items[list->count++] = past;
}

WS_INLINE u8 weaker_of(u8 a, u8 b) { return (a & STRENGTH) < (b & STRENGTH) ? a & STRENGTH : b & STRENGTH; }

// Whether one record can stand for both: it has the weaker strength and the newer stamp, which must not make a plain
// store that a barrier has ordered look as new as the atomic behind it.
WS_INLINE bool joins(const Past& older, const Past& newer) {
    return stamp_of(older.who) == stamp_of(newer.who) || (newer.kind & STRENGTH) <= (older.kind & STRENGTH);
}

// Joins an access to one of the same warp that is there already.
static void merge(Past& into, const Past& past) {
    bool many = into.kind & MANY || !same_thread(into.who, past.who);
    into.kind = u8(weaker_of(into.kind, past.kind) | (many ? MANY : 0) | (into.kind & TWINS));
    if (stamp_of(past.who) >= stamp_of(into.who)) into.who = past.who;
    into.site = past.site;
}

static void prune(const Visitor& v, Pasts* list) {
    u32 kept = 0;
    for (u32 i = 0; i < list->count; i++) {
        bool merged = false;
        for (u32 j = kept > 8 ? kept - 8 : 0; j < kept && !merged; j++)
            if (same_warp(list->items[j].who, list->items[i].who) && joins(list->items[j], list->items[i])) {
                merge(list->items[j], list->items[i]);
                merged = true;
            }
        if (!merged && !over_past(v, list->items[i])) list->items[kept++] = list->items[i];
    }
    list->count = kept;
    // Asking about all of them again pays when as many have come.
    if (2 * kept > list->capacity) grow(list);
}

static __attribute__((noinline)) void remember_more(const Visitor& v, Record& r, const Past& past) {
    const Order* o = v.k->order;
    if (!r.more) {
        bool own = same_thread(r.last.who, v.who) && !(r.last.kind & MANY);
        if (over_past(v, r.last) && (!own || joins(r.last, past))) {
            r.last = past;
            return;
        }
        r.more = made<Pasts>();
        add_past(r.more, r.last);
    }
    Pasts* list = r.more;
    // Where blocks are never ordered, two of them are enough to collide with everybody.
    if (list->two_blocks && !v.k->views) return;
    bool mine = !list->two_blocks && block_of(list->items[0].who) == block_of(v.who);
    if (mine && list->newest + o->base < o->floor[v.thread / LANES]) {
        forget(r);
        r.last = past;
        return;
    }
    u32 look = list->count > 64 ? 8 : list->count;
    for (u32 i = list->count - look; i < list->count; i++)
        if (same_warp(list->items[i].who, past.who) && joins(list->items[i], past)) {
            merge(list->items[i], past);
            if (stamp_of(past.who) > list->newest) list->newest = stamp_of(past.who);
            return;
        }
    if (list->count == list->capacity && list->count >= 8) prune(v, list);
    add_past(list, past);
}

// Adds an access that need not be ordered with those before.
WS_INLINE void remember(const Visitor& v, Record& r) {
    Past past = {v.who, v.op->site, u8(v.strength | v.kind)};
    if (!r.last.who) {
        r.last = past;
    } else if (!r.more && same_thread(r.last.who, v.who) && !(r.last.kind & MANY) && joins(r.last, past)) {
        past.kind = u8(weaker_of(r.last.kind, past.kind) | (past.kind & STORED));
        r.last = past;
    } else if (!r.more && r.last.who >> STAMP_BITS >> 5 == v.who >> STAMP_BITS >> 5 &&
               stamp_of(r.last.who) == stamp_of(v.who)) {
        merge(r.last, past);
    } else {
        remember_more(v, r, past);
    }
}

WS_COLD bool collide_globally(const Visitor& v, const Past& other, u64 address, u32 size, u32 detail) {
    WsFault& fault = v.k->fault;
    if (fault.kind == WS_NO_FAULT) {
        fault = fault_of(v.w, v.op, WS_RACE, v.thread % LANES);
        fault.other_site = other.site;
        fault.other_thread = thread_in(other.who);
        fault.other_block = v.k->launch->run[block_of(other.who) - 1];
        fault.space = WS_GLOBAL;
        fault.address = address;
        fault.size = size;
        fault.detail = detail;
        fault.allocation = s64((address - v.k->launch->address_base) >> v.k->launch->address_stride_bits);
    }
    v.w->status = Status::FAULTED;
    return false;
}

// Whether a fence of the visitor would have ordered the two.
WS_COLD u32 why(const Visitor& v, const Past& past) {
    Knowledge* seen = v.k->views ? v.k->views[v.thread].pending : nullptr;
    bool told = seen && knows(v.k->ledger, seen, block_number(v.k), block_of(past.who), thread_in(past.who), stamp_of(past.who));
    return told ? WS_UNFENCED : WS_UNORDERED;
}

// A strong load, not one that waits, of what a block stored or exchanged strongly without a fence before the flag that was seen.
WS_INLINE bool reads_too_early(const Visitor& v, const Past& stored) {
    if ((stored.kind & (STORED | STRENGTH | MANY)) != (STORED | STRONG) || v.op->flags & WS_AWAITS) return false;
    if (!hands_over(v.k, 0) || block_of(stored.who) == block_of(v.who)) return false;
    return overtaken(v.k, v.thread, v.start, block_of(stored.who), thread_in(stored.who), stamp_of(stored.who));
}

static bool visit_read(const Visitor& v, Granule& g, u64 address, u32 size) {
    const Past& last = g.written.last;
    if (last.who && v.op->flags & WS_READ_ONLY_PATH) return collide_globally(v, last, address, size, WS_STALE_PATH);
    if (last.who && (!same_thread(last.who, v.who) || g.written.more)) {
        const Past* found = collision(v, g.written, true);
        if (!found && v.strength && block_of(last.who) == block_of(v.who) && !g.written.more &&
            trusts_lockstep(v.k, v.op, v.thread, thread_in(last.who), stamp_of(last.who) + v.k->order->base))
            found = &last;
        if (!found && v.strength == STRONG && !g.written.more && reads_too_early(v, last)) found = &last;
        if (found) return collide_globally(v, *found, address, size, why(v, *found));
    }
    remember(v, g.read);
    return true;
}

// Whether the store leaves [address, address + size) as `other` made it.
WS_COLD bool stores_the_same(const Visitor& v, u64 address, u32 size, u32 other) {
    if (!v.stored) return false;
    const WsLaunch* launch = v.k->launch;
    const WsAllocation& hit = launch->allocations[(address - launch->address_base) >> launch->address_stride_bits];
    return stores_alike(v.w, v.op, v.stored, hit.data + (address - hit.address), address, v.start, size, v.thread, other);
}

static bool visit_write(const Visitor& v, Granule& g, u64 address, u32 size) {
    const Past* found = collision(v, g.written, false);
    // Threads of one block may write the same bytes, as replicated layouts do; blocks that do so race.
    bool twins = found && !v.strength && block_of(found->who) == block_of(v.who) &&
                 !(found->kind & STRENGTH) && stores_the_same(v, address, size, thread_in(found->who));
    if (found && !twins) return collide_globally(v, *found, address, size, why(v, *found));
    found = collision(v, g.read, false);
    if (found) return collide_globally(v, *found, address, size, why(v, *found));
    if (v.strength || twins) {
        remember(v, g.written);
        if (twins) g.written.last.kind |= TWINS;
        return true;
    }
    if (g.written.more) forget(g.written);
    if (g.read.more) forget(g.read);
    g.read.last.who = 0;
    g.written.last = {v.who, v.op->site, WEAK};
    return true;
}

WS_INLINE Who who_now(const Worker* k, u32 thread) {
    const Order* r = k->order;
    u64 stamp = r->stamp[thread / LANES] - r->base;
    return (u64(block_number(k)) << THREAD_BITS | thread) << STAMP_BITS | stamp;
}

WS_INLINE u8 strength_of(const Operation* op, Use use) {
    if (use != Use::UPDATE && !(op->flags & WS_SYNCHRONISES)) return WEAK;
    return op->flags & WS_BLOCK_SCOPE ? BLOCK_STRONG : STRONG;
}

// One lane's access to [address, address + size) of an allocation with a shadow.
static bool visit(Visitor& v, Shadow& shadow, u64 address, u32 size, bool write) {
    u64 at = address - shadow.address;
    u32 need = size >= 4 && !(at & 3) ? 2 : size >= 2 && !(at & 1) ? 1 : 0;
    v.start = address;
    for (u64 end = at + size; at < end;) {
        Page& page = shadow.pages[at / PAGE];
        if (__builtin_expect(!page.granules || page.shift > need, 0)) refine(page, need);
        u32 bytes = 1u << page.shift;
        Granule& g = page.granules[at % PAGE >> page.shift];
        u64 here = shadow.address + at;
        if (!(write ? visit_write(v, g, here, bytes) : visit_read(v, g, here, bytes))) return false;
        at += bytes;
    }
    return true;
}

static Shadow* shadow_at(Worker* k, u64 address) {
    if (!k->shadows) return nullptr;
    Shadow* shadow = k->shadows + ((address - k->launch->address_base) >> k->launch->address_stride_bits);
    return shadow->pages ? shadow : nullptr;
}

// A lane's access to global memory, in bounds.
static bool visit_lane(Warp* w, const Operation* op, u32 lane, u64 address, u32 size, Use use, StoredBytes stored) {
    Worker* k = w->worker;
    Shadow* shadow = shadow_at(k, address);
    if (!shadow) return true;
    u32 thread = thread_of(w, lane);
    u8 strength = strength_of(op, use), kind = strength && (use == Use::WRITE || op->flags & WS_REPLACES) ? STORED : 0;
    Visitor v = {k, w, op, stored, thread, who_now(k, thread), strength, kind, address};
    return visit(v, *shadow, address, size, use != Use::READ);
}

}  // namespace
}  // namespace WS_NS
