// Approximate functions: evaluated in binary64 and rounded once, so nearer than any hardware's.
#pragma once
#include "scalar_floats.h"

namespace WS_NS {
namespace {

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

}  // namespace
}  // namespace WS_NS
