// fp16 and bf16.
#pragma once
#include "scalar_floats.h"

namespace WS_NS {
namespace {

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
// `fused`, or zero where a factor is the NaN of a copy out of bounds (isa/half.py).
static inline u16 unless_filled(u16 a, u16 b, u16 fused) {
    return (a & 0x7FFF) == 0x7FF7 || (b & 0x7FFF) == 0x7FF7 ? 0 : fused;
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

static inline u16 finite_f16(u16 h) { return (h & 0x7FFFu) == 0x7C00u ? u16(h - 1) : h; }
static inline u16 finite_bf16(u16 h) { return (h & 0x7FFFu) == 0x7F80u ? u16(h - 1) : h; }
static inline u16 fma_bf16_dir(u16 a, u16 b, u16 c, int mode) {
    // The product is exact in binary64; its sum is rounded to odd, so that one more rounding in any mode is exact.
    f64 product = f64(bf16(a)) * f64(bf16(b)), addend = f64(bf16(c)), sum = odd_add(product, addend);
    // An exact zero of unlike signs is -0 when rounding down.
    if (sum == 0 && mode == RM && std::signbit(product) != std::signbit(addend)) return 0x8000u;
    return to_bf16_dir(sum, mode);
}
template <class Choose>
static inline u16 by_magnitude(Choose choose, u16 a, u16 b) {
    return u16(choose(u16(a & 0x7FFFu), u16(b & 0x7FFFu)) ^ ((a ^ b) & 0x8000u));
}

}  // namespace
}  // namespace WS_NS
