// The fast ways to memory. Each memory instruction remembers the distances between its lanes' addresses the last
// time: while they stay the same, one comparison stands for the search for sectors, bank conflicts and bounds,
// because all of those depend on the distances and the first lane's address alone.
#pragma once
#include "reach.h"

namespace WS_NS {
namespace {

enum Pattern : u32 {
    UNKNOWN,
    CONTIGUOUS,  // all lanes, each access behind the one before
    UNIFORM,     // all lanes at one address
    PERMUTED,    // all lanes within 32 words, each word-aligned relative to the lowest
    GATHERED     // anything else in one allocation
};

struct Access {
    u32 pattern;
    u8* data;   // of the first active lane
    u8* valid;
    u64 first;  // its address
    Port* port;  // that knows the distances
};

#if defined(__AVX512F__)
WS_INLINE bool same_distances(Warp* w, const u64* address, u64 first, const u64* distance) {
    __m512i start = _mm512_set1_epi64(s64(first));
    if (__builtin_expect(w->active == ALL, 1)) {
        __m512i any = _mm512_setzero_si512();
        for (u32 q = 0; q < 4; q++) {
            __m512i moved = _mm512_sub_epi64(_mm512_load_si512(address + 8 * q), start);
            any = _mm512_or_si512(any, _mm512_xor_si512(moved, _mm512_load_si512(distance + 8 * q)));
        }
        return !_mm512_test_epi64_mask(any, any);
    }
    __mmask8 differ[4];
    for (u32 q = 0; q < 4; q++) {
        __m512i moved = _mm512_sub_epi64(_mm512_load_si512(address + 8 * q), start);
        differ[q] = _mm512_cmpneq_epi64_mask(moved, _mm512_load_si512(distance + 8 * q));
    }
    return !(joined(differ[0], differ[1], differ[2], differ[3]) & w->active);
}
WS_INLINE bool same_distances(Warp* w, const u32* address, u32 first, const u32* distance) {
    __m512i start = _mm512_set1_epi32(s32(first));
    __mmask16 differ[2];
    for (u32 q = 0; q < 2; q++) {
        __m512i moved = _mm512_sub_epi32(_mm512_load_si512(address + 16 * q), start);
        differ[q] = _mm512_cmpneq_epi32_mask(moved, _mm512_load_si512(distance + 16 * q));
    }
    return !(joined(differ[0], differ[1]) & w->active);
}
#else
template <class Address>
WS_INLINE bool same_distances(Warp* w, const Address* address, Address first, const Address* distance) {
    Address differ = 0;
    if (__builtin_expect(w->active == ALL, 1)) {
        for (u32 i = 0; i < LANES; i++) differ |= (address[i] - first) ^ distance[i];
        return !differ;
    }
    for (u32 m = w->active; m; m &= m - 1) differ |= (address[first_lane(m)] - first) ^ distance[first_lane(m)];
    return !differ;
}
#endif

static void classify(Port& port, u32 bytes, s64 least, s64 most) {
    port.low = u64(-least);
    port.high = u64(most) + bytes;
    port.kind = GATHERED;
    if (port.mask != ALL) return;
    bool contiguous = true;
    for (u32 i = 0; i < LANES; i++) contiguous &= port.distance[i] == u64(i) * bytes;
    if (contiguous) port.kind = CONTIGUOUS;
    else if (!least && !most) port.kind = UNIFORM;
    else if (bytes == 4 && most - least < 128 && !(port.misaligned & 3)) port.kind = PERMUTED;
}

static __attribute__((noinline)) void learn(Port& port, const u64* address, u32 mask, u32 bytes) {
    u64 first = address[first_lane(mask)];
    s64 least = 0, most = 0;
    port.mask = mask;
    port.misaligned = 0;
    port.extent = 0;
    port.noted_by = 0;
    port.listed.epoch = nullptr;
    memset(port.sectors, 0, sizeof port.sectors);
    for (u32 m = mask; m; m &= m - 1) {
        u32 lane = first_lane(m);
        u64 distance = address[lane] - first;
        port.distance[lane] = distance;
        port.distance32[lane] = u32(distance);
        port.misaligned |= distance;
        least = s64(distance) < least ? s64(distance) : least;
        most = s64(distance) > most ? s64(distance) : most;
    }
    classify(port, bytes, least, most);
}

static __attribute__((noinline)) void learn_shared(Port& port, const u32* address, u32 mask, u32 bytes) {
    u64 wide[LANES];
    for (u32 i = 0; i < LANES; i++) wide[i] = address[i];
    learn(port, wide, mask, bytes);
    memset(port.passes, 0, sizeof port.passes);
}

// Narrow accesses share words differently at another byte within the word: one answer for each.
static __attribute__((noinline)) Passes count_passes(Port& port, u64 start, u32 bytes) {
    u32 address[LANES];
    for (u32 i = 0; i < LANES; i++) address[i] = u32(start) + port.distance32[i];
    return port.passes[start & 3] = bank_passes(address, port.mask, bytes);
}

// Counts sectors once for each place of the first lane within a sector.
static __attribute__((noinline)) u32 count_sectors(Port& port, u64 first, u32 bytes) {
    u64 address[LANES];
    for (u32 i = 0; i < LANES; i++) address[i] = first + port.distance[i];
    u32 count = sectors_touched(address, port.mask, bytes);
    port.sectors[first & 31] = u8(count);
    return count;
}

// Valid bytes of a warp's access; false sends it the general way.
WS_INLINE bool valid_pattern(Warp* w, const Access& access, u32 bytes, Use use) {
    if (!access.valid) return true;
    if (access.pattern == GATHERED || access.pattern == PERMUTED) {
        for (u32 m = w->active; m; m &= m - 1) {
            u8* at = access.valid + access.port->distance[first_lane(m)];
            if (use == Use::WRITE) memset(at, 1, bytes);
            else if (!all_valid(at, bytes)) return false;
        }
        return true;
    }
    u64 size = access.pattern == UNIFORM ? bytes : u64(bytes) * LANES;
    if (use == Use::WRITE) memset(access.valid, 1, size);
    return use == Use::WRITE || all_valid(access.valid, size);
}

enum class Reached : u32 {
    FAST,     // `access` says where
    GENERAL,  // something is unusual, which the general way finds out
    LEARN,    // the lanes' distances are not the known ones
    MOVED,    // the access does not lie where the last one did
    FAULT
};

// Notes where accesses with the port's distances lie in the allocation that `first` points into; false if none holds
// this one.
static __attribute__((noinline)) bool move(const Worker* k, Port& port, u64 first, u32 bytes) {
    const WsLaunch* launch = k->launch;
    u64 window = (first - launch->address_base) >> launch->address_stride_bits;
    if (window >= launch->allocation_count || port.misaligned & (bytes - 1)) return false;
    const WsAllocation& hit = launch->allocations[window];
    // A permutation reads whole words around what it needs.
    u64 high = port.kind == PERMUTED && port.high + port.low < 128 ? 128 - port.low : port.high;
    if (hit.size < port.low || hit.size - port.low < high) return false;
    port.begin = hit.address + port.low;
    port.extent = hit.size - port.low - high + 1;
    port.data = hit.data + port.low;
    port.valid = hit.valid ? hit.valid + port.low : nullptr;
    port.writable = hit.writable;
    if (k->seen) port.seen = k->seen[window].by_block - k->seen[window].first;
    return first - port.begin < port.extent;
}

// The access of lanes whose distances `pattern` knows, if all of it lies where the last one did and nothing is unusual.
// Notes the lanes' accesses in the memory's history; false where one collides with it.
static __attribute__((noinline)) bool visit_pattern(Warp* w, const Operation* op, const Access& access, u32 bytes, Use use,
                                                    StoredBytes stored) {
    Worker* k = w->worker;
    Shadow* shadow = shadow_at(k, access.first);
    if (!shadow) return true;
    Who who = who_now(k, thread_of(w, 0));
    Visitor v = {k, w, op, stored, 0, 0, WEAK, 0, 0};
    u32 visiting = w->active;
    k->storing_shared = nullptr;
    k->storing = access.port->distance;
    k->storing_from = access.first;
    k->storing_bytes = bytes;
    // Two readers at one place stand for all.
    if (access.pattern == UNIFORM && use == Use::READ) visiting = 3;
    for (u32 m = visiting; m; m &= m - 1) {
        u32 lane = first_lane(m);
        v.thread = thread_of(w, lane);
        v.who = who + (u64(lane) << STAMP_BITS);
        if (!visit(v, *shadow, access.first + access.port->distance[lane], bytes, use == Use::WRITE)) return false;
    }
    return true;
}

template <bool Checks>
WS_INLINE Reached reach_known(Warp* w, const Operation* op, Port& pattern, u64 first, u32 bytes, Use use, Access& access,
                              StoredBytes stored) {
    first += u64(op->imm);
    u64 at = first - pattern.begin;
    if (__builtin_expect(at >= pattern.extent, 0)) return Reached::MOVED;
    bool synchronises = Checks && op->flags & WS_SYNCHRONISES;
    bool allowed = use == Use::READ || pattern.writable;
    if (__builtin_expect(first & (bytes - 1) || synchronises || !allowed, 0)) return Reached::GENERAL;
    access = {pattern.kind, pattern.data + at, Checks && pattern.valid ? pattern.valid + at : nullptr, first, &pattern};
    if (!Checks) return Reached::FAST;
    if (!valid_pattern(w, access, bytes, use)) return Reached::GENERAL;
    // Read-only memory has no history.
    if (pattern.writable && !visit_pattern(w, op, access, bytes, use, stored)) return Reached::FAULT;
    return Reached::FAST;
}

template <bool Checks>
WS_INLINE Reached reach_global(Warp* w, const Operation* op, u32 bytes, Use use, Access& access, StoredBytes stored) {
    const u64* address = lanes<u64>(w, op->a);
    Port& port = w->worker->ports[op->port];
    u64 first = address[first_lane(w->active)];
    if (__builtin_expect(port.mask != w->active || !same_distances(w, address, first, port.distance), 0))
        return Reached::LEARN;
    return reach_known<Checks>(w, op, port, first, bytes, use, access, stored);
}

// An address that differs from that of an earlier instruction of the block by the same amount in every lane: what
// that one (port `target`) found out about the distances holds.
WS_INLINE Reached reach_global_again(Warp* w, const Operation* op, u32 bytes, Use use, Access& access) {
    u64 first = lanes<u64>(w, op->a)[first_lane(w->active)];
    return reach_known<false>(w, op, w->worker->ports[op->target], first, bytes, use, access, nullptr);
}

static bool touch_shared(Warp* w, const Operation* op, const u32* address, u32 bytes, Use use, StoredBytes stored) {
    Worker* k = w->worker;
    Toucher toucher = {k->races, w->index, 0, op->site, false, w, op, stored, nullptr, 0, false};
    bool write = use != Use::READ;
    k->storing_shared = address;
    k->storing = nullptr;
    k->storing_from = u64(op->imm);
    k->storing_bytes = bytes;
    for (u32 m = w->active; m; m &= m - 1) {
        u32 lane = first_lane(m), at = address[lane] + u32(op->imm);
        toucher.thread = thread_of(w, lane);
        toucher.start = at;
        if (op->flags & WS_SYNCHRONISES) {
            begin_strong(w, op, lane, block_number(k), at, use);
            toucher.atomic = true;
        }
        Collision found;
        if (!touch(toucher, at, bytes, write, found) && collide(w, op, lane, found, at, bytes)) return false;
    }
    return true;
}

// Whether the short way through epoch.h tells that the access is fine.
WS_INLINE bool settled(Warp* w, const Operation* op, Port& port, u32 start, u32 bytes, bool write) {
    if (port.kind == CONTIGUOUS && bytes == 4) return calm_row(w, op, start, bytes, write);
    if (port.kind == UNIFORM) return !write && calm_at_one(w, op, start, bytes);
    return calm_lanes(w, op, port.distance32, start, w->active, bytes, write, port.kind == CONTIGUOUS, &port.listed);
}

WS_INLINE bool fits_shared(const Worker* k, const Port& pattern, u64 start, u32 bytes) {
    bool inside = start >= pattern.low && start + pattern.high <= k->shared_bytes;
    return inside && !((start | pattern.misaligned) & (bytes - 1));
}

// The lanes' 32-bit addresses; null where one does not fit.
WS_INLINE const u32* shared_addresses(Warp* w, const Operation* op) {
    if (!(op->flags & WS_WIDE)) return lanes<u32>(w, op->a);
    const u64* wide = lanes<u64>(w, op->a);
    u32* narrow = w->worker->scratch;
    u64 any = 0;
    for (u32 i = 0; i < LANES; i++) {
        any |= wide[i];
        narrow[i] = u32(wide[i]);
    }
    return any >> 32 && w->active == ALL ? nullptr : narrow;
}

template <bool Checks>
WS_INLINE Reached reach_shared(Warp* w, const Operation* op, u32 bytes, Use use, Access& access, StoredBytes stored) {
    Worker* k = w->worker;
    const u32* address = shared_addresses(w, op);
    if (__builtin_expect(!address, 0)) return Reached::GENERAL;
    Port& port = k->ports[op->port];
    u32 first = address[first_lane(w->active)];
    bool known = port.mask == w->active && same_distances(w, address, first, port.distance32);
    if (__builtin_expect(!known, 0)) return Reached::LEARN;
    u64 start = u32(first + u32(op->imm));
    if (__builtin_expect(!fits_shared(k, port, start, bytes), 0)) return Reached::GENERAL;
    if (Checks && !settled(w, op, port, u32(start), bytes, use == Use::WRITE) &&
        !touch_shared(w, op, address, bytes, use, stored))
        return Reached::FAULT;
    access = {port.kind, k->shared + start, nullptr, start, &port};
    return Reached::FAST;
}

// As reach_global_again.
WS_INLINE Reached reach_shared_again(Warp* w, const Operation* op, u32 bytes, Access& access) {
    Worker* k = w->worker;
    Port& pattern = k->ports[op->target];
    u32 lane = first_lane(w->active);
    u32 first = op->flags & WS_WIDE ? u32(lanes<u64>(w, op->a)[lane]) : lanes<u32>(w, op->a)[lane];
    u64 start = u32(first + u32(op->imm));
    if (__builtin_expect(!fits_shared(k, pattern, start, bytes), 0)) return Reached::GENERAL;
    access = {pattern.kind, k->shared + start, nullptr, start, &pattern};
    return Reached::FAST;
}

template <u32 Space, bool Checks, bool Again>
WS_INLINE Reached reach(Warp* w, const Operation* op, u32 bytes, Use use, Access& access, StoredBytes stored = nullptr) {
    if constexpr (Again && Space == WS_SHARED) return reach_shared_again(w, op, bytes, access);
    else if constexpr (Again) return reach_global_again(w, op, bytes, use, access);
    else if constexpr (Space == WS_SHARED) return reach_shared<Checks>(w, op, bytes, use, access, stored);
    else return reach_global<Checks>(w, op, bytes, use, access, stored);
}

// Makes the port ready for what the fast way met; false where only the general way helps.
template <u32 Space, bool Again>
WS_INLINE bool prepare_port(Warp* w, const Operation* op, Reached reached, u32 bytes) {
    Port& port = w->worker->ports[Again ? op->target : op->port];
    if constexpr (Space == WS_SHARED) {
        if (reached == Reached::LEARN) learn_shared(port, shared_addresses(w, op), w->active, bytes);
    } else {
        const u64* address = lanes<u64>(w, op->a);
        if (reached == Reached::LEARN) learn(port, address, w->active, bytes);
        if (reached == Reached::MOVED)
            return move(w->worker, port, address[first_lane(w->active)] + u64(op->imm), bytes);
    }
    return reached != Reached::GENERAL;
}

// Counts an access of all lanes that is contiguous or uniform: no search is needed for those. It is aligned, so that
// one address lies in one sector and a warp's `bytes` sectors are one more where they do not start at a sector.
template <u32 Space, Use Uses>
WS_INLINE void count_simple(Warp* w, const Operation* op, const Access& access, u32 bytes, Pattern pattern) {
    Port& port = w->worker->ports[op->port];
    if constexpr (Space == WS_SHARED) {
        u32 passes = bytes <= 4 ? 1 : bytes / 4;
        port.counts.requests++;
        port.counts.lanes += LANES;
        port.counts.wavefronts += passes;
        port.counts.ideal += passes;
    } else {
        u32 sectors = pattern == UNIFORM ? 1 : bytes + ((access.first & 31) != 0);
        if (pattern == UNIFORM) {
            port.uniform++;
        } else {
            port.contiguous++;
            port.counts.sectors += sectors;
        }
        u64 sector = access.first >> 5;
        if (Uses == Use::READ)
            port.counts.fresh += note_sectors(w->worker, op->port, sector, access.port->seen + sector, sectors);
        else ask(w->worker, op->port, WS_STORES, sector, sectors);
    }
}

// The same sectors as the last time, as where a loop walks along rows, are known without a look at the lanes.
WS_INLINE u32 note_pattern(Warp* w, const Operation* op, Port& pattern, u64 first, u32 bytes) {
    Worker* k = w->worker;
    bool shifts = (pattern.misaligned & 31) != 0;
    u64 noted = shifts ? first : first >> 5;
    if (pattern.noted == noted && pattern.noted_by == k->ordinal) return 0;
    pattern.noted = noted;
    pattern.noted_by = k->ordinal;
    return note_loads(k, op->port, first, pattern.distance, w->active, bytes);
}

static __attribute__((noinline)) void ask_pattern(Warp* w, const Operation* op, const Port& pattern, u64 first, u32 bytes) {
    u64 address[LANES];
    for (u32 i = 0; i < LANES; i++) address[i] = first + pattern.distance[i];
    ask_lanes(w->worker, op->port, WS_STORES, address, w->active, bytes);
}

template <u32 Space, Use Uses>
WS_INLINE void count_other(Warp* w, const Operation* op, const Access& access, u32 bytes) {
    WsCounters& counts = w->worker->ports[op->port].counts;
    Port& pattern = *access.port;
    counts.requests++;
    counts.lanes += w->active_count;
    if constexpr (Space == WS_SHARED) {
        Passes passes = pattern.passes[access.first & 3];
        if (__builtin_expect(!passes.ideal, 0)) passes = count_passes(pattern, access.first, bytes);
        counts.wavefronts += passes.wavefronts;
        counts.ideal += passes.ideal;
    } else {
        u32 sectors = pattern.sectors[access.first & 31];
        counts.sectors += sectors ? sectors : count_sectors(pattern, access.first, bytes);
        if constexpr (Uses == Use::READ) counts.fresh += note_pattern(w, op, pattern, access.first, bytes);
        else ask_pattern(w, op, pattern, access.first, bytes);
    }
}

}  // namespace
}  // namespace WS_NS
