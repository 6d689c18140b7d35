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
// isa/scalar_video.py: the part of a word that a field of the number names.
static inline u32 part_width(u32 part) { return part == 0 ? 32 : part < 5 ? 8 : 16; }
static inline u32 part_shift(u32 part) { return part == 0 ? 0 : part < 5 ? 8 * (part - 1) : part > 5 ? 16 : 0; }
static inline s64 part_taken(u32 word, u32 part, bool is_signed) {
    u32 width = part_width(part), bits = word >> part_shift(part) << (32 - width);
    return is_signed ? s64(s32(bits) >> (32 - width)) : s64(bits >> (32 - width));
}
constexpr u32 MAD_SIGNED = 3u << 13 | 3u << 23;
enum ScalarVideo : u32 { SV_ADD, SV_SUB, SV_DIFFERENCE, SV_MIN, SV_MAX, SV_SHL, SV_SHR, SV_MAD, SV_EQ };

static inline __int128 scalar_result(u32 operation, s64 x, s64 y, u32 c, u32 code) {
    using Wide = __int128;
    u32 by = u32(code >> 19 & 1 ? y & 31 : y < 0 || y > 32 ? 32 : y);
    switch (operation) {
        case SV_ADD: return x + y;
        case SV_SUB: return x - y;
        case SV_DIFFERENCE: return x < y ? y - x : x - y;
        case SV_MIN: return x < y ? x : y;
        case SV_MAX: return x > y ? x : y;
        case SV_SHL: return Wide(x) * (Wide(1) << by);
        case SV_SHR: return x >> by;
        case SV_MAD: {
            bool negates_product = code >> 23 & 1, negates_addend = (code >> 24 & 1) && !negates_product;
            u32 bits = negates_addend ? ~c : c, scale = code >> 20 & 3;
            Wide product = negates_product ? -(Wide(x) * y) : Wide(x) * y;
            Wide addend = code & MAD_SIGNED ? Wide(s32(bits)) : Wide(bits);
            return (product + addend + (code >> 22 & 1) + negates_addend) >> (scale == 1 ? 7 : scale ? 15 : 0);
        }
        default: return video_result(V_EQ + operation - SV_EQ, s32(x > y) - s32(x < y), 0);
    }
}
static inline u32 scalar_video(u32 a, u32 b, u32 c, u32 code) {
    u32 operation = code & 15, field[3];
    for (u32 i = 0; i < 3; i++) field[i] = code >> (4 + 3 * i) & 7;
    for (u32 i = 0; i < 3; i++) field[i] = field[i] > 6 ? 6 : field[i];
    s64 x = part_taken(a, field[0], code >> 13 & 1), y = part_taken(b, field[1], code >> 14 & 1);
    bool is_signed = operation == SV_MAD ? code & MAD_SIGNED : code >> 15 & 1;
    __int128 value = scalar_result(operation, x, y, c, code);
    u32 width = part_width(field[2]), shift = part_shift(field[2]);
    if (code >> 16 & 1) {
        s64 low = is_signed ? -(s64(1) << (width - 1)) : 0, high = (s64(1) << (width - is_signed)) - 1;
        value = value < low ? low : value > high ? high : value;
    }
    if (field[2]) {
        u32 mask = ((1u << width) - 1) << shift;
        return (c & ~mask) | (u32(value) << shift & mask);
    }
    __int128 third = is_signed ? __int128(s32(c)) : __int128(c);
    switch (code >> 17 & 3) {
        case 1: value += third; break;
        case 2: value = value < third ? value : third; break;
        case 3: value = value > third ? value : third; break;
    }
    return u32(value);
}

static inline u32 video(u32 a, u32 b, u32 c, u32 code) {
    u32 operation = code & 15, width = code >> 4 & 1 ? 8 : 16, result = code >> 8 & 1 ? c : 0;
    u32 signed_a = code >> 5 & 1, signed_b = code >> 6 & 1, signed_d = code >> 7 & 1, saturates = code >> 9 & 1;
    s32 low = signed_d ? -(1 << (width - 1)) : 0, high = (1 << (width - signed_d)) - 1;
    for (u32 i = 0; i < 32 / width; i++) {
        if (code >> (10 + i) & 1) {
            if (!(code >> 8 & 1)) result |= c & ((1u << width) - 1) << (width * i);
            continue;
        }
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
