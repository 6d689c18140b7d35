// The types of rows' C++ text. This file and those it serves are compiled several times with different -m flags: WS_NS
// gives each copy its own namespace.
#pragma once
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifndef WS_NS
#define WS_NS ws
#endif

namespace WS_NS {
namespace {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;
using f32 = float;
using f64 = double;
using pred = bool;
using u128 = unsigned __int128;
using s128 = __int128;

template <class To, class From>
static inline To bits_as(From x) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To y;
    std::memcpy(&y, &x, sizeof y);
    return y;
}

}  // namespace
}  // namespace WS_NS
