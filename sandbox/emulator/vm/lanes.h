// Handlers whose result in a lane depends on that lane alone, made from the rows of the instruction table.
//
// Results overwrite lanes that have exited, which nobody reads any more; live lanes that are not active are kept.
// A result may have the same register as a source (the same lane is read before it is written), never one that
// overlaps it in part: lower.py keeps 4-byte and 8-byte registers apart.
#pragma once
#include "machine.h"

namespace WS_NS {
namespace {

// How a value of type T stands in a lane.
template <class T>
struct Stored { using type = std::conditional_t<std::is_signed<T>::value, s32, u32>; };
template <> struct Stored<f32> { using type = f32; };
template <> struct Stored<u64> { using type = u64; };
template <> struct Stored<s64> { using type = s64; };
template <> struct Stored<f64> { using type = f64; };

template <class T>
WS_INLINE T value_of(typename Stored<T>::type lane) {
    if constexpr (std::is_same<T, bool>::value) return lane != 0;
    else return T(lane);
}

template <class Row, class R, class... Args>
struct LaneOperation {
    template <size_t... I>
    WS_INLINE void apply(Warp* w, const Operation* op, std::index_sequence<I...>) {
        using Result = typename Stored<R>::type;
        const u32 offsets[5] = {op->a, op->b, op->c, op->e, 0};
        Result* d = lanes<Result>(w, op->d);
        apply_to(w, d, lanes<const typename Stored<Args>::type>(w, offsets[I])...);
    }

    template <class Result>
    WS_INLINE void apply_to(Warp* w, Result* d, const typename Stored<Args>::type*... source) {
        if (__builtin_expect(!w->blend, 1)) {
#pragma GCC ivdep
            for (u32 i = 0; i < LANES; i++) d[i] = Result(Row::value(value_of<Args>(source[i])...));
        } else {
            const s32* mask = w->lane_mask;
#pragma GCC ivdep
            for (u32 i = 0; i < LANES; i++) {
                Result result = Result(Row::value(value_of<Args>(source[i])...));
                d[i] = mask[i] ? result : d[i];
            }
        }
    }

    static const Operation* run(Warp* w, const Operation* op) {
        apply(w, op, std::index_sequence_for<Args...>{});
        return op + 1;
    }
};

// As the row add.b64, for a second source that is the same in all active lanes (repeats.py): a moving pointer.
static const Operation* add_same(Warp* w, const Operation* op) {
    u64* d = lanes<u64>(w, op->d);
    const u64* a = lanes<u64>(w, op->a);
    u64 by = lanes<u64>(w, op->b)[first_lane(w->active)];
    if (__builtin_expect(!w->blend, 1)) {
#pragma GCC ivdep
        for (u32 i = 0; i < LANES; i++) d[i] = a[i] + by;
    } else {
        const s32* mask = w->lane_mask;
#pragma GCC ivdep
        for (u32 i = 0; i < LANES; i++) d[i] = mask[i] ? a[i] + by : d[i];
    }
    return op + 1;
}

#define WS_JOIN_(a, b) a##b
#define WS_JOIN(a, b) WS_JOIN_(a, b)
#define WS_SPREAD(...) __VA_ARGS__
#define WS_PARAMS_1(A) A a
#define WS_PARAMS_2(A, B) A a, B b
#define WS_PARAMS_3(A, B, C) A a, B b, C c
#define WS_PARAMS_4(A, B, C, D) A a, B b, C c, D d

// A row's line in lane_rows.inc names its struct, so that including the file twice finds it again.
#define LANE_ROW(name, R, arity, types, expression)                                       \
    struct WS_JOIN(Row, __LINE__) {                                                       \
        static inline __attribute__((always_inline)) R value(WS_PARAMS_##arity types) {   \
            return R(expression);                                                         \
        }                                                                                 \
        template <class... Args> static constexpr Handler handler_of() {                  \
            return &LaneOperation<WS_JOIN(Row, __LINE__), R, Args...>::run;               \
        }                                                                                 \
        static constexpr Handler handler() { return handler_of<WS_SPREAD types>(); }      \
    };
#include "lane_rows.inc"
#undef LANE_ROW

}  // namespace
}  // namespace WS_NS
