// Scalar functions that the rows of isa/*.py call from their C++ text.
//
// The VM applies them over 32 lanes in loops that gcc vectorises, so the common ones are branch-free. This file is
// compiled several times with different -m flags: set WS_NS to give each copy its own namespace. Compile with
// -ffp-contract=off (one rounding an instruction, the same on every machine); -fno-math-errno and
// -fno-trapping-math let gcc vectorise.
//
// f16 and bf16 travel as u16 bits, f16x2 and bf16x2 as u32 (low half first), tf32 as the upper bits of a u32.
#pragma once
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifndef WS_NS
#define WS_NS ws
#endif

namespace WS_NS {
namespace {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;
using f32 = float;
using f64 = double;
using pred = bool;
using u128 = unsigned __int128;
using s128 = __int128;

template <class To, class From>
static inline To bits_as(From x) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To y;
    std::memcpy(&y, &x, sizeof y);
    return y;
}

// ---- integers -----------------------------------------------------------------------------------------------

// Products are formed unsigned and wide: signed overflow is undefined, and u16 * u16 would be a signed int.
static inline u16 mul_hi(u16 a, u16 b) { return u16((u32(a) * u32(b)) >> 16); }
static inline u32 mul_hi(u32 a, u32 b) { return u32((u64(a) * u64(b)) >> 32); }
static inline u64 mul_hi(u64 a, u64 b) { return u64((u128(a) * u128(b)) >> 64); }
static inline s16 mul_hi(s16 a, s16 b) { return s16((s32(a) * s32(b)) >> 16); }
static inline s32 mul_hi(s32 a, s32 b) { return s32((s64(a) * s64(b)) >> 32); }
static inline s64 mul_hi(s64 a, s64 b) { return s64((s128(a) * s128(b)) >> 64); }

// The machine leaves division by zero open; all ones and the dividend are what the definition says.
template <class T>
static inline T div_int(T a, T b) {
    using U = std::make_unsigned_t<T>;
    if (b == 0) return T(U(~U(0)));
    if (std::is_signed<T>::value && b == T(-1)) return T(U(0) - U(a));
    return T(a / b);
}
template <class T>
static inline T rem_int(T a, T b) {
    if (b == 0) return a;
    if (std::is_signed<T>::value && b == T(-1)) return 0;
    return T(a % b);
}

template <class T>
static inline T abs_int(T a) {
    using U = std::make_unsigned_t<T>;
    return T(a < 0 ? U(0) - U(a) : U(a));
}
template <class T>
static inline std::make_unsigned_t<T> distance(T a, T b) {
    using U = std::make_unsigned_t<T>;
    return a < b ? U(U(b) - U(a)) : U(U(a) - U(b));
}
static inline s32 clamp_s32(s64 x) { return s32(x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : x); }

// Shift amounts at or above the width give 0, or the sign for signed shifts right.
template <class T>
static inline T shl(T a, u32 n) {
    constexpr u32 width = sizeof(T) * 8;
    return n < width ? T(a << (n & (width - 1))) : T(0);
}
template <class T>
static inline T shr(T a, u32 n) {
    constexpr u32 width = sizeof(T) * 8;
    if (std::is_signed<T>::value) return T(a >> (n < width ? n : width - 1));
    return n < width ? T(a >> (n & (width - 1))) : T(0);
}
static inline u32 funnel_left(u32 low, u32 high, u32 n) {
    u64 both = u64(high) << 32 | low;
    return u32((both << n) >> 32);
}
static inline u32 funnel_right(u32 low, u32 high, u32 n) {
    u64 both = u64(high) << 32 | low;
    return u32(both >> n);
}
static inline u32 at_most_32(u32 n) { return n < 32 ? n : 32; }

// Bit d>>index of the truth table, spread over a word.
static inline u32 table_bit(u32 table, int index) { return 0u - (table >> index & 1u); }
static inline u32 choose(u32 mask, u32 yes, u32 no) { return (mask & yes) | (~mask & no); }
static inline u32 lop3(u32 a, u32 b, u32 c, u32 table) {
    u32 high = choose(b, choose(c, table_bit(table, 7), table_bit(table, 6)),
                      choose(c, table_bit(table, 5), table_bit(table, 4)));
    u32 low = choose(b, choose(c, table_bit(table, 3), table_bit(table, 2)),
                     choose(c, table_bit(table, 1), table_bit(table, 0)));
    return choose(a, high, low);
}

// One selector nibble: bits 0..2 pick a byte of {b, a}, bit 3 replicates its sign.
static inline u32 picked_byte(u64 both, u32 nibble) {
    u32 byte = u32(both >> (8 * (nibble & 7))) & 0xFF;
    u32 sign = 0u - (byte >> 7);
    return ((nibble & 8) ? sign : byte) & 0xFF;
}
static inline u32 prmt(u32 a, u32 b, u32 selector) {
    u64 both = u64(b) << 32 | a;
    return picked_byte(both, selector) | picked_byte(both, selector >> 4) << 8 |
           picked_byte(both, selector >> 8) << 16 | picked_byte(both, selector >> 12) << 24;
}
static inline u32 prmt_bytes(u32 a, u32 b, u32 i0, u32 i1, u32 i2, u32 i3) {
    return prmt(a, b, (i0 & 7) | (i1 & 7) << 4 | (i2 & 7) << 8 | (i3 & 7) << 12);
}
static inline u32 prmt_f4e(u32 a, u32 b, u32 c) { u32 k = c & 3; return prmt_bytes(a, b, k, k + 1, k + 2, k + 3); }
static inline u32 prmt_b4e(u32 a, u32 b, u32 c) { u32 k = c & 3; return prmt_bytes(a, b, k, k + 7, k + 6, k + 5); }
static inline u32 prmt_rc8(u32 a, u32 b, u32 c) { u32 k = c & 3; return prmt_bytes(a, b, k, k, k, k); }
static inline u32 prmt_ecl(u32 a, u32 b, u32 c) {
    u32 k = c & 3;
    return prmt_bytes(a, b, k, k > 1 ? k : 1, k > 2 ? k : 2, 3);
}
static inline u32 prmt_ecr(u32 a, u32 b, u32 c) {
    u32 k = c & 3;
    return prmt_bytes(a, b, 0, k < 1 ? k : 1, k < 2 ? k : 2, k);
}
static inline u32 prmt_rc16(u32 a, u32 b, u32 c) {
    u32 k = (c & 1) * 2;
    return prmt_bytes(a, b, k, k + 1, k, k + 1);
}

// Field position and length are taken modulo 256; a signed field longer than the word repeats the word's sign.
template <class T>
static inline T bfe(T a, u32 position, u32 length) {
    using U = std::make_unsigned_t<T>;
    constexpr u32 width = sizeof(T) * 8;
    position &= 0xFF;
    length &= 0xFF;
    if (length == 0) return 0;
    if (std::is_signed<T>::value) {
        u32 last = position + length - 1;
        if (last > width - 1) last = width - 1;
        U sign = U(0) - (U(a) >> last & 1);
        U low = position < width ? U(a) >> position : 0;
        if (position >= width) return T(sign);
        u32 kept = last - position + 1;
        return T(kept >= width ? low : (low & ((U(1) << kept) - 1)) | (sign << kept));
    }
    U low = position < width ? U(a) >> position : 0;
    return T(length >= width ? low : low & ((U(1) << length) - 1));
}
template <class U>
static inline U bfi(U a, U b, u32 position, u32 length) {
    constexpr u32 width = sizeof(U) * 8;
    position &= 0xFF;
    length &= 0xFF;
    if (position >= width || length == 0) return b;
    U field = length >= width ? U(~U(0)) : U((U(1) << length) - 1);
    U mask = U(field << position);
    return U((b & ~mask) | ((a << position) & mask));
}

static inline u32 clz(u32 a) { return a ? u32(__builtin_clz(a)) : 32u; }
static inline u32 clz(u64 a) { return a ? u32(__builtin_clzll(a)) : 64u; }
static inline u32 bfind(u32 a) { return a ? 31u - u32(__builtin_clz(a)) : ~0u; }
static inline u32 bfind(u64 a) { return a ? 63u - u32(__builtin_clzll(a)) : ~0u; }
static inline u32 bfind(s32 a) { return bfind(u32(a < 0 ? ~a : a)); }
static inline u32 bfind(s64 a) { return bfind(u64(a < 0 ? ~a : a)); }
static inline u32 bfind_shift(u32 found, u32 top) { return found == ~0u ? found : top - found; }
static inline u32 popc(u32 a) {
    a = a - (a >> 1 & 0x55555555u);
    a = (a & 0x33333333u) + (a >> 2 & 0x33333333u);
    return (((a + (a >> 4)) & 0x0F0F0F0Fu) * 0x01010101u) >> 24;
}
static inline u32 popc(u64 a) { return popc(u32(a)) + popc(u32(a >> 32)); }
static inline u32 brev(u32 a) {
    a = (a >> 1 & 0x55555555u) | (a & 0x55555555u) << 1;
    a = (a >> 2 & 0x33333333u) | (a & 0x33333333u) << 2;
    a = (a >> 4 & 0x0F0F0F0Fu) | (a & 0x0F0F0F0Fu) << 4;
    a = (a >> 8 & 0x00FF00FFu) | (a & 0x00FF00FFu) << 8;
    return a >> 16 | a << 16;
}
static inline u64 brev(u64 a) { return u64(brev(u32(a))) << 32 | brev(u32(a >> 32)); }

template <class A, class B>
static inline u32 dot4(u32 a, u32 b, u32 c) {
    for (int i = 0; i < 4; i++) c += u32(s32(A(u8(a >> 8 * i))) * s32(B(u8(b >> 8 * i))));
    return c;
}
// `which` is 0 for the low two bytes of b, 2 for the high two.
template <class A, class B>
static inline u32 dot2(u32 a, u32 b, u32 c, int which) {
    for (int i = 0; i < 2; i++) c += u32(s64(A(u16(a >> 16 * i))) * s64(B(u8(b >> 8 * (i + which)))));
    return c;
}

// Clamping conversion between integer types. Only u64 sources exceed s64.
template <class To, class From>
static inline To cvt_sat(From a) {
    constexpr To low = std::is_signed<To>::value ? To(To(1) << (sizeof(To) * 8 - 1)) : To(0);
    constexpr To high = To(~low);
    if (std::is_signed<From>::value) {
        s64 x = s64(a);
        if (std::is_signed<To>::value) return x < s64(low) ? low : x > s64(high) ? high : To(x);
        return x < 0 ? To(0) : u64(x) > u64(high) ? high : To(x);
    }
    return u64(a) > u64(high) ? high : To(a);
}

// ---- fp32 and fp64 ------------------------------------------------------------------------------------------

static inline f32 f32_of(u32 bits) { return bits_as<f32>(bits); }
static inline u32 bits_of(f32 x) { return bits_as<u32>(x); }
static inline f64 f64_of(u64 bits) { return bits_as<f64>(bits); }
static inline u64 bits_of(f64 x) { return bits_as<u64>(x); }

static inline f32 ftz(f32 x) {
    u32 bits = bits_of(x);
    return f32_of((bits & 0x7F800000u) ? bits : bits & 0x80000000u);
}
static inline f32 sat(f32 x) { f32 y = x > 0.0f ? x : 0.0f; return y < 1.0f ? y : 1.0f; }
static inline f64 sat(f64 x) { f64 y = x > 0.0 ? x : 0.0; return y < 1.0 ? y : 1.0; }

static inline f32 canonical_nan(f32) { return f32_of(0x7FFFFFFFu); }
static inline f64 canonical_nan(f64) { return f64_of(0x7FFFFFFFFFFFFFFFull); }

// Comparison of sign-magnitude bits as integers orders -0 below +0, as PTX asks.
static inline s32 order_key(f32 x) { s32 b = bits_as<s32>(x); return b ^ s32(u32(b >> 31) >> 1); }
static inline s64 order_key(f64 x) { s64 b = bits_as<s64>(x); return b ^ s64(u64(b >> 63) >> 1); }
template <class F>
static inline F fmin_(F a, F b) {
    F least = order_key(a) < order_key(b) ? a : b;
    // One selection at a time: gcc vectorises that, and not conditions joined by & or |.
    F without_a = a != a ? b : least;
    F picked = b != b ? a : without_a;
    return picked != picked ? canonical_nan(a) : picked;
}
template <class F>
static inline F fmax_(F a, F b) {
    F most = order_key(a) > order_key(b) ? a : b;
    // One selection at a time: gcc vectorises that, and not conditions joined by & or |.
    F without_a = a != a ? b : most;
    F picked = b != b ? a : without_a;
    return picked != picked ? canonical_nan(a) : picked;
}
template <class F>
static inline F fmin_nan(F a, F b) { return (a != a) | (b != b) ? canonical_nan(a) : fmin_(a, b); }
template <class F>
static inline F fmax_nan(F a, F b) { return (a != a) | (b != b) ? canonical_nan(a) : fmax_(a, b); }
static inline f32 flip_sign_if(f32 x, bool flip) { return f32_of(bits_of(x) ^ (flip ? 0x80000000u : 0u)); }

static inline f32 copysign_(f32 sign, f32 x) { return f32_of((bits_of(x) & 0x7FFFFFFFu) | (bits_of(sign) & 0x80000000u)); }
static inline f64 copysign_(f64 sign, f64 x) {
    return f64_of((bits_of(x) & ~(1ull << 63)) | (bits_of(sign) & (1ull << 63)));
}
static inline bool is_subnormal(f32 x) { u32 m = bits_of(x) & 0x7FFFFFFFu; return m != 0 && m < 0x00800000u; }
static inline bool is_subnormal(f64 x) { u64 m = bits_of(x) & ~(1ull << 63); return m != 0 && m < 1ull << 52; }
static inline bool is_infinite(f32 x) { return (bits_of(x) & 0x7FFFFFFFu) == 0x7F800000u; }
static inline bool is_infinite(f64 x) { return (bits_of(x) & ~(1ull << 63)) == 0x7FFull << 52; }
static inline bool is_finite(f32 x) { return (bits_of(x) & 0x7F800000u) != 0x7F800000u; }
static inline bool is_finite(f64 x) { return (bits_of(x) & 0x7FFull << 52) != 0x7FFull << 52; }

// Directed rounding asks the hardware, through volatiles so that nothing moves across the mode switch.
struct Rounding {
    int before;
    explicit Rounding(int mode) : before(std::fegetround()) { std::fesetround(mode); }
    ~Rounding() { std::fesetround(before); }
};
enum : int { RZ = FE_TOWARDZERO, RM = FE_DOWNWARD, RP = FE_UPWARD };
template <class F>
static inline F add_dir(F a, F b, int mode) { Rounding r(mode); volatile F x = a, y = b; volatile F z = x + y; return z; }
template <class F>
static inline F mul_dir(F a, F b, int mode) { Rounding r(mode); volatile F x = a, y = b; volatile F z = x * y; return z; }
template <class F>
static inline F div_dir(F a, F b, int mode) { Rounding r(mode); volatile F x = a, y = b; volatile F z = x / y; return z; }
static inline f32 fma_dir(f32 a, f32 b, f32 c, int mode) {
    Rounding r(mode); volatile f32 x = a, y = b, w = c; volatile f32 z = __builtin_fmaf(x, y, w); return z;
}
static inline f64 fma_dir(f64 a, f64 b, f64 c, int mode) {
    Rounding r(mode); volatile f64 x = a, y = b, w = c; volatile f64 z = __builtin_fma(x, y, w); return z;
}
static inline f32 sqrt_dir(f32 a, int mode) { Rounding r(mode); volatile f32 x = a; volatile f32 z = __builtin_sqrtf(x); return z; }
static inline f64 sqrt_dir(f64 a, int mode) { Rounding r(mode); volatile f64 x = a; volatile f64 z = __builtin_sqrt(x); return z; }
template <class To, class From>
static inline To cvt_dir(From a, int mode) { Rounding r(mode); volatile From x = a; volatile To z = To(x); return z; }

static inline f32 round_even(f32 x) { return __builtin_rintf(x); }
static inline f64 round_even(f64 x) { return __builtin_rint(x); }
static inline f32 trunc_(f32 x) { return __builtin_truncf(x); }
static inline f64 trunc_(f64 x) { return __builtin_trunc(x); }
static inline f32 floor_(f32 x) { return __builtin_floorf(x); }
static inline f64 floor_(f64 x) { return __builtin_floor(x); }
static inline f32 ceil_(f32 x) { return __builtin_ceilf(x); }
static inline f64 ceil_(f64 x) { return __builtin_ceil(x); }

// A value already integral, clamped to the type; NaN gives 0. `limit` is 2**(value bits), exact in both formats.
template <class To, class F>
static inline To to_int(F whole) {
    constexpr int value_bits = int(sizeof(To)) * 8 - std::is_signed<To>::value;
    constexpr To low = std::is_signed<To>::value ? To(To(1) << (sizeof(To) * 8 - 1)) : To(0);
    constexpr To high = To(~low);
    const F limit = F(u64(1) << (value_bits - 1)) * F(2);
    bool over = whole >= limit, under = whole <= F(low), number = whole == whole;
    F safe = over | under | !number ? F(0) : whole;
    To inside = To(safe);
    return over ? high : under & number ? low : inside;
}

// Approximate functions: evaluated in binary64 and rounded once, so nearer than any hardware's.
// 2**f on [-0.5, 0.5] by its Taylor series to f**9: relative error below 8e-12 + rounding, far under half an ulp of f32.
static inline f32 ex2(f32 x) {
    f64 clamped = x > 200.0f ? 200.0 : x < -200.0f ? -200.0 : f64(x);
    clamped = x == x ? clamped : 0.0;
    // Adding 1.5 * 2**52 leaves the nearest integer in the low bits.
    f64 shifted = clamped + 6755399441055744.0;
    f64 f = clamped - (shifted - 6755399441055744.0);
    // The polynomial by pairs of terms (Estrin): Horner's way has to wait for each term.
    f64 f2 = f * f, f4 = f2 * f2;
    f64 p0 = 6.9314718055994531e-01 * f + 1.0, p2 = 5.5504108664821580e-02 * f + 2.4022650695910072e-01;
    f64 p4 = 1.3333558146428443e-03 * f + 9.6181291076284772e-03, p6 = 1.5252733804059841e-05 * f + 1.5403530393381608e-04;
    f64 p8 = 1.0178086009239699e-07 * f + 1.3215486790144307e-06;
    f64 p = (p8 * f4 + (p6 * f2 + p4)) * f4 + (p2 * f2 + p0);
    f64 scale = f64_of(u64(bits_of(shifted) + 1023) << 52);
    f32 y = f32(p * scale);
    return x == x ? y : canonical_nan(x);
}
static inline f32 lg2(f32 x) { return f32(std::log2(f64(x))); }
static inline f32 rcp(f32 x) { return 1.0f / x; }
static inline f32 rsqrt(f32 x) { return f32(1.0 / __builtin_sqrt(f64(x))); }
static inline f64 rsqrt(f64 x) { return 1.0 / __builtin_sqrt(x); }
static inline f32 sqrt_(f32 x) { return __builtin_sqrtf(x); }
static inline f64 sqrt_(f64 x) { return __builtin_sqrt(x); }
static inline f32 sine(f32 x) { return f32(std::sin(f64(x))); }
static inline f32 cosine(f32 x) { return f32(std::cos(f64(x))); }
static inline f32 tanh_(f32 x) { return f32(std::tanh(f64(x))); }
// `.ftz` forms of the 64-bit approximations read only the upper word and give zero below it.
static inline f64 upper_word(f64 x) { return f64_of(bits_of(x) & 0xFFFFFFFF00000000ull); }

// ---- half formats -------------------------------------------------------------------------------------------

static inline f32 f16(u16 h) {
    // Shift into binary32's fields, then multiply by 2**112 to move the bias; subnormals come out exact.
    u32 magnitude = u32(h & 0x7FFFu) << 13;
    u32 scaled = bits_of(f32_of(magnitude) * f32_of(0x77800000u));
    u32 special = magnitude >= 0x0F800000u ? 0x7F800000u : 0u;
    return f32_of(scaled | special | u32(h & 0x8000u) << 16);
}
static inline f32 bf16(u16 h) { return f32_of(u32(h) << 16); }
static inline f32 low16(u32 x) { return f16(u16(x)); }
static inline f32 high16(u32 x) { return f16(u16(x >> 16)); }

static inline u16 to_f16(f32 x) {
    u32 bits = bits_of(x), magnitude = bits & 0x7FFFFFFFu, sign = bits >> 16 & 0x8000u;
    // Adding 0.5 aligns a subnormal result's last bit with binary32's; the addition itself rounds to even.
    u32 small = bits_of(f32_of(magnitude < 0x38800000u ? magnitude : 0u) + 0.5f) - 0x3F000000u;
    u32 odd = magnitude >> 13 & 1u;
    u32 normal = (magnitude - 0x38000000u + 0xFFFu + odd) >> 13;
    u32 result = magnitude < 0x38800000u ? small : normal;
    result = magnitude >= 0x477FF000u ? 0x7C00u : result;
    result |= sign;
    return u16(magnitude > 0x7F800000u ? 0x7FFFu : result);
}
static inline u16 to_bf16(f32 x) {
    u32 bits = bits_of(x);
    u32 rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    return u16((bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FFFu : rounded);
}

// Nearest with the last bit set where inexact: a second rounding to two or more bits fewer is then exact.
static inline f32 odd_f32(f64 x) {
    f32 y = f32(x);
    u32 bits = bits_of(y);
    bool inexact = (f64(y) != x) & (x == x);
    bool fix = inexact & !(bits & 1u);
    bool away = std::fabs(f64(y)) > std::fabs(x);
    return f32_of(fix ? (away ? bits - 1 : bits + 1) : bits);
}
static inline f64 odd_add(f64 a, f64 b) {
    f64 s = a + b;
    f64 part = s - a;
    f64 error = (a - (s - part)) + (b - part);
    u64 bits = bits_of(s);
    bool fix = (error != 0.0) & (error == error) & is_finite(s) & !(bits & 1u);
    bool grow = (error > 0.0) == (s > 0.0);
    return f64_of(fix ? (grow ? bits + 1 : bits - 1) : bits);
}
// a * b is exact in binary64 for half operands.
static inline f32 odd_fma(f32 a, f32 b, f32 c) { return odd_f32(odd_add(f64(a) * f64(b), f64(c))); }

// Directed narrowing: truncate the magnitude, then step outward where the mode and sign ask for it.
static inline u16 to_f16_dir(f64 x, int mode) {
    u16 nearest = to_f16(odd_f32(x));
    f64 back = f64(f16(nearest));
    bool below = back < x, above = back > x, negative = std::signbit(x);
    bool up = mode == RP || (mode == RZ && negative), down = mode == RM || (mode == RZ && !negative);
    int step = up && below ? 1 : down && above ? -1 : 0;
    return u16(negative ? nearest - step : nearest + step);
}
static inline u16 to_bf16_dir(f64 x, int mode) {
    u16 nearest = to_bf16(odd_f32(x));
    f64 back = f64(bf16(nearest));
    bool below = back < x, above = back > x, negative = std::signbit(x);
    bool up = mode == RP || (mode == RZ && negative), down = mode == RM || (mode == RZ && !negative);
    int step = up && below ? 1 : down && above ? -1 : 0;
    return u16(negative ? nearest - step : nearest + step);
}
static inline u16 f64_to_f16(f64 x) { return to_f16(odd_f32(x)); }
static inline u16 f64_to_bf16(f64 x) { return to_bf16(odd_f32(x)); }
// Any integer rounds to a half type exactly once: s64 and u64 are first rounded to odd in binary64.
static inline f64 odd_f64(u64 x) { return odd_add(f64(u32(x >> 32)) * 4294967296.0, f64(u32(x))); }
static inline f64 odd_f64(s64 x) { return odd_add(f64(s32(x >> 32)) * 4294967296.0, f64(u32(x))); }
static inline f64 odd_f64(u32 x) { return f64(x); }
static inline f64 odd_f64(s32 x) { return f64(x); }

static inline u32 pack16(u16 low, u16 high) { return u32(low) | u32(high) << 16; }
static inline u16 lo(u32 x) { return u16(x); }
static inline u16 hi(u32 x) { return u16(x >> 16); }

static inline u16 relu16(u16 h, u16 infinity) {
    u16 magnitude = h & 0x7FFFu;
    return magnitude > infinity ? u16(0x7FFFu) : (h & 0x8000u) ? u16(0) : h;
}
static inline u16 relu_f16(u16 h) { return relu16(h, 0x7C00u); }
static inline u16 relu_bf16(u16 h) { return relu16(h, 0x7F80u); }
static inline u16 sat_f16(u16 h) {
    bool drop = ((h & 0x7FFFu) > 0x7C00u) | ((h & 0x8000u) != 0);
    return drop ? u16(0) : h < 0x3C00u ? h : u16(0x3C00u);
}
static inline u16 sat_bf16(u16 h) {
    bool drop = ((h & 0x7FFFu) > 0x7F80u) | ((h & 0x8000u) != 0);
    return drop ? u16(0) : h < 0x3F80u ? h : u16(0x3F80u);
}
static inline u16 ftz_f16(u16 h) { return (h & 0x7C00u) ? h : u16(h & 0x8000u); }

// Half arithmetic: binary32 has more than twice the precision plus two, so one more rounding is innocuous
// for +, -, * (Figueroa, "When is double rounding innocuous?", 1995); fma goes through round-to-odd.
static inline u16 add_f16(u16 a, u16 b) { return to_f16(f16(a) + f16(b)); }
static inline u16 sub_f16(u16 a, u16 b) { return to_f16(f16(a) - f16(b)); }
static inline u16 mul_f16(u16 a, u16 b) { return to_f16(f16(a) * f16(b)); }
static inline u16 fma_f16(u16 a, u16 b, u16 c) { return to_f16(odd_fma(f16(a), f16(b), f16(c))); }
static inline u16 add_bf16(u16 a, u16 b) { return to_bf16(bf16(a) + bf16(b)); }
static inline u16 sub_bf16(u16 a, u16 b) { return to_bf16(bf16(a) - bf16(b)); }
static inline u16 mul_bf16(u16 a, u16 b) { return to_bf16(bf16(a) * bf16(b)); }
static inline u16 fma_bf16(u16 a, u16 b, u16 c) { return to_bf16(odd_fma(bf16(a), bf16(b), bf16(c))); }
static inline u16 min_f16(u16 a, u16 b) { return to_f16(fmin_(f16(a), f16(b))); }
static inline u16 max_f16(u16 a, u16 b) { return to_f16(fmax_(f16(a), f16(b))); }
static inline u16 min_nan_f16(u16 a, u16 b) { return to_f16(fmin_nan(f16(a), f16(b))); }
static inline u16 max_nan_f16(u16 a, u16 b) { return to_f16(fmax_nan(f16(a), f16(b))); }
static inline u16 min_bf16(u16 a, u16 b) { return to_bf16(fmin_(bf16(a), bf16(b))); }
static inline u16 max_bf16(u16 a, u16 b) { return to_bf16(fmax_(bf16(a), bf16(b))); }
static inline u16 min_nan_bf16(u16 a, u16 b) { return to_bf16(fmin_nan(bf16(a), bf16(b))); }
static inline u16 max_nan_bf16(u16 a, u16 b) { return to_bf16(fmax_nan(bf16(a), bf16(b))); }

// tf32 keeps 10 fraction bits of binary32.
static inline u32 to_tf32_away(f32 x) {
    u32 bits = bits_of(x);
    u32 rounded = (bits + 0x1000u) & ~0x1FFFu;
    u32 magnitude = bits & 0x7FFFFFFFu;
    return magnitude > 0x7F800000u ? 0x7FFFFFFFu : magnitude == 0x7F800000u ? bits : rounded;
}
static inline u32 to_tf32(f32 x) {
    u32 bits = bits_of(x);
    u32 rounded = (bits + 0xFFFu + (bits >> 13 & 1u)) & ~0x1FFFu;
    u32 magnitude = bits & 0x7FFFFFFFu;
    return magnitude > 0x7F800000u ? 0x7FFFFFFFu : magnitude == 0x7F800000u ? bits : rounded;
}

// 8-bit formats. Both are narrowed with `.satfinite`: magnitudes above the largest become the largest.
static inline f32 e4m3(u8 b) {
    u32 magnitude = b & 0x7Fu;
    // Exponent bias 7 to 127: multiply by 2**120.
    f32 value = f32_of(magnitude << 20) * f32_of(0x7B800000u);
    u32 bits = magnitude == 0x7Fu ? 0x7FFFFFFFu : bits_of(value);
    return f32_of(bits | u32(b & 0x80u) << 24);
}
static inline f32 e5m2(u8 b) { return f16(u16(b << 8)); }
// Rounds |x| to `fraction` bits with the smallest exponent `emin`, by adding and removing a large power of two.
static inline f32 rounded_magnitude(f32 x, int fraction, int emin) {
    f32 magnitude = std::fabs(x);
    int exponent = int(bits_of(magnitude) >> 23) - 127;
    if (exponent < emin) exponent = emin;
    f64 step = std::ldexp(1.0, exponent - fraction);
    return f32(std::nearbyint(f64(magnitude) / step) * step);
}
static inline u8 to_e4m3(f32 x) {
    u8 sign = u8(bits_of(x) >> 24 & 0x80u);
    if (x != x) return 0x7Fu;
    if (std::fabs(x) > 448.0f) return u8(sign | 0x7Eu);
    f32 r = rounded_magnitude(x, 3, -6);
    return u8(sign | bits_of(r * f32_of(0x03800000u)) >> 20);
}
static inline u8 to_e5m2(f32 x) {
    u8 sign = u8(bits_of(x) >> 24 & 0x80u);
    if (x != x) return 0x7Fu;
    if (std::fabs(x) > 57344.0f) return u8(sign | 0x7Bu);
    return u8(sign | to_f16(rounded_magnitude(x, 2, -14)) >> 8);
}

}  // namespace
}  // namespace WS_NS
