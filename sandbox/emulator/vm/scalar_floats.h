// fp32 and fp64 as the ISA defines them to the bit.
#pragma once
#include "scalar_types.h"

namespace WS_NS {
namespace {

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

}  // namespace
}  // namespace WS_NS
