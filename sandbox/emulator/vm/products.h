// Every product of matrices that matrix.h has no faster handler for: sparse, 4-bit, 1-bit, 8-bit floats, f64, wmma.
#pragma once
#include "fragments.h"
#include "pessimism.h"

namespace WS_NS {
namespace {

enum ProductFlag : u32 { P_SATURATES = 1, P_XOR = 2, P_AND = 4, P_SPARSE = 8, P_PESSIMISTIC = 16 };
// Words of a product's list before its fragments': flags, depth (k), metadata register.
constexpr u32 PRODUCT_WORDS = 3;
constexpr u32 MOST_DEPTH = 256, MOST_ROWS = 32, MOST_SUMS = 512;

// Bits of metadata of one row, as isa/matrix.py has them.
static u64 row_metadata(const u32* words, u32 row, u32 selector, u32 width, bool narrow) {
    u32 quad = row % 8 * 4, upper = row / 8;
    if (narrow) {
        u32 count = width / 32, first = quad + 2 * count * selector % 4;
        u64 bits = 0;
        for (u32 i = 0; i < count; i++) bits |= u64(words[first + 2 * i + upper]) << 32 * i;
        return bits;
    }
    u32 count = width / 16, first = quad + count * selector % 4;
    u64 bits = 0;
    for (u32 i = 0; i < count; i++) bits |= u64(words[first + i] >> 16 * upper & 0xFFFF) << 16 * i;
    return bits;
}

// Columns of A that the kept elements of a row stand in.
static void kept_columns(u32 type, u64 bits, u32 depth, u16* kept) {
    u32 pair = type == E_S4 || type == E_U4 ? 2 : 1;
    for (u32 j = 0; j < depth / 2; j++) {
        if (type == E_TF32) {
            kept[j] = u16(2 * j + (bits >> (4 * j + 1) & 1));
            continue;
        }
        u32 index = u32(bits >> 2 * (j / pair)) & 3;
        kept[j] = u16((j / pair / 2 * 4 + index) * pair + j % pair);
    }
}

WS_INLINE f32 toward_zero(f64 x) {
    f32 y = f32(x);
    return std::fabs(f64(y)) > std::fabs(x) ? f32_of(bits_of(y) - 1) : y;
}

// In pessimistic mode: which of the depth's products comes k-th.
struct Another {
    u32 times, from, mask;
    Another(Warp* w, const Operation* op, u32 depth) : mask(depth - 1) {
        u64 by = u64((chance(w->worker->launch->seed, op->site, depth) + 1) * 1e6);
        times = u32(by) | 1;
        from = u32(by >> 8);
    }
    u32 index(u32 k) const { return (k * times + from) & mask; }
};

// In pessimistic mode: sums as the least precise of our targets' tensor cores was measured to make them, A100's.
// So many products and the sum so far are one addition: each is cut off below the 24th bit behind the largest one's
// first, and the exact sum of those is cut off to f32. Cutting off after every product would lose, in a sum of K
// products of either sign, K * 2^-24.5 / sqrt(3) of it, more than half precision's unit at K = 65536; no machine does.
constexpr u32 MOST_AT_ONCE = 32;

static u32 at_once(u32 element_bits) {
    return element_bits > 4 ? 128 / element_bits : MOST_AT_ONCE;
}

static f64 last_kept(f64 largest) {
    u64 power = bits_of(largest) & 0x7FF0000000000000ull;
    return power < 0x0C00000000000000ull ? 0x1p-900 : f64_of(power) * 0x1p-24;
}

// Columns that a processor takes side by side. Those of every product are a multiple of it (isa/product_words.py).
constexpr u32 ABREAST = 8;

// sums[n] += left[k] * right[k][n] for `count` products, in the columns from `first` on.
static void add_cut_off(const f64* left, const f32* const* right, u32 first, u32 count, f32* sums) {
    f64 terms[MOST_AT_ONCE + 1][ABREAST], largest[ABREAST] = {}, exact[ABREAST] = {};
    f64 unit[ABREAST], many[ABREAST], sum[ABREAST] = {};
    for (u32 k = 0; k < count; k++)
        for (u32 n = 0; n < ABREAST; n++) terms[k][n] = left[k] * f64(right[k][first + n]);
    for (u32 n = 0; n < ABREAST; n++) terms[count][n] = f64(sums[first + n]);
    for (u32 k = 0; k <= count; k++)
        for (u32 n = 0; n < ABREAST; n++) {
            f64 size = std::fabs(terms[k][n]);
            largest[n] = size > largest[n] ? size : largest[n];
            exact[n] += terms[k][n];
        }
    for (u32 n = 0; n < ABREAST; n++) {
        unit[n] = last_kept(largest[n]);
        many[n] = 1 / unit[n];
    }
    for (u32 k = 0; k <= count; k++)
        for (u32 n = 0; n < ABREAST; n++) sum[n] += std::trunc(terms[k][n] * many[n]) * unit[n];
    for (u32 n = 0; n < ABREAST; n++) sums[first + n] = is_finite(exact[n]) ? toward_zero(sum[n]) : f32(exact[n]);
}

template <class Number>
struct AnyProduct {
    static Number joined(u32 flags, Number a, Number b, Number sum) {
        if constexpr (std::is_same<Number, s64>::value) {
            if (flags & P_XOR) return sum + (a ^ b);
            if (flags & P_AND) return sum + (a & b);
        }
        return sum + a * b;
    }

    // imm: selector of the metadata.
    static const Operation* run(Warp* w, const Operation* op) {
        const Operation* next;
        if (!everyone(w, op, next)) return next;
        const u32* list = w->worker->lists + op->list;
        u32 flags = list[0], depth = list[1];
        const u32* shapes = list + PRODUCT_WORDS;
        const u32* places = shapes + 4 * Fragment::WORDS;
        Fragment a(shapes, places), b(shapes + 5, places + shapes[4]);
        Fragment c(shapes + 10, b.registers + b.count), d(shapes + 15, c.registers + c.count);
        static thread_local Number left[MOST_ROWS * MOST_DEPTH], right[MOST_DEPTH * MOST_ROWS], sums[MOST_SUMS];
        gather(w, a, left, a.columns);
        gather(w, b, right, b.columns);
        gather(w, c, sums, c.columns);
        u16 kept[MOST_DEPTH];
        for (u32 k = 0; k < depth; k++) kept[k] = u16(k);
        for (u32 row = 0; row < d.rows; row++) {
            if (flags & P_SPARSE) {
                bool narrow = a.bits() <= 8;
                u32 pair = a.bits() == 4 ? 2 : 1, width = depth / pair * (a.type == E_TF32 ? 2 : 1);
                u64 bits = row_metadata(lanes<u32>(w, list[2]), row, u32(op->imm), width, narrow);
                kept_columns(a.type, bits, depth, kept);
            }
            Number* sum = sums + row * d.columns;
            if constexpr (std::is_same<Number, f32>::value)
                if (flags & P_PESSIMISTIC) {
                    Another order(w, op, a.columns);
                    for (u32 done = 0, step = at_once(a.bits()); done < a.columns; done += step) {
                        f64 values[MOST_AT_ONCE];
                        const f32* lines[MOST_AT_ONCE];
                        u32 count = a.columns - done < step ? a.columns - done : step;
                        for (u32 i = 0; i < count; i++) {
                            u32 k = order.index(done + i);
                            values[i] = f64(left[row * a.columns + k]);
                            lines[i] = right + kept[k] * b.columns;
                        }
                        for (u32 n = 0; n < d.columns; n += ABREAST) add_cut_off(values, lines, n, count, sum);
                    }
                    if (d.type == E_F16)
                        for (u32 n = 0; n < d.columns; n++) sum[n] = f16(to_f16_dir(f64(sum[n]), RZ));
                    continue;
                }
            for (u32 k = 0; k < a.columns; k++) {
                Number value = left[row * a.columns + k];
                const Number* line = right + kept[k] * b.columns;
                for (u32 n = 0; n < d.columns; n++) sum[n] = joined(flags, value, line[n], sum[n]);
            }
            if constexpr (std::is_same<Number, s64>::value)
                for (u32 n = 0; flags & P_SATURATES && n < d.columns; n++) sum[n] = saturated(sum[n]);
        }
        scatter(w, d, sums, d.columns);
        return next;
    }
};

#define PRODUCTS                                                                                        \
    SAME("product.f32", (&AnyProduct<f32>::run)) SAME("product.f64", (&AnyProduct<f64>::run))           \
    SAME("product.int", (&AnyProduct<s64>::run))

}  // namespace
}  // namespace WS_NS
