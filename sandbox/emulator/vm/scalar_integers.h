// Integer arithmetic, shifts, bit fields, permutes.
#pragma once
#include "scalar_types.h"

namespace WS_NS {
namespace {

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

template <class T> static inline T pick_min(T a, T b) { return a < b ? a : b; }
template <class T> static inline T pick_max(T a, T b) { return a > b ? a : b; }
template <class T> static inline T at_least_0(T a) { return a > 0 ? a : T(0); }
// The low `bits` of a word, at most 32, extended.
static inline u32 szext(u32 a, u32 bits) { return bits >= 32 ? a : a & ((1u << bits) - 1); }
static inline s32 szext(s32 a, u32 bits) { return bits ? s32(u32(a) << (32 - bits)) >> (32 - bits) : 0; }
static inline u32 bit_mask(u32 position, u32 width) {
    u64 ones = (u64(1) << width) - 1;
    return u32(ones << position);
}
static inline u32 find_nth_set(u32 mask, u32 base, s32 count) {
    if (base > 31) return ~0u;
    if (count == 0) return mask >> base & 1 ? base : ~0u;
    s64 left = count > 0 ? s64(count) : -s64(count);
    for (s32 at = s32(base); at >= 0 && at < 32; at += count > 0 ? 1 : -1)
        if (mask >> at & 1 && --left == 0) return u32(at);
    return ~0u;
}
template <int Bits, bool Signed>
static inline u32 pack_sat(s32 a, s32 b, u32 c) {
    constexpr s32 low = Signed ? -(1 << (Bits - 1)) : 0, high = (1 << (Bits - Signed)) - 1;
    constexpr u32 mask = (1u << Bits) - 1;
    u32 x = u32(a < low ? low : a > high ? high : a) & mask, y = u32(b < low ? low : b > high ? high : b) & mask;
    return u32(u64(c) << 2 * Bits) | x << Bits | y;
}

}  // namespace
}  // namespace WS_NS
