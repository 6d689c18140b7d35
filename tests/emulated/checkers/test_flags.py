"""Flags and locks: what hands values from one warp, or one block, to another, and whose reads it covers."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind


def ints(count, value=0):
    return np.full(count, value, np.int32)


SHARED_FLAG = """extern "C" __global__ void k(int* y) {
    __shared__ int s[32]; __shared__ volatile int ready; int i = threadIdx.x;
    if (i == 0) ready = 0;
    __syncthreads();
    if (i < 32) { s[i] = i; __syncwarp(); if (i == 0) { PRODUCE ready = 1; } }
    else { while (!ready) {} CONSUME y[i - 32] = s[63 - i]; } }"""
SHARED_EXPECTED = np.arange(31, -1, -1, dtype=np.int32)


def shared_flag(produce="__threadfence_block();", consume="__threadfence_block();"):
    return SHARED_FLAG.replace("PRODUCE", produce).replace("CONSUME", consume)


def test_a_flag_in_shared_memory_hands_over_to_another_warp(bench):
    bench.good(shared_flag(), 1, 64, ints(32), expected=SHARED_EXPECTED)
    for produce, consume in (("", "__threadfence_block();"), ("__threadfence_block();", "")):
        assert FaultKind.RACE == bench.bad(shared_flag(produce, consume), 1, 64, ints(32)).kind


READ_BY_TWO_WARPS = """extern "C" __global__ void k(int* y) {
    __shared__ int x; __shared__ volatile int ready; int i = threadIdx.x;
    if (i == 0) { x = 7; ready = 0; }
    __syncthreads();
    for (int late = i < 32 ? 5000 : 0; late < 5000; late++) if (ready) break;  // the other warp reads last
    if (i == 0 || i == 32) y[i / 32] = x;
    if (i < 32) { SYNC if (i == 1) { while (!ready) {} __threadfence_block(); x = 9; } }
    else if (i == 32) { __threadfence_block(); ready = 1; }
}"""


def test_a_lane_that_waited_for_another_warps_reader_has_not_met_its_own_warps(bench):
    expected = ints(2, 7)
    bench.good(READ_BY_TWO_WARPS.replace("SYNC", "__syncwarp();"), 1, 64, ints(2), expected=expected)
    fault = bench.bad(READ_BY_TWO_WARPS.replace("SYNC", ""), 1, 64, ints(2))
    assert (FaultKind.RACE, (1, 0, 0), (0, 0, 0)) == (fault.kind, fault.thread, fault.other_thread)


READ_BY_THREE_WARPS = """extern "C" __global__ void k(int* y) {
    __shared__ int x; __shared__ volatile int ready[3]; int i = threadIdx.x;
    if (i == 0) x = 7;
    if (i < 3) ready[i] = 0;
    __syncthreads();
    if (i % 32 == 0 && i) { y[i / 32] = x; __threadfence_block(); ready[i / 32 - 1] = 1; }
    if (i == 0) { for (int w = 0; w < WAITS; w++) while (!ready[w]) {} __threadfence_block(); x = 9; y[0] = x; }
}"""


def test_who_waited_for_each_warps_reader_need_not_wait_for_their_other_lanes(bench):
    expected = np.array([9, 7, 7, 7], np.int32)
    bench.good(READ_BY_THREE_WARPS.replace("WAITS", "3"), 1, 128, ints(4), expected=expected)
    for too_few in "12":
        assert FaultKind.RACE == bench.bad(READ_BY_THREE_WARPS.replace("WAITS", too_few), 1, 128, ints(4)).kind


def test_the_flag_covers_only_lanes_that_met_the_one_that_raises_it(bench):
    text = shared_flag().replace("s[i] = i; __syncwarp();", "s[i] = i;")
    assert FaultKind.RACE == bench.bad(text, 1, 64, ints(32)).kind


LOCK = """extern "C" __global__ void k(int* y, int* lock) {
    bool done = false;
    while (!done) {
        if (atomicCAS(lock, 0, 1) == 0) {
            ENTER
            y[0] = y[0] + 1;
            LEAVE
            atomicExch(lock, 0);
            done = true;
        }
    }
}"""


def lock(enter="__threadfence();", leave="__threadfence();"):
    return LOCK.replace("ENTER", enter).replace("LEAVE", leave)


@pytest.mark.parametrize("grid", [1, 4])
def test_a_spin_lock_needs_a_fence_on_both_sides(bench, grid):
    arrays = ints(1), ints(1)
    bench.good(lock(), grid, 64, *arrays, resident=2, expected=ints(1, 64 * grid))
    for text in (lock("", ""), lock(enter=""), lock(leave="")):
        assert FaultKind.RACE == bench.bad(text, grid, 64, *arrays, resident=2).kind


def test_a_lock_within_a_block_may_do_with_fences_of_the_block(bench):
    text = lock("__threadfence_block();", "__threadfence_block();")
    bench.good(text, 1, 64, ints(1), ints(1), expected=ints(1, 64))
    assert FaultKind.RACE == bench.bad(text, 3, 64, ints(1), ints(1), resident=3).kind
