// What is not an instruction of its own: copies between register widths, clocks, and printf.
#pragma once
#include "control.h"
#include "lanes.h"
#include "reach.h"

namespace WS_NS {
namespace {

template <class To, class From>
struct Convert { static To value(From x) { return To(x); } };

constexpr Handler copy32 = &LaneOperation<Convert<u32, u32>, u32, u32>::run;
constexpr Handler copy64 = &LaneOperation<Convert<u64, u64>, u64, u64>::run;
constexpr Handler extend_unsigned = &LaneOperation<Convert<u64, u32>, u64, u32>::run;
constexpr Handler extend_signed = &LaneOperation<Convert<s64, s32>, s64, s32>::run;
constexpr Handler truncate32 = &LaneOperation<Convert<u32, u64>, u32, u64>::run;

// imm: lowest bit; bytes: bits. A count that grows with the instructions this host thread executed.
template <class T>
static const Operation* read_clock(Warp* w, const Operation* op) {
    Worker* k = w->worker;
    u64 blocks = k->spent + u64(FUEL - k->fuel), count = blocks * 16 + u64(op - w->code) % 16;
    u64 value = count >> op->imm & (op->bytes == 64 ? ~0ull : 0xFFFFFFFFull);
    T* d = lanes<T>(w, op->d);
    for (u32 m = w->active; m; m &= m - 1) d[first_lane(m)] = T(value);
    return op + 1;
}

// Copies what vprintf's argument buffer holds, as far as it goes.
static void copy_arguments(Warp* w, u32 lane, u64 address, WsPrinted& record) {
    const WsLaunch* launch = w->worker->launch;
    u64 start = address - launch->local_window;
    if (start >= launch->local_bytes) return;
    u64 size = launch->local_bytes - start < WS_PRINT_BYTES ? launch->local_bytes - start : u64(WS_PRINT_BYTES);
    const u8* from = w->worker->local + (u64(w->index) * LANES + lane) * launch->local_bytes + start;
    memcpy(record.arguments, from, size_t(size));
}

// a: address of the format; b: address of the arguments.
static const Operation* print(Warp* w, const Operation* op) {
    WsLaunch* launch = w->worker->launch;
    for (u32 m = w->active; m; m &= m - 1) {
        u32 lane = first_lane(m), at = __atomic_fetch_add(&launch->print_count, 1, __ATOMIC_RELAXED);
        if (at >= launch->print_capacity) continue;
        WsPrinted& record = launch->printed[at];
        record.format = lanes<u64>(w, op->a)[lane];
        record.block = w->worker->block_index;
        record.thread = thread_of(w, lane);
        copy_arguments(w, lane, lanes<u64>(w, op->b)[lane], record);
    }
    return op + 1;
}

}  // namespace
}  // namespace WS_NS
