// ld and st: every space, 1 to 8 bytes an element, 1 to 4 elements a lane.
#pragma once
#include "pattern.h"

namespace WS_NS {
namespace {

template <class E>
WS_INLINE E read_as(const u8* at) {
    E value;
    memcpy(&value, at, sizeof value);
    return value;
}

#if defined(__AVX512F__)
// Lanes anywhere within 32 words.
WS_INLINE void permute_words(const u8* lowest, const u32* distance, u32 low, u32* d) {
    __m512i first = _mm512_loadu_si512(lowest), second = _mm512_loadu_si512(lowest + 64);
    __m512i shift = _mm512_set1_epi32(int(low));
    for (u32 half = 0; half < 2; half++) {
        __m512i at = _mm512_add_epi32(_mm512_load_si512(distance + 16 * half), shift);
        _mm512_store_si512(d + 16 * half, _mm512_permutex2var_epi32(first, _mm512_maskz_srli_epi32(0xFFFF, at, 2), second));
    }
}
#else
WS_INLINE void permute_words(const u8* lowest, const u32* distance, u32 low, u32* d) {
    for (u32 i = 0; i < LANES; i++) d[i] = read_as<u32>(lowest + (distance[i] + low));
}
#endif

// Contiguous lanes' values into N registers.
template <class E, u32 N>
WS_INLINE void load_contiguous(const u8* from, typename Stored<E>::type** d) {
    if constexpr (N == 1 && sizeof(E) >= 4) {
        memcpy(d[0], from, sizeof(E) * LANES);
    } else {
        for (u32 n = 0; n < N; n++)
            for (u32 i = 0; i < LANES; i++)
                d[n][i] = typename Stored<E>::type(read_as<E>(from + (i * N + n) * sizeof(E)));
    }
}

template <class E, u32 N>
WS_INLINE void load_uniform(const u8* from, typename Stored<E>::type** d) {
    for (u32 n = 0; n < N; n++) {
        auto value = typename Stored<E>::type(read_as<E>(from + n * sizeof(E)));
        for (u32 i = 0; i < LANES; i++) d[n][i] = value;
    }
}

template <class E, u32 N>
WS_INLINE void load_gathered(Warp* w, const Access& access, typename Stored<E>::type** d) {
    using Lane = typename Stored<E>::type;
    const Port& port = *access.port;
    if constexpr (N == 1 && std::is_same<E, u32>::value) {
        if (access.pattern == PERMUTED) {
            permute_words(access.data - port.low, port.distance32, u32(port.low), d[0]);
            return;
        }
    }
    if (w->active == ALL) {
        for (u32 i = 0; i < LANES; i++)
            for (u32 n = 0; n < N; n++) d[n][i] = Lane(read_as<E>(access.data + port.distance[i] + n * sizeof(E)));
        return;
    }
    for (u32 m = w->active; m; m &= m - 1) {
        u32 i = first_lane(m);
        for (u32 n = 0; n < N; n++) d[n][i] = Lane(read_as<E>(access.data + port.distance[i] + n * sizeof(E)));
    }
}

template <class E, u32 N>
static __attribute__((noinline)) void load_by_lane(Warp* w, typename Stored<E>::type** d) {
    for (u32 m = w->active; m; m &= m - 1) {
        u32 i = first_lane(m);
        const u8* at = w->worker->pointer[i];
        for (u32 n = 0; n < N; n++) d[n][i] = typename Stored<E>::type(read_as<E>(at + n * sizeof(E)));
    }
}

template <class E, u32 N>
WS_INLINE void store_contiguous(u8* to, typename Stored<E>::type** d) {
    if constexpr (N == 1 && sizeof(E) >= 4) {
        memcpy(to, d[0], sizeof(E) * LANES);
    } else {
        E values[LANES * N];
        for (u32 n = 0; n < N; n++)
            for (u32 i = 0; i < LANES; i++) values[i * N + n] = E(d[n][i]);
        memcpy(to, values, sizeof values);
    }
}

template <class E, u32 N>
WS_INLINE void store_one(u8* to, typename Stored<E>::type** d, u32 i) {
    for (u32 n = 0; n < N; n++) {
        E value = E(d[n][i]);
        memcpy(to + n * sizeof(E), &value, sizeof value);
    }
}

template <class E, u32 N>
WS_INLINE void store_gathered(Warp* w, const Operation* op, const Access& access, typename Stored<E>::type** d) {
    in_turn(w, op, [&](u32 i) { store_one<E, N>(access.data + access.port->distance[i], d, i); });
}

template <class E, u32 N>
static __attribute__((noinline)) void store_by_lane(Warp* w, const Operation* op, typename Stored<E>::type** d) {
    in_turn(w, op, [&](u32 i) { store_one<E, N>(w->worker->pointer[i], d, i); });
}

// A lone register is operand `single`, several are in the list.
template <class Lane, u32 N>
WS_INLINE void registers_of(Warp* w, const Operation* op, u32 single, Lane** d) {
    if constexpr (N == 1) d[0] = lanes<Lane>(w, single);
    else
        for (u32 n = 0; n < N; n++) d[n] = lanes<Lane>(w, w->worker->lists[op->list + n]);
}

template <class E, u32 N>
static void bytes_stored(Warp* w, const Operation* op, u32 lane, u8* bytes) {
    typename Stored<E>::type* d[N];
    registers_of<typename Stored<E>::type, N>(w, op, op->e, d);
    for (u32 n = 0; n < N; n++) {
        E value = E(d[n][lane]);
        memcpy(bytes + n * sizeof(E), &value, sizeof value);
    }
}

// The general way, for whatever the fast one declines. `space` is where the address points.
template <class E, u32 N>
static __attribute__((noinline)) const Operation* load_anywhere(Warp* w, const Operation* op, u32 space) {
    typename Stored<E>::type* d[N];
    u64 address[LANES];
    widen_addresses(w, op->a, space == WS_GLOBAL || op->flags & WS_WIDE, op->imm, address);
    if (!reach_lanes(w, op, space, address, sizeof(E) * N, Use::READ, w->active)) return nullptr;
    registers_of<typename Stored<E>::type, N>(w, op, op->d, d);
    load_by_lane<E, N>(w, d);
    return op + 1;
}

template <class E, u32 N>
static __attribute__((noinline)) const Operation* store_anywhere(Warp* w, const Operation* op, u32 space) {
    typename Stored<E>::type* d[N];
    u64 address[LANES];
    widen_addresses(w, op->a, space == WS_GLOBAL || op->flags & WS_WIDE, op->imm, address);
    if (!reach_lanes(w, op, space, address, sizeof(E) * N, Use::WRITE, w->active, bytes_stored<E, N>)) return nullptr;
    registers_of<typename Stored<E>::type, N>(w, op, op->e, d);
    store_by_lane<E, N>(w, op, d);
    return op + 1;
}

// What is neither contiguous nor uniform; apart, and given an Access in registers, so that the common handlers need
// no stack frame.
template <u32 Space, class E, u32 N, bool Counts>
static __attribute__((noinline)) const Operation* load_other(Warp* w, const Operation* op, u32 pattern, u8* data,
                                                            u64 first, Port* port) {
    Access access = {pattern, data, nullptr, first, port};
    typename Stored<E>::type* d[N];
    registers_of<typename Stored<E>::type, N>(w, op, op->d, d);
    if (Counts) count_other<Space, Use::READ>(w, op, access, sizeof(E) * N);
    load_gathered<E, N>(w, access, d);
    return op + 1;
}

template <u32 Space, class E, u32 N, bool Counts>
static __attribute__((noinline)) const Operation* store_other(Warp* w, const Operation* op, u32 pattern, u8* data,
                                                            u64 first, Port* port) {
    Access access = {pattern, data, nullptr, first, port};
    typename Stored<E>::type* d[N];
    registers_of<typename Stored<E>::type, N>(w, op, op->e, d);
    if (Counts) count_other<Space, Use::WRITE>(w, op, access, sizeof(E) * N);
    store_gathered<E, N>(w, op, access, d);
    return op + 1;
}

// Whatever the fast way declined, for a reason that goes away (then the operation starts again) or not.
template <u32 Space, class E, u32 N, bool Again>
static __attribute__((noinline)) const Operation* load_unusual(Warp* w, const Operation* op, Reached reached) {
    if (reached == Reached::FAULT) return nullptr;
    if (prepare_port<Space, Again>(w, op, reached, sizeof(E) * N)) return op->run(w, op);
    return load_anywhere<E, N>(w, op, Space);
}

template <u32 Space, class E, u32 N, bool Again>
static __attribute__((noinline)) const Operation* store_unusual(Warp* w, const Operation* op, Reached reached) {
    if (reached == Reached::FAULT) return nullptr;
    if (prepare_port<Space, Again>(w, op, reached, sizeof(E) * N)) return op->run(w, op);
    return store_anywhere<E, N>(w, op, Space);
}

// a: address; d (loads) or e (stores), or the list: the registers.
template <u32 Space, class E, u32 N, bool Checks, bool Counts, bool Again = false>
struct Load {
    static const Operation* run(Warp* w, const Operation* op) {
        constexpr u32 BYTES = sizeof(E) * N;
        Access access = {};
        Reached reached = reach<Space, Checks, Again>(w, op, BYTES, Use::READ, access);
        if (__builtin_expect(reached != Reached::FAST, 0)) return load_unusual<Space, E, N, Again>(w, op, reached);
        typename Stored<E>::type* d[N];
        if (access.pattern == CONTIGUOUS) {
            if (Counts) count_simple<Space, Use::READ>(w, op, access, BYTES, CONTIGUOUS);
            registers_of<typename Stored<E>::type, N>(w, op, op->d, d);
            load_contiguous<E, N>(access.data, d);
            return op + 1;
        }
        if (access.pattern == UNIFORM) {
            if (Counts) count_simple<Space, Use::READ>(w, op, access, BYTES, UNIFORM);
            registers_of<typename Stored<E>::type, N>(w, op, op->d, d);
            load_uniform<E, N>(access.data, d);
            return op + 1;
        }
        return load_other<Space, E, N, Counts>(w, op, access.pattern, access.data, access.first, access.port);
    }
};

template <u32 Space, class E, u32 N, bool Checks, bool Counts, bool Again = false>
struct Store {
    static const Operation* run(Warp* w, const Operation* op) {
        constexpr u32 BYTES = sizeof(E) * N;
        Access access = {};
        Reached reached = reach<Space, Checks, Again>(w, op, BYTES, Use::WRITE, access, bytes_stored<E, N>);
        if (__builtin_expect(reached != Reached::FAST, 0)) return store_unusual<Space, E, N, Again>(w, op, reached);
        if (access.pattern != CONTIGUOUS) return store_other<Space, E, N, Counts>(w, op, access.pattern, access.data, access.first, access.port);
        typename Stored<E>::type* d[N];
        if (Counts) count_simple<Space, Use::WRITE>(w, op, access, BYTES, CONTIGUOUS);
        registers_of<typename Stored<E>::type, N>(w, op, op->e, d);
        store_contiguous<E, N>(access.data, d);
        return op + 1;
    }
};

// Local, constant and generic addresses; bytes: the space.
template <class E, u32 N>
struct LoadAnywhere {
    static const Operation* run(Warp* w, const Operation* op) { return load_anywhere<E, N>(w, op, op->bytes); }
};
template <class E, u32 N>
struct StoreAnywhere {
    static const Operation* run(Warp* w, const Operation* op) { return store_anywhere<E, N>(w, op, op->bytes); }
};

}  // namespace
}  // namespace WS_NS
