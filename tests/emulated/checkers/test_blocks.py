"""Races between blocks in global memory: what orders two blocks, and what only looks as if it did."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind


def ints(count, value=0):
    return np.full(count, value, np.int32)


HALVES = """extern "C" __global__ void k(int* y) {
    int i = blockIdx.x * (blockDim.x - SHARED) + threadIdx.x;
    y[i] = blockIdx.x + 1; }"""


def test_blocks_that_write_their_own_halves_are_fine(bench):
    bench.good(HALVES.replace("SHARED", "0"), 2, 64, ints(128), expected=np.repeat([1, 2], 64).astype(np.int32))


def test_blocks_whose_halves_overlap_race(bench):
    fault = bench.bad(HALVES.replace("SHARED", "1"), 2, 64, ints(128))
    assert (FaultKind.RACE, 3, 3) == (fault.kind, fault.line, fault.other_line)
    assert {(0, 0, 0), (1, 0, 0)} == {fault.block, fault.other_block}
    assert {(0, 0, 0), (63, 0, 0)} == {fault.thread, fault.other_thread}
    assert f"of block {fault.other_block}" in fault.message


def test_two_blocks_that_store_one_value_in_one_place_race(bench):
    """Plain stores without order are a data race whatever they store (PTX ISA, memory consistency model)."""
    source = """extern "C" __global__ void k(int* y) { if (threadIdx.x == 0) y[WHERE] = 5; }"""
    bench.good(source.replace("WHERE", "blockIdx.x"), 2, 32, ints(2))
    assert FaultKind.RACE == bench.bad(source.replace("WHERE", "0"), 2, 32, ints(2)).kind


@pytest.mark.parametrize("threads", [1, 2])
def test_a_race_between_blocks_is_found_on_any_number_of_host_threads(bench, threads):
    fault = bench.bad(HALVES.replace("SHARED", "1"), 40, 64, ints(64 * 40), threads=threads)
    assert FaultKind.RACE == fault.kind
    bench.good(HALVES.replace("SHARED", "0"), 40, 64, ints(64 * 40), threads=threads)


@pytest.mark.parametrize("kind", ["short", "char", "double", "int4"])
def test_neighbours_of_any_width_are_no_race_and_overlap_is(bench, kind):
    source = """extern "C" __global__ void k(KIND* y) {
        y[blockIdx.x * (blockDim.x - SHARED) + threadIdx.x] = KIND(); }""".replace("KIND", kind)
    data = np.zeros(16 * 128, np.uint8)
    bench.good(source.replace("SHARED", "0"), 3, 33, data)
    assert FaultKind.RACE == bench.bad(source.replace("SHARED", "1"), 3, 33, data).kind


def test_a_store_that_touches_a_byte_of_another_blocks_word_races(bench):
    source = """extern "C" __global__ void k(unsigned* y) {
        if (threadIdx.x) return;
        if (blockIdx.x == 0) *y = 1; else ((unsigned char*)y)[WHERE] = 1; }"""
    bench.good(source.replace("WHERE", "4"), 2, 32, ints(2))
    assert FaultKind.RACE == bench.bad(source.replace("WHERE", "3"), 2, 32, ints(2)).kind


HISTOGRAM = """extern "C" __global__ void k(int* bins, const int* x, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) UPDATE; }"""


def test_a_histogram_by_atomics_is_fine_and_by_plain_additions_a_race(bench):
    x = np.arange(600, dtype=np.int32) * 7 % 16
    expected = np.bincount(x, minlength=16).astype(np.int32)
    good = HISTOGRAM.replace("UPDATE", "atomicAdd(&bins[x[i]], 1)")
    bench.good(good, 3, 64, ints(16), x, 600, expected=expected)
    fault = bench.bad(HISTOGRAM.replace("UPDATE", "bins[x[i]]++"), 3, 64, ints(16), x, 600)
    assert FaultKind.RACE == fault.kind


def test_atomics_of_block_scope_race_between_blocks(bench):
    source = """extern "C" __global__ void k(int* y) { SCOPE(y, 1); }"""
    bench.good(source.replace("SCOPE", "atomicAdd"), 3, 64, ints(1), expected=ints(1, 192))
    bench.good(source.replace("SCOPE", "atomicAdd_block"), 1, 64, ints(1), expected=ints(1, 64))
    assert FaultKind.RACE == bench.bad(source.replace("SCOPE", "atomicAdd_block"), 3, 64, ints(1)).kind


def test_an_atomic_and_a_plain_store_of_another_block_race(bench):
    source = """extern "C" __global__ void k(int* y) {
        if (threadIdx.x == 0) { if (blockIdx.x == 1) STORE; else atomicAdd(y, 1); } }"""
    bench.good(source.replace("STORE", "atomicExch(y, 9)"), 2, 32, ints(1))
    assert FaultKind.RACE == bench.bad(source.replace("STORE", "*y = 9"), 2, 32, ints(1)).kind


def test_a_plain_load_of_what_others_update_atomically_races(bench):
    source = """extern "C" __global__ void k(int* y, int* seen) {
        if (threadIdx.x == 0) { atomicAdd(y, 1); seen[blockIdx.x] = LOAD; } }"""
    bench.good(source.replace("LOAD", "atomicAdd(y, 0)"), 3, 32, ints(1), ints(3))
    bench.good(source.replace("LOAD", "*(volatile int*)y"), 3, 32, ints(1), ints(3))
    assert FaultKind.RACE == bench.bad(source.replace("LOAD", "*y"), 3, 32, ints(1), ints(3)).kind


SWAPPED = """extern "C" __global__ void k(unsigned long long* y) {
    unsigned long long old = *y, assumed;
    do {
        assumed = old;
        old = atomicCAS(SWAP, assumed, __double_as_longlong(1.0 + __longlong_as_double(assumed)));
    } while (assumed != old);
    AFTER
}"""


def test_a_plain_load_may_guess_what_a_compare_and_swap_of_the_same_place_compares(bench):
    """The CUDA C++ Programming Guide's atomicAdd of doubles."""
    y = np.zeros(2, np.uint64)
    expected = np.array([3 * 32, 0], np.float64).view(np.uint64)
    bench.good(SWAPPED.replace("SWAP", "y").replace("AFTER", ""), 3, 32, y, expected=expected)


@pytest.mark.parametrize(("swap", "after"), [("y + 1", "atomicAdd(y, 1ull);"), ("y", "if (*y == 7) y[1] = 1;")])
def test_a_plain_load_that_no_swap_of_the_same_place_compares_races(bench, swap, after):
    source = SWAPPED.replace("SWAP", swap).replace("AFTER", after)
    assert FaultKind.RACE == bench.bad(source, 3, 32, np.zeros(2, np.uint64)).kind


LAST_BLOCK = """extern "C" __global__ void k(int* y, int* partial, unsigned* count) {
    __shared__ bool last;
    partial[blockIdx.x * blockDim.x + threadIdx.x] = threadIdx.x + blockIdx.x;
    ALL
    __syncthreads();
    if (threadIdx.x == 0) {
        ONE
        last = atomicInc(count, gridDim.x - 1) == gridDim.x - 1;
        BEHIND
    }
    __syncthreads();
    if (last) {
        LAST
        int sum = 0;
        for (int b = 0; b < gridDim.x; b++) sum += partial[b * blockDim.x + threadIdx.x];
        y[threadIdx.x] = sum;
    }
}"""


def last_block(**places):
    text = LAST_BLOCK
    for place in ("ALL", "ONE", "BEHIND", "LAST"):
        text = text.replace(place, places.get(place, ""))
    return text


LAST_SUM = np.array([sum(t + b for b in range(7)) for t in range(96)], np.int32)


@pytest.mark.parametrize(
    "places",
    [
        {"ONE": "__threadfence();", "BEHIND": "__threadfence();"},
        {"ONE": "__threadfence();", "LAST": "__threadfence();"},
        {"ALL": "__threadfence();", "BEHIND": "__threadfence();"},
        {"ONE": "__threadfence_system();", "BEHIND": "__threadfence_system();"},
    ],
)
def test_the_last_block_may_reduce_what_the_others_fenced(bench, places):
    arrays = ints(96), ints(7 * 96, -1), np.zeros(1, np.uint32)
    bench.good(last_block(**places), 7, 96, *arrays, expected=LAST_SUM)


@pytest.mark.parametrize(
    "places",
    [{}, {"BEHIND": "__threadfence();"}, {"ONE": "__threadfence_block();", "BEHIND": "__threadfence();"}],
)
def test_the_last_block_races_where_the_others_did_not_fence_for_the_device(bench, places):
    fault = bench.bad(last_block(**places), 7, 96, ints(96), ints(7 * 96, -1), np.zeros(1, np.uint32))
    assert (FaultKind.RACE, 15, 3) == (fault.kind, fault.line, fault.other_line)


@pytest.mark.parametrize("behind", ["", "__threadfence_block();"])
def test_a_barrier_behind_the_ticket_is_no_fence_of_the_last_block(bench, behind):
    """A barrier orders its own block: what other blocks fenced may still be in an older state here."""
    text = last_block(ONE="__threadfence();", BEHIND=behind)
    fault = bench.bad(text, 7, 96, ints(96), ints(7 * 96, -1), np.zeros(1, np.uint32))
    assert (FaultKind.RACE, 15, 3) == (fault.kind, fault.line, fault.other_line)
    assert "no __threadfence() behind it" in fault.message


def test_a_fence_before_what_it_should_cover_covers_nothing(bench):
    text = LAST_BLOCK.replace("    partial[", "    __threadfence();\n    partial[")
    for place in ("ALL", "ONE", "BEHIND", "LAST"):
        text = text.replace(place, "")
    fault = bench.bad(text, 7, 96, ints(96), ints(7 * 96, -1), np.zeros(1, np.uint32))
    assert FaultKind.RACE == fault.kind


def test_only_the_thread_that_fences_is_covered_where_nothing_gathered_the_others(bench):
    """Without the barrier in front, thread 0's fence says nothing about what the other threads stored."""
    good = last_block(ONE="__threadfence();", BEHIND="__threadfence();")
    bad = good.replace("    __syncthreads();\n    if (threadIdx", "    if (threadIdx", 1)
    arrays = ints(96), ints(7 * 96, -1), np.zeros(1, np.uint32)
    assert FaultKind.RACE == bench.bad(bad, 7, 96, *arrays).kind


FLAG = """extern "C" __global__ void k(int* y, volatile int* flag) {
    if (blockIdx.x == 0) {
        y[threadIdx.x] = 100 + threadIdx.x;
        __syncthreads();
        if (threadIdx.x == 0) { PRODUCE }
    } else {
        if (threadIdx.x == 0) { WAIT }
        GATHER
        y[64 + threadIdx.x] = y[63 - threadIdx.x];
    }
}"""
PRODUCE = "__threadfence(); flag[0] = 1;"
WAIT = "while (flag[0] == 0) {} __threadfence();"
HANDED_OVER = np.array([*range(100, 164), *range(163, 99, -1)], np.int32)


def flag(produce=PRODUCE, wait=WAIT, gather="__syncthreads();"):
    return FLAG.replace("PRODUCE", produce).replace("WAIT", wait).replace("GATHER", gather)


ASM_RELEASE = 'asm volatile("st.release.gpu.global.s32 [%0], 1;" :: "l"(flag) : "memory");'
ASM_ACQUIRE = """int seen;
    do { asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory"); } while (!seen);"""


@pytest.mark.parametrize(
    ("produce", "wait"),
    [
        (PRODUCE, WAIT),
        ("__threadfence(); atomicExch((int*)flag, 1);", WAIT),
        (PRODUCE, "while (atomicAdd((int*)flag, 0) == 0) {} __threadfence();"),
        (ASM_RELEASE, ASM_ACQUIRE),
        (ASM_RELEASE, WAIT),
        (PRODUCE, ASM_ACQUIRE),
    ],
)
def test_a_flag_hands_memory_from_one_block_to_another(bench, produce, wait):
    bench.good(flag(produce, wait), 2, 64, ints(128), ints(1), resident=2, expected=HANDED_OVER)


@pytest.mark.parametrize(
    "produce",
    [
        "flag[0] = 1;",
        "__threadfence_block(); flag[0] = 1;",
        "atomicExch((int*)flag, 1);",
        "flag[0] = 1; __threadfence();",
        ASM_RELEASE.replace("gpu", "cta"),
        ASM_RELEASE.replace("release", "relaxed"),
    ],
)
def test_a_flag_raised_without_a_fence_of_the_devices_scope_hands_over_nothing(bench, produce):
    assert FaultKind.RACE == bench.bad(flag(produce), 2, 64, ints(128), ints(1), resident=2).kind


EXCHANGED = """extern "C" __global__ void k(int* y, int* data, volatile int* flag) {
    if (threadIdx.x) return;
    if (blockIdx.x == 0) { atomicExch(data, 5); FENCE atomicExch((int*)flag, 1); }
    else { while (flag[0] == 0) {} __threadfence(); y[0] = *(volatile int*)data; }
}"""


def test_a_value_that_an_exchange_stores_is_handed_over_by_a_fence_too(bench):
    launch = 2, 32, ints(1), ints(1), ints(1)
    bench.good(EXCHANGED.replace("FENCE", "__threadfence();"), *launch, resident=2, expected=ints(1, 5))
    fault = bench.bad(EXCHANGED.replace("FENCE", ""), *launch, resident=2)
    assert (FaultKind.RACE, 4, 3) == (fault.kind, fault.line, fault.other_line)


def test_a_barrier_behind_the_wait_is_no_fence_of_the_waiting_block(bench):
    fault = bench.bad(flag(wait="while (flag[0] == 0) {}"), 2, 64, ints(128), ints(1), resident=2)
    assert (FaultKind.RACE, 9, 3) == (fault.kind, fault.line, fault.other_line)
    for gather in ("__threadfence(); __syncthreads();", "__syncthreads(); __threadfence();"):
        text = flag(wait="while (flag[0] == 0) {}", gather=gather)
        bench.good(text, 2, 64, ints(128), ints(1), resident=2, expected=HANDED_OVER)


def test_a_flag_that_is_an_ordinary_store_is_itself_a_race(bench):
    produce = "__threadfence(); *(int*)flag = 1;"
    fault = bench.bad(flag(produce), 2, 64, ints(128), ints(1), resident=2)
    assert (FaultKind.RACE, {5, 7}) == (fault.kind, {fault.line, fault.other_line})


def test_what_one_thread_waited_for_is_not_there_for_the_others_of_its_block(bench):
    fault = bench.bad(flag(gather=""), 2, 64, ints(128), ints(1), resident=2)
    assert (FaultKind.RACE, 9, 3) == (fault.kind, fault.line, fault.other_line)


def test_a_thread_that_waits_needs_a_fence_behind_its_wait(bench):
    each = flag(wait="", gather="while (flag[0] == 0) {} FENCE")
    good = each.replace("FENCE", "__threadfence();")
    bench.good(good, 2, 64, ints(128), ints(1), resident=2, expected=HANDED_OVER)
    assert FaultKind.RACE == bench.bad(each.replace("FENCE", ""), 2, 64, ints(128), ints(1), resident=2).kind
    block = each.replace("FENCE", "__threadfence_block();")
    assert FaultKind.RACE == bench.bad(block, 2, 64, ints(128), ints(1), resident=2).kind


def test_order_travels_through_a_third_block(bench):
    source = """extern "C" __global__ void k(int* y, volatile int* flag) {
        int b = blockIdx.x;
        if (threadIdx.x) return;
        if (b == 0) y[0] = 7;
        if (b > 0) { while (flag[b - 1] == 0) {} MIDDLE }
        if (b == 3) y[1] = y[0];
        __threadfence(); flag[b] = 1; }"""
    good, bad = source.replace("MIDDLE", "__threadfence();"), source.replace("MIDDLE", "if (b == 3) __threadfence();")
    bench.good(good, 4, 32, ints(2), ints(4), resident=4, expected=ints(2, 7))
    # The producer's fence behind the wait serves as the reader's.
    bench.good(bad, 4, 32, ints(2), ints(4), resident=4, expected=ints(2, 7))
    without = bad.replace("        __threadfence(); flag", "        if (b == 0) __threadfence(); flag")
    assert FaultKind.RACE == bench.bad(without, 4, 32, ints(2), ints(4), resident=4).kind
