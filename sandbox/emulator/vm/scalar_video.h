// SIMD video instructions: isa/video.py in C++. `code` is the instruction's number there.
#pragma once
#include "scalar_integers.h"

namespace WS_NS {
namespace {

enum VideoOperation : u32 { V_ADD, V_SUB, V_AVERAGE, V_DIFFERENCE, V_MIN, V_MAX, V_EQ, V_NE, V_LT, V_LE, V_GT, V_GE };

static inline s32 video_part(u32 word, u32 width, u32 i, u32 is_signed) {
    u32 bits = word >> (width * i) & ((1u << width) - 1);
    return is_signed ? s32(bits << (32 - width)) >> (32 - width) : s32(bits);
}
static inline s32 video_result(u32 operation, s32 x, s32 y) {
    switch (operation) {
        case V_ADD: return x + y;
        case V_SUB: return x - y;
        // Halves are rounded away from zero.
        case V_AVERAGE: return (x + y + (x + y >= 0)) >> 1;
        case V_DIFFERENCE: return x < y ? y - x : x - y;
        case V_MIN: return x < y ? x : y;
        case V_MAX: return x > y ? x : y;
        case V_EQ: return x == y;
        case V_NE: return x != y;
        case V_LT: return x < y;
        case V_LE: return x <= y;
        case V_GT: return x > y;
        default: return x >= y;
    }
}
static inline u32 video(u32 a, u32 b, u32 c, u32 code) {
    u32 operation = code & 15, width = code >> 4 & 1 ? 8 : 16, result = code >> 8 & 1 ? c : 0;
    u32 signed_a = code >> 5 & 1, signed_b = code >> 6 & 1, signed_d = code >> 7 & 1, saturates = code >> 9 & 1;
    s32 low = signed_d ? -(1 << (width - 1)) : 0, high = (1 << (width - signed_d)) - 1;
    for (u32 i = 0; i < 32 / width; i++) {
        s32 x = video_part(a, width, i, signed_a), y = video_part(b, width, i, signed_b);
        s32 value = video_result(operation, x, y);
        if (saturates) value = value < low ? low : value > high ? high : value;
        if (code >> 8 & 1) result += u32(value);
        else result |= (u32(value) & ((1u << width) - 1)) << (width * i);
    }
    return result;
}

}  // namespace
}  // namespace WS_NS
