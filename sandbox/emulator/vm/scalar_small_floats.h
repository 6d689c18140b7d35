// tf32 and the 8-bit formats.
#pragma once
#include "scalar_halves.h"

namespace WS_NS {
namespace {

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

static inline u32 to_tf32_zero(f32 x) { u32 bits = bits_of(x); return x != x ? 0x7FFFFFFFu : bits & ~0x1FFFu; }
static inline u32 finite_tf32(u32 bits) { return (bits & 0x7FFFFFFFu) == 0x7F800000u ? bits - 0x2000u : bits; }
static inline u32 relu_tf32(u32 bits) {
    return (bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FFFFFFFu : bits >> 31 ? 0u : bits;
}
static inline f32 relu_f32(f32 x) { return x < 0.0f ? 0.0f : x == 0.0f ? 0.0f : x; }

}  // namespace
}  // namespace WS_NS
