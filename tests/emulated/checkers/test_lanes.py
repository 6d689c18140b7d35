"""Threads of one block, and of one warp: what orders them and what only happens to run them in order."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind


def ints(count, value=0):
    return np.full(count, value, np.int32)


WARP_REDUCTION = """extern "C" __global__ void k(int* y) {
    __shared__ QUALIFIER int s[32]; int i = threadIdx.x;
    s[i] = i + 1; SYNC
    #pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        int other = i < d ? s[i + d] : 0; SYNC
        if (i < d) s[i] += other;
        SYNC
    }
    if (i == 0) y[0] = s[0]; }"""


@pytest.mark.parametrize("qualifier", ["", "volatile"])
def test_a_reduction_within_a_warp_needs_syncwarp(bench, qualifier):
    source = WARP_REDUCTION.replace("QUALIFIER", qualifier)
    bench.good(source.replace("SYNC", "__syncwarp();"), 1, 32, ints(1), expected=ints(1, 528))
    fault = bench.bad(source.replace("SYNC", ""), 1, 32, ints(1))
    assert (FaultKind.RACE, "shared") == (fault.kind, fault.space)
    assert fault.thread != fault.other_thread
    assert "of the same warp" in fault.message


def test_shuffles_and_votes_do_not_order_memory(bench):
    """PTX promises memory ordering for bar.warp.sync alone; shfl.sync and vote.sync only wait for lanes."""
    source = """extern "C" __global__ void k(int* y) { __shared__ int s[32]; int i = threadIdx.x;
        s[i] = i; MEET; y[i] = s[31 - i]; }"""
    expected = np.arange(31, -1, -1, dtype=np.int32)
    bench.good(source.replace("MEET", "__syncwarp()"), 1, 32, ints(32), expected=expected)
    bench.good(source.replace("MEET", "__syncthreads()"), 1, 32, ints(32), expected=expected)
    for meeting in ("i = __shfl_sync(~0u, i, i)", "if (__any_sync(~0u, i > 40)) i = 0", "__threadfence_block()"):
        assert FaultKind.RACE == bench.bad(source.replace("MEET", meeting), 1, 32, ints(32)).kind


def test_half_a_warp_orders_half_a_warp(bench):
    source = """extern "C" __global__ void k(int* y) { __shared__ int s[32]; int i = threadIdx.x;
        s[i] = i; __syncwarp(i < 16 ? 0xFFFFu : 0xFFFF0000u); y[i] = s[i ^ PARTNER]; }"""
    bench.good(source.replace("PARTNER", "8"), 1, 32, ints(32), expected=np.arange(32, dtype=np.int32) ^ 8)
    assert FaultKind.RACE == bench.bad(source.replace("PARTNER", "16"), 1, 32, ints(32)).kind


def test_an_atomic_of_the_thread_that_stored_does_not_hide_its_store(bench):
    source = """extern "C" __global__ void k(int* y) {
        __shared__ int sum; if (threadIdx.x == 0) sum = 0;
        SYNC atomicAdd(&sum, 1); __syncwarp(); y[threadIdx.x] = sum; }"""
    bench.good(source.replace("SYNC", "__syncwarp();"), 1, 32, ints(32), expected=ints(32, 32))
    assert FaultKind.RACE == bench.bad(source.replace("SYNC", ""), 1, 32, ints(32)).kind


BOTH_SIDES = """extern "C" __global__ void k(int* y) {
    __shared__ int s[32];
    int t = threadIdx.x;
    if (t < 16) { s[t] = t; __syncwarp(); y[t] = s[t + 16]; }
    else { s[t] = 2 * t; __syncwarp(MASK); y[t] = s[t - 16]; }
}"""


def test_both_sides_of_a_branch_may_meet_each_at_its_own_syncwarp(bench):
    """What meets is the same mask, not the same instruction (PTX ISA, bar.warp.sync)."""
    expected = np.array([*range(32, 64, 2), *range(16)], np.int32)
    bench.good(BOTH_SIDES.replace("MASK", ""), 1, 32, ints(32), expected=expected)
    assert FaultKind.BARRIER == bench.bad(BOTH_SIDES.replace("MASK", "0xFFFF0001"), 1, 32, ints(32)).kind
    assert FaultKind.RACE == bench.bad(BOTH_SIDES.replace("MASK", "0xFFFF0000"), 1, 32, ints(32)).kind
    unmet = BOTH_SIDES.replace("__syncwarp();", "").replace("__syncwarp(MASK);", "")
    assert FaultKind.RACE == bench.bad(unmet, 1, 32, ints(32)).kind


CHAIN = """extern "C" __global__ void k(int* y) {
    __shared__ int s;
    int t = threadIdx.x;
    if (t == 0) s = 5;
    __syncwarp();
    if (t == 0) { FIRST __syncwarp(0b0101); LATE }
    if (t == 1) { y[1] = s; __syncwarp(0b1010); }
    if (t == 2) { __syncwarp(0b0101); __syncwarp(0b1100); s = 7; y[2] = 1; }
    if (t == 3) { __syncwarp(0b1010); y[3] = s; __syncwarp(0b1100); }
}"""


def test_each_reader_is_waited_for_as_of_its_own_read(bench):
    """Lanes that met the writer by different ways, one of them before another had read."""
    good = CHAIN.replace("FIRST", "y[0] = s;").replace("LATE", "")
    bench.good(good, 1, 32, ints(4), expected=np.array([5, 5, 1, 5], np.int32))
    bad = CHAIN.replace("FIRST", "").replace("LATE", "y[0] = s;")
    assert FaultKind.RACE == bench.bad(bad, 1, 32, ints(4)).kind


def test_a_tile_of_cooperative_groups_orders_its_lanes(bench):
    source = """#include <cooperative_groups.h>
        extern "C" __global__ void k(int* y) { __shared__ int s[64]; int i = threadIdx.x;
        auto tile = cooperative_groups::tiled_partition<8>(cooperative_groups::this_thread_block());
        s[i] = i; SYNC y[i] = s[i ^ 5]; }"""
    bench.good(source.replace("SYNC", "tile.sync();"), 1, 64, ints(64), expected=np.arange(64, dtype=np.int32) ^ 5)
    assert FaultKind.RACE == bench.bad(source.replace("SYNC", ""), 1, 64, ints(64)).kind


def test_order_between_lanes_travels_through_a_third(bench):
    source = """extern "C" __global__ void k(int* y) { __shared__ int s[32]; int i = threadIdx.x;
        s[i] = i;
        if (i < 8) __syncwarp(0xFF); if (i >= FIRST && i < 12) __syncwarp(0xFFFu & ~((1u << FIRST) - 1));
        if (i == 11) y[0] = s[0] + 5; }"""
    bench.good(source.replace("FIRST", "7"), 1, 32, ints(1), expected=ints(1, 5))
    assert FaultKind.RACE == bench.bad(source.replace("FIRST", "8"), 1, 32, ints(1)).kind


def test_writing_what_another_lane_still_reads_is_a_race(bench):
    source = """extern "C" __global__ void k(int* y) { __shared__ int s[32]; int i = threadIdx.x;
        s[i] = i; __syncwarp(); int x = s[i ^ 1]; SYNC s[i] = x + 1; __syncwarp(); y[i] = s[i]; }"""
    expected = (np.arange(32, dtype=np.int32) ^ 1) + 1
    bench.good(source.replace("SYNC", "__syncwarp();"), 1, 32, ints(32), expected=expected)
    assert FaultKind.RACE == bench.bad(source.replace("SYNC", ""), 1, 32, ints(32)).kind


def test_lanes_may_use_their_own_words_without_meeting(bench):
    source = """extern "C" __global__ void k(int* y) { __shared__ int s[96]; int i = threadIdx.x;
        s[i] = i; for (int r = 0; r < 5; r++) s[i + SHIFT] = s[i + SHIFT] * 2; y[i] = s[i]; }"""
    bench.good(source.replace("SHIFT", "0"), 1, 64, ints(64), expected=np.arange(64, dtype=np.int32) * 32)
    assert bench.bad(source.replace("SHIFT", "(r & 1)"), 1, 64, ints(64)).kind is FaultKind.RACE


def test_lanes_that_exchange_through_global_memory_need_syncwarp_too(bench):
    source = """extern "C" __global__ void k(int* y, int* t) { int i = blockIdx.x * 32 + threadIdx.x;
        t[i] = i; SYNC y[i] = t[i ^ 3]; }"""
    arrays = ints(64), ints(64)
    bench.good(source.replace("SYNC", "__syncwarp();"), 2, 32, *arrays, expected=np.arange(64, dtype=np.int32) ^ 3)
    assert FaultKind.RACE == bench.bad(source.replace("SYNC", ""), 2, 32, *arrays).kind


def test_warps_that_exchange_through_global_memory_need_a_barrier(bench):
    source = """extern "C" __global__ void k(int* y, int* t) { int i = blockIdx.x * 64 + threadIdx.x;
        t[i] = i; SYNC y[i] = t[i ^ 33]; }"""
    arrays = ints(128), ints(128)
    expected = np.arange(128, dtype=np.int32) ^ 33
    bench.good(source.replace("SYNC", "__syncthreads();"), 2, 64, *arrays, expected=expected)
    for text in ("", "__syncwarp();", "__threadfence();"):
        assert FaultKind.RACE == bench.bad(source.replace("SYNC", text), 2, 64, *arrays).kind


def test_every_lane_that_stores_another_value_in_one_word_is_a_race(bench):
    source = """extern "C" __global__ void k(int* y) { __shared__ int s; int i = threadIdx.x;
        s = VALUE; __syncwarp(); y[i] = s; }"""
    bench.good(source.replace("VALUE", "7"), 1, 32, ints(32), expected=ints(32, 7))
    assert FaultKind.RACE == bench.bad(source.replace("VALUE", "i"), 1, 32, ints(32)).kind


def test_a_histogram_in_shared_memory_needs_atomics_even_within_a_warp(bench):
    source = """extern "C" __global__ void k(int* y) { __shared__ int s[8]; int i = threadIdx.x;
        if (i < 8) s[i] = 0; __syncwarp(); UPDATE; __syncwarp(); if (i < 8) y[i] = s[i]; }"""
    bench.good(source.replace("UPDATE", "atomicAdd(&s[i % 8], 1)"), 1, 32, ints(8), expected=ints(8, 4))
    assert FaultKind.RACE == bench.bad(source.replace("UPDATE", "s[i % 8]++"), 1, 32, ints(8)).kind


def test_a_load_through_the_read_only_path_must_not_find_what_the_launch_wrote(bench):
    source = """extern "C" __global__ void k(int* y, const int* x, int* t) { int i = threadIdx.x;
        t[i] = x[i] + 1; __syncthreads(); y[i] = LOAD; }"""
    x = np.arange(64, dtype=np.int32)
    bench.good(source.replace("LOAD", "t[63 - i]"), 1, 64, ints(64), x, ints(64), expected=64 - x)
    bench.good(source.replace("LOAD", "__ldg(&x[63 - i])"), 1, 64, ints(64), x, ints(64), expected=63 - x)
    fault = bench.bad(source.replace("LOAD", "__ldg(&t[63 - i])"), 1, 64, ints(64), x, ints(64))
    assert FaultKind.RACE == fault.kind
    assert "read-only path" in fault.message


def test_restrict_and_const_on_memory_that_the_kernel_writes_is_caught(bench):
    source = """extern "C" __global__ void k(int* RESTRICT y, const int* RESTRICT x) {
        y[threadIdx.x] = 1; __syncthreads(); y[threadIdx.x] = x[threadIdx.x ^ 1] + 1; }"""
    kernel = bench.cuda(source.replace("RESTRICT", "__restrict__"))
    assert any("nc" in instr.modifiers for instr in kernel.loaded.module.entry("k").instructions)


ASYNC = """#include <cuda_pipeline.h>
extern "C" __global__ void k(float* y, const float* x) {
    __shared__ alignas(16) float s[2][256];
    int i = threadIdx.x;
    float sum = 0;
    __pipeline_memcpy_async(&s[0][4 * i], &x[4 * i], 16);
    __pipeline_commit();
    for (int r = 0; r < 4; r++) {
        if (r < 3) __pipeline_memcpy_async(&s[(r + 1) % 2][4 * i], &x[(r + 1) * 256 + 4 * i], 16);
        __pipeline_commit();
        WAIT
        READY
        sum += s[r % 2][i ^ 37] + s[r % 2][i + 64 * (r % 3)];
        DONE
    }
    y[i] = sum;
}"""


def pipeline(wait="__pipeline_wait_prior(1);", ready="__syncthreads();", done="__syncthreads();"):
    return ASYNC.replace("WAIT", wait).replace("READY", ready).replace("DONE", done)


def test_a_double_buffer_waits_for_its_copies_and_for_its_readers(bench):
    x, y = np.arange(1024, dtype=np.float32), np.zeros(64, np.float32)
    lanes = np.arange(64)
    rows = x.reshape(4, 256)
    expected = sum(rows[r][lanes ^ 37] + rows[r][lanes + 64 * (r % 3)] for r in range(4)).astype(np.float32)
    bench.good(pipeline(), 1, 64, y, x, expected=expected)
    no_wait = bench.bad(pipeline(wait=""), 1, 64, y, x)
    assert no_wait.kind in (FaultKind.RACE, FaultKind.UNINITIALISED)
    short = bench.bad(pipeline(wait="__pipeline_wait_prior(2);"), 1, 64, y, x)
    assert short.kind in (FaultKind.RACE, FaultKind.UNINITIALISED)
    assert FaultKind.RACE == bench.bad(pipeline(ready=""), 1, 64, y, x).kind, "waited for, but not by the others"
    assert FaultKind.RACE == bench.bad(pipeline(done=""), 1, 64, y, x).kind, "overwritten while it is read"


def test_a_copy_within_one_warp_is_seen_by_other_lanes_behind_syncwarp(bench):
    source = """#include <cuda_pipeline.h>
        extern "C" __global__ void k(int* y, const int* x) { __shared__ alignas(16) int s[128]; int i = threadIdx.x;
        __pipeline_memcpy_async(&s[4 * i], &x[4 * i], 16); __pipeline_commit(); __pipeline_wait_prior(0);
        MEET y[i] = s[127 - i]; }"""
    x = np.arange(128, dtype=np.int32)
    bench.good(source.replace("MEET", "__syncwarp();"), 1, 32, ints(32), x, expected=x[127:95:-1])
    assert FaultKind.RACE == bench.bad(source.replace("MEET", ""), 1, 32, ints(32), x).kind


def test_an_asynchronous_copy_of_what_another_block_writes_is_a_race(bench):
    source = """#include <cuda_pipeline.h>
        extern "C" __global__ void k(int* y, int* x) { __shared__ alignas(16) int s[128]; int i = threadIdx.x;
        if (blockIdx.x) { WRITE; return; }
        __pipeline_memcpy_async(&s[4 * i], &x[4 * i], 16); __pipeline_commit(); __pipeline_wait_prior(0);
        y[i] = s[4 * i]; }"""
    x = np.arange(160, dtype=np.int32)
    bench.good(source.replace("WRITE", "x[128 + i] = 1"), 2, 32, ints(32), x)
    assert FaultKind.RACE == bench.bad(source.replace("WRITE", "x[i] = 1"), 2, 32, ints(32), x).kind


def test_lanes_that_have_left_met_nobody_behind_them(bench):
    """A lane's exit is no meeting: what it stored is there for the others only where they met before."""
    source = """extern "C" __global__ void k(int* y) { __shared__ int s[32]; int i = threadIdx.x;
        s[i] = i; BEFORE if (i >= 16) return; __syncwarp(0xFFFF); y[i] = s[i + 16 * FAR]; }"""
    expected = np.arange(16, dtype=np.int32)
    bench.good(source.replace("BEFORE", "").replace("FAR", "0"), 1, 32, ints(16), expected=expected)
    met = source.replace("BEFORE", "__syncwarp();").replace("FAR", "1")
    bench.good(met, 1, 32, ints(16), expected=expected + 16)
    assert FaultKind.RACE == bench.bad(source.replace("BEFORE", "").replace("FAR", "1"), 1, 32, ints(16)).kind


PAIR = """
#define MEET(number) asm volatile("bar.sync " #number ", 64;" ::: "memory")
extern "C" __global__ void k(int* y) {
    __shared__ int s[1];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, got = 0;
    if (threadIdx.x == 0) s[0] = 1;
    __syncthreads();
    // Warps 0 and 1 read what the writers replace; the first writer meets both of them.
    unsigned at = unsigned(__cvta_generic_to_shared(s));
    if (warp < 2 && lane == 0) asm volatile("ld.shared.u32 %0, [%1];" : "=r"(got) : "r"(at) : "memory");
    if (warp == 0 || warp == 2) MEET(1);
    if (warp == 1 || warp == 2) MEET(2);
    if (warp == 2 && lane == 0) s[0] = 5;
    // The second writer stores the same value.
    LAST
    if (warp == 3 && lane == 0) s[0] = SECOND;
    if (lane == 0) y[warp] = got;
}
"""


def test_stores_of_one_value_hide_no_reader_of_the_value_before(bench):
    """Two warps may store the same bytes, but each of them only when everyone has read what was there."""
    both = "if (warp == 0 || warp == 3) MEET(3); if (warp == 1 || warp == 3) MEET(4);"
    expected = np.array([1, 1, 0, 0], np.int32)
    bench.good(PAIR.replace("LAST", both).replace("SECOND", "5"), 1, 128, ints(4), expected=expected)
    # Warp 1 met the first writer after that had met warp 0, so that whoever meets warp 1 comes behind both.
    through = "if (warp == 1 || warp == 3) MEET(4);"
    bench.good(PAIR.replace("LAST", through).replace("SECOND", "5"), 1, 128, ints(4), expected=expected)
    for one in ("", "if (warp == 0 || warp == 3) MEET(3);"):
        assert FaultKind.RACE == bench.bad(PAIR.replace("LAST", one).replace("SECOND", "5"), 1, 128, ints(4)).kind
    assert FaultKind.RACE == bench.bad(PAIR.replace("LAST", both).replace("SECOND", "6"), 1, 128, ints(4)).kind


def test_a_value_stored_twice_hides_no_reader_either(bench):
    source = PAIR.replace("s[0] = 5;", "{ s[0] = 4; *(volatile int*)s = 5; }")
    both = "if (warp == 0 || warp == 3) MEET(3); if (warp == 1 || warp == 3) MEET(4);"
    bench.good(source.replace("LAST", both).replace("SECOND", "5"), 1, 128, ints(4))
    none = source.replace("LAST", "").replace("SECOND", "5")
    assert FaultKind.RACE == bench.bad(none, 1, 128, ints(4)).kind


def test_atomics_hide_no_reader_of_what_was_there_before_the_first(bench):
    source = PAIR.replace("s[0] = 5;", "atomicAdd(s, 1);").replace("s[0] = SECOND;", "atomicAdd(s, 1);")
    both = "if (warp == 0 || warp == 3) MEET(3); if (warp == 1 || warp == 3) MEET(4);"
    bench.good(source.replace("LAST", both), 1, 128, ints(4), expected=np.array([1, 1, 0, 0], np.int32))
    assert FaultKind.RACE == bench.bad(source.replace("LAST", ""), 1, 128, ints(4)).kind


SIDES = """.visible .entry k(.param .u64 y) { .reg .b64 %a; .reg .b32 %t, %n; .reg .pred %p;
    ld.param.u64 %a, [y]; mov.u32 %t, %laneid; setp.lt.u32 %p, %t, 16; @%p bra LOW;
    atom.global.add.u32 %n, [%a], 1; bra END;
    LOW: atom.global.add.u32 %n, [%a], 1;
    END: mul.wide.u32 %a2, %t, 4; add.u64 %a, %a, %a2; st.global.u32 [%a+4], %n; ret; }""".replace("%a;", "%a, %a2;")


def test_either_side_of_a_branch_may_run_first(ptx, written):
    kernel, first = ptx(SIDES), set()
    for seed in range(8):
        y = np.zeros(33, np.int32)
        assert kernel.run(1, 32, written(y), seed=seed, counters=False).fault is None
        first.add(int(y[1:].argmin()) // 16)
    assert {0, 1} == first


def test_lanes_that_took_different_sides_need_not_go_on_together(ptx, written):
    """`activemask` behind a branch may name one side alone: nothing there makes lanes meet."""
    kernel, masks = ptx(SIDES.replace("END: ", "END: activemask.b32 %n; ")), set()
    for seed in range(8):
        y = np.zeros(33, np.uint32)
        assert kernel.run(1, 32, written(y), seed=seed, counters=False).fault is None
        masks |= set(y[1:].tolist())
    assert {0xFFFFFFFF, 0x0000FFFF, 0xFFFF0000} <= masks


NEIGHBOUR = """extern "C" __global__ void k(float* y, const float* x, int n) {
    int i = threadIdx.x;
    float v = x[i];
    SHIFT
    y[i] = v;
}"""


def test_a_value_from_a_lane_that_left_the_branch_differs_by_schedule(cuda, buffer, fresh):
    """A full mask inside `if (i < 20)` is what compute-sanitizer warns of: lane 19's neighbour takes no part."""
    x = np.arange(32, dtype=np.float32)

    def results(shift):
        found = []
        for seed in range(2):
            y = np.zeros(32, np.float32)
            assert cuda(NEIGHBOUR.replace("SHIFT", shift)).run(1, 32, fresh(y), buffer(x), 20, seed=seed).fault is None
            found.append(y)
        return found

    expected = np.where(np.arange(32) < 20, 2 * x + 1, x)
    np.testing.assert_array_equal([expected] * 2, results("float w = __shfl_down_sync(~0u, v, 1); if (i < n) v += w;"))
    first, second = results("if (i < n) v += __shfl_down_sync(~0u, v, 1);")
    assert [19] == np.flatnonzero(first != second).tolist() == np.flatnonzero(first != expected).tolist()
