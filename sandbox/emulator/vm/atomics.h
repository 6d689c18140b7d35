// atom and red: one lane after the other, each as an atomic of the host, since blocks run on several host threads.
#pragma once
#include "reach.h"

namespace WS_NS {
namespace {

template <size_t Size> struct Word;
template <> struct Word<2> { using type = u16; };
template <> struct Word<4> { using type = u32; };
template <> struct Word<8> { using type = u64; };

// T is how the memory's value is read; Change gives the new value from the old one and the operands.
template <class T, class Change>
struct Atomic {
    using Bits = typename Word<sizeof(T)>::type;
    using Lane = std::conditional_t<sizeof(T) == 8, u64, u32>;

    // a: address; b, c: operands; d: old value, if target; bytes: the space.
    static const Operation* run(Warp* w, const Operation* op) {
        u64 address[LANES];
        widen_addresses(w, op->a, op->flags & WS_WIDE, op->imm, address);
        // e: what a vector's address must be a multiple of, on its first element.
        for (u32 m = op->e ? w->active : 0; m; m &= m - 1) {
            u32 lane = first_lane(m);
            if (!(address[lane] % op->e)) continue;
            bad_access(w, op, WS_MISALIGNED, lane, WS_GLOBAL, address[lane], op->e);
            return nullptr;
        }
        if (!reach_lanes(w, op, op->bytes, address, sizeof(T), Use::UPDATE, w->active)) return nullptr;
        in_turn(w, op, [&](u32 lane) {
            T first = bits_as<T>(Bits(lanes<Lane>(w, op->b)[lane]));
            T second = bits_as<T>(Bits(lanes<Lane>(w, op->c)[lane]));
            Bits* at = reinterpret_cast<Bits*>(w->worker->pointer[lane]);
            Bits old = __atomic_load_n(at, __ATOMIC_RELAXED), changed;
            do changed = bits_as<Bits>(T(Change::apply(bits_as<T>(old), first, second)));
            while (!__atomic_compare_exchange_n(at, &old, changed, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
            w->worker->changes += changed != old;
            if (op->target) lanes<Lane>(w, op->d)[lane] = old;
        });
        return op + 1;
    }
};

struct Add { template <class T> static T apply(T x, T a, T) { return x + a; } };
struct Min { template <class T> static T apply(T x, T a, T) { return a < x ? a : x; } };
struct Max { template <class T> static T apply(T x, T a, T) { return a > x ? a : x; } };
struct And { template <class T> static T apply(T x, T a, T) { return x & a; } };
struct Or { template <class T> static T apply(T x, T a, T) { return x | a; } };
struct Xor { template <class T> static T apply(T x, T a, T) { return x ^ a; } };
struct Exchange { template <class T> static T apply(T, T a, T) { return a; } };
struct CompareAndSwap { template <class T> static T apply(T x, T expected, T a) { return x == expected ? a : x; } };
struct Increment { static u32 apply(u32 x, u32 limit, u32) { return x >= limit ? 0 : x + 1; } };
struct Decrement { static u32 apply(u32 x, u32 limit, u32) { return x == 0 || x > limit ? limit : x - 1; } };
struct AddF16 { static u16 apply(u16 x, u16 a, u16) { return add_f16(x, a); } };
struct AddBf16 { static u16 apply(u16 x, u16 a, u16) { return add_bf16(x, a); } };
struct AddF16x2 {
    static u32 apply(u32 x, u32 a, u32) { return pack16(add_f16(lo(x), lo(a)), add_f16(hi(x), hi(a))); }
};
struct AddBf16x2 {
    static u32 apply(u32 x, u32 a, u32) { return pack16(add_bf16(lo(x), lo(a)), add_bf16(hi(x), hi(a))); }
};

#define HALF_EXTREME(Name, type, one)                                                                     \
    struct Name { static u16 apply(u16 x, u16 a, u16) { return one##_##type(x, a); } };                   \
    struct Name##x2 {                                                                                    \
        static u32 apply(u32 x, u32 a, u32) { return pack16(one##_##type(lo(x), lo(a)), one##_##type(hi(x), hi(a))); } \
    };
HALF_EXTREME(MinF16, f16, min) HALF_EXTREME(MaxF16, f16, max)
HALF_EXTREME(MinBf16, bf16, min) HALF_EXTREME(MaxBf16, bf16, max)

#define ATOM(name, T, Change) SAME("atom." name, (&Atomic<T, Change>::run))
#define ATOMICS                                                                                             \
    ATOM("add.u32", u32, Add) ATOM("add.u64", u64, Add) ATOM("add.f32", f32, Add) ATOM("add.f64", f64, Add) \
    ATOM("add.f16", u16, AddF16) ATOM("add.bf16", u16, AddBf16)                                             \
    ATOM("add.f16x2", u32, AddF16x2) ATOM("add.bf16x2", u32, AddBf16x2)                                     \
    ATOM("min.f16", u16, MinF16) ATOM("max.f16", u16, MaxF16)                                               \
    ATOM("min.bf16", u16, MinBf16) ATOM("max.bf16", u16, MaxBf16)                                           \
    ATOM("min.f16x2", u32, MinF16x2) ATOM("max.f16x2", u32, MaxF16x2)                                       \
    ATOM("min.bf16x2", u32, MinBf16x2) ATOM("max.bf16x2", u32, MaxBf16x2)                                   \
    ATOM("min.u32", u32, Min) ATOM("min.s32", s32, Min) ATOM("min.u64", u64, Min) ATOM("min.s64", s64, Min) \
    ATOM("max.u32", u32, Max) ATOM("max.s32", s32, Max) ATOM("max.u64", u64, Max) ATOM("max.s64", s64, Max) \
    ATOM("and.b32", u32, And) ATOM("and.b64", u64, And) ATOM("or.b32", u32, Or) ATOM("or.b64", u64, Or)     \
    ATOM("xor.b32", u32, Xor) ATOM("xor.b64", u64, Xor)                                                     \
    ATOM("exch.b32", u32, Exchange) ATOM("exch.b64", u64, Exchange)                                         \
    ATOM("cas.b16", u16, CompareAndSwap) ATOM("cas.b32", u32, CompareAndSwap)                               \
    ATOM("cas.b64", u64, CompareAndSwap) ATOM("inc.u32", u32, Increment) ATOM("dec.u32", u32, Decrement)

}  // namespace
}  // namespace WS_NS
