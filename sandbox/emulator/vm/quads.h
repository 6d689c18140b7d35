// mma.m8n8k4 with fp16 factors: isa/quad_products.py in C++. Lanes 4q to 4q + 3 and those sixteen behind them multiply
// matrices of their own.
#pragma once
#include "products.h"

namespace WS_NS {
namespace {

enum QuadFlag : u32 { Q_A_BY_COLUMN = 1, Q_B_BY_ROW = 2, Q_D_SINGLE = 4, Q_C_SINGLE = 8, Q_PESSIMISTIC = 16 };

// Where the i-th of a lane's sums stands.
static Spot quad_sum(u32 lane, u32 i, bool single) {
    u32 low = lane / 16 * 4;
    if (!single) return {lane % 4 + low, i};
    return {(lane & 1) + (i & 2) + low, (i & 4) + (lane & 2) + (i & 1)};
}

static u16 quad_half(Warp* w, const u32* registers, u32 lane, u32 i) {
    u32 word = lanes<u32>(w, registers[i / 2])[lane];
    return i % 2 ? hi(word) : lo(word);
}

// The list: d, a, b, c in the order of the text; imm: flags.
static const Operation* multiply_quads(Warp* w, const Operation* op) {
    const Operation* next;
    if (!everyone(w, op, next)) return next;
    u32 flags = u32(op->imm);
    bool d_single = flags & Q_D_SINGLE, c_single = flags & Q_C_SINGLE;
    const u32 *d = w->worker->lists + op->list, *a = d + (d_single ? 8 : 4), *b = a + 2, *c = b + 2;
    f32 left[4][8][4], right[4][4][8], sums[4][8][8];
    for (u32 lane = 0; lane < LANES; lane++) {
        u32 q = lane % 16 / 4, t = lane % 4, low = lane / 16 * 4;
        for (u32 i = 0; i < 4; i++) {
            f32 x = f16(quad_half(w, a, lane, i)), y = f16(quad_half(w, b, lane, i));
            (flags & Q_A_BY_COLUMN ? left[q][i + low][t] : left[q][t + low][i]) = x;
            (flags & Q_B_BY_ROW ? right[q][t][i + low] : right[q][i][t + low]) = y;
        }
        for (u32 i = 0; i < 8; i++) {
            Spot at = quad_sum(lane, i, c_single);
            sums[q][at.row][at.column] = c_single ? f32_of(lanes<u32>(w, c[i])[lane]) : f16(quad_half(w, c, lane, i));
        }
    }
    Another order(w, op, 4);
    for (u32 q = 0; q < 4; q++)
        for (u32 row = 0; row < 8; row++)
            for (u32 n = 0; n < 8; n++) {
                f32& sum = sums[q][row][n];
                for (u32 i = 0; i < 4; i++) {
                    if (flags & Q_PESSIMISTIC) {
                        u32 k = order.index(i);
                        sum = toward_zero(f64(left[q][row][k]) * f64(right[q][k][n]) + f64(sum));
                    } else {
                        sum += left[q][row][i] * right[q][i][n];
                    }
                }
            }
    for (u32 lane = 0; lane < LANES; lane++) {
        u32 q = lane % 16 / 4;
        for (u32 i = 0; i < 8; i++) {
            Spot at = quad_sum(lane, i, d_single);
            f32 sum = sums[q][at.row][at.column];
            if (d_single) {
                lanes<u32>(w, d[i])[lane] = bits_of(sum);
                continue;
            }
            u16 half = flags & Q_PESSIMISTIC ? to_f16_dir(f64(sum), RZ) : to_f16(sum);
            u32& word = lanes<u32>(w, d[i / 2])[lane];
            word = i % 2 ? pack16(lo(word), half) : pack16(half, hi(word));
        }
    }
    return next;
}

#define QUADS SAME("mma.quads", multiply_quads)

}  // namespace
}  // namespace WS_NS
