// Results whose last bits the ISA leaves open, moved within the documented error: what another machine may give.
//
// The same value at the same place moves alike whatever the schedule, as a machine's approximation is one function.
#pragma once
#include "machine.h"

namespace WS_NS {
namespace {

// Uniform in [-1, 1].
static f64 chance(u64 seed, u64 site, u64 bits) {
    u64 x = (seed * 0x9E3779B97F4A7C15ull) ^ (site << 32) ^ bits * 0xFF51AFD7ED558CCDull;
    x ^= x >> 33;
    x *= 0xC4CEB9FE1A85EC53ull;
    x ^= x >> 29;
    x *= 0x94D049BB133111EBull;
    x ^= x >> 32;
    return f64(s64(x)) * 0x1p-63;
}

enum PerturbFlag : u32 { WITHIN_ONE = 1 };

// `value` moved by at most relative * |value| or absolute, whichever is more; what is zero, infinite, no number or just one stays.
template <class Round>
static f64 moved(Warp* w, const Operation* op, f64 value, u64 bits, Round round) {
    if (value == 0 || !is_finite(value) || std::fabs(value) == 1) return value;
    f64 most = f64(f32_of(u32(op->imm))) * std::fabs(value), least = f64(f32_of(u32(u64(op->imm) >> 32)));
    most = most > least ? most : least;
    f64 to = round(value + chance(w->worker->launch->seed, op->site, bits) * most);
    if (!is_finite(to) || std::fabs(to - value) > most) return value;
    if (op->bytes & WITHIN_ONE && std::fabs(to) > 1) return value;
    return to;
}

struct NoisyF32 {
    using Lane = u32;
    static u32 apply(Warp* w, const Operation* op, u32 x) {
        return bits_of(f32(moved(w, op, f32_of(x), x, [](f64 y) { return f64(f32(y)); })));
    }
};
struct NoisyF64 {
    using Lane = u64;
    static u64 apply(Warp* w, const Operation* op, u64 x) {
        return bits_of(moved(w, op, f64_of(x), x, [](f64 y) { return y; }));
    }
};
struct NoisyF16 {
    using Lane = u32;
    static u32 apply(Warp* w, const Operation* op, u32 x) {
        return to_f16(f32(moved(w, op, f16(u16(x)), x, [](f64 y) { return f64(f16(f64_to_f16(y))); })));
    }
};
struct NoisyBf16 {
    using Lane = u32;
    static u32 apply(Warp* w, const Operation* op, u32 x) {
        return to_bf16(f32(moved(w, op, bf16(u16(x)), x, [](f64 y) { return f64(bf16(f64_to_bf16(y))); })));
    }
};
template <class One>
struct Noisy2 {
    using Lane = u32;
    static u32 apply(Warp* w, const Operation* op, u32 x) {
        return pack16(u16(One::apply(w, op, lo(x))), u16(One::apply(w, op, hi(x))));
    }
};

// d: moved in place; imm: relative and absolute bound as two f32.
template <class Noisy>
static const Operation* perturb(Warp* w, const Operation* op) {
    auto* d = lanes<typename Noisy::Lane>(w, op->d);
    for (u32 m = w->active; m; m &= m - 1) d[first_lane(m)] = Noisy::apply(w, op, d[first_lane(m)]);
    return op + 1;
}

#define PERTURBATIONS                                                                                      \
    SAME("perturb.f32", perturb<NoisyF32>) SAME("perturb.f64", perturb<NoisyF64>)                          \
    SAME("perturb.f16", perturb<NoisyF16>) SAME("perturb.bf16", perturb<NoisyBf16>)                        \
    SAME("perturb.f16x2", perturb<Noisy2<NoisyF16>>) SAME("perturb.bf16x2", perturb<Noisy2<NoisyBf16>>)

}  // namespace
}  // namespace WS_NS
