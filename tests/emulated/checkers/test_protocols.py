"""Whole protocols between blocks, each beside a twin with one step left out."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind


def ints(count, value=0):
    return np.full(count, value, np.int32)


STREAM_K = """extern "C" __global__ void k(int* c, const int* x, int* partial, int* turn, int n) {
    // Each block sums its stretch of a row of `n` items; the row's blocks add up in turn.
    int row = blockIdx.x / 4, part = blockIdx.x % 4, i = threadIdx.x, sum = 0;
    for (int j = part * n / 4; j < (part + 1) * n / 4; j++) sum += x[(row * n + j) * blockDim.x + i];
    if (part > 0) {
        if (i == 0) { while (atomicAdd(&turn[row], 0) != part) {} ACQUIRE }
        __syncthreads();
        sum += c[row * blockDim.x + i];
    }
    c[row * blockDim.x + i] = sum;
    GATHER
    if (i == 0) { RELEASE atomicAdd(&turn[row], 1); }
}"""


def stream_k(acquire="__threadfence();", gather="__syncthreads();", release="__threadfence();"):
    return STREAM_K.replace("ACQUIRE", acquire).replace("GATHER", gather).replace("RELEASE", release)


def test_stream_k_with_a_semaphore_for_each_tile(bench):
    x = (np.arange(3 * 8 * 64, dtype=np.int32) * 7) % 11
    expected = x.reshape(3, 8, 64).sum(1).astype(np.int32).reshape(-1)
    arrays = ints(3 * 64), x, ints(1), ints(3)
    bench.good(stream_k(), 12, 64, *arrays, 8, resident=12, expected=expected)
    for missing in ({"gather": ""}, {"release": ""}, {"release": "__threadfence_block();"}):
        assert FaultKind.RACE == bench.bad(stream_k(**missing), 12, 64, *arrays, 8, resident=12).kind


LOOK_BACK = """extern "C" __global__ void k(int* y, const int* x, int* state, int* sums, int* ticket) {
    __shared__ int tile, before, s[64];
    int i = threadIdx.x;
    if (i == 0) tile = atomicAdd(ticket, 1);
    __syncthreads();
    int b = tile;
    s[i] = x[b * 64 + i];
    __syncthreads();
    if (i == 0) {
        for (int j = 1; j < 64; j++) s[j] += s[j - 1];
        sums[2 * b] = s[63];
        PUBLISH atomicExch(&state[b], 1);
        int total = 0;
        for (int p = b - 1; p >= 0; p--) {
            int seen;
            do seen = atomicAdd(&state[p], 0); while (seen == 0);
            LEARN
            total += sums[2 * p + seen - 1];
            if (seen == 2) break;
        }
        before = total;
        sums[2 * b + 1] = total + s[63];
        PUBLISH atomicExch(&state[b], 2);
    }
    __syncthreads();
    y[b * 64 + i] = before + s[i];
}"""


@pytest.mark.parametrize("resident", [2, 16])
def test_a_decoupled_look_back_scan(bench, resident):
    x = np.arange(16 * 64, dtype=np.int32) % 5
    arrays = ints(16 * 64), x, ints(16), ints(32), ints(1)
    text = LOOK_BACK.replace("PUBLISH", "__threadfence();").replace("LEARN", "__threadfence();")
    bench.good(text, 16, 64, *arrays, resident=resident, expected=np.cumsum(x, dtype=np.int32))
    for publish, learn in (("", "__threadfence();"), ("__threadfence();", "")):
        bad = LOOK_BACK.replace("PUBLISH", publish).replace("LEARN", learn)
        assert FaultKind.RACE == bench.bad(bad, 16, 64, *arrays, resident=resident).kind


GRID_BARRIER = """__device__ void barrier(unsigned* arrived, unsigned all) {
    __syncthreads();
    if (threadIdx.x == 0) { BEFORE atomicAdd(arrived, 1u); while (*(volatile unsigned*)arrived < all) {} AFTER }
    __syncthreads();
}
extern "C" __global__ void k(int* y, int* t, unsigned* arrived) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
    t[i] = i;
    barrier(arrived, gridDim.x);
    y[i] = t[n - 1 - i];
    barrier(arrived, 2 * gridDim.x);
    t[i] = 0;
}"""


def test_a_grid_barrier_of_ones_own(bench):
    arrays = ints(8 * 64), ints(8 * 64), np.zeros(1, np.uint32)
    good = GRID_BARRIER.replace("BEFORE", "__threadfence();").replace("AFTER", "__threadfence();")
    expected = np.arange(8 * 64 - 1, -1, -1, dtype=np.int32)
    bench.good(good, 8, 64, *arrays, resident=8, expected=expected)
    no_fence = GRID_BARRIER.replace("BEFORE", "").replace("AFTER", "")
    assert FaultKind.RACE == bench.bad(no_fence, 8, 64, *arrays, resident=8).kind
    once = good.replace("    barrier(arrived, 2 * gridDim.x);\n", "")
    assert FaultKind.RACE == bench.bad(once, 8, 64, *arrays, resident=8).kind
    unguarded = good.replace("{\n    __syncthreads();\n    if", "{\n    if")
    assert FaultKind.RACE == bench.bad(unguarded, 8, 64, *arrays, resident=8).kind


SPLIT_K = """extern "C" __global__ void k(float* c, const float* x, float* partial, int* count) {
    __shared__ int last;
    int row = blockIdx.x, part = blockIdx.y, parts = gridDim.y, i = threadIdx.x;
    partial[(row * parts + part) * blockDim.x + i] = x[(row * parts + part) * blockDim.x + i] * 2.0f;
    FENCE
    __syncthreads();
    if (i == 0) last = atomicAdd(&count[row], 1) == parts - 1;
    __syncthreads();
    if (!last) return;
    READER
    float sum = 0;
    for (int p = 0; p < parts; p++) sum += partial[(row * parts + p) * blockDim.x + i];
    c[row * blockDim.x + i] = sum;
    if (i == 0) RESET;
}"""


def test_split_k_whose_last_block_reduces(bench):
    x = np.arange(3 * 5 * 32, dtype=np.float32)
    arrays = np.zeros(3 * 32, np.float32), x, np.zeros(3 * 5 * 32, np.float32), ints(3)
    good = SPLIT_K.replace("FENCE", "__threadfence();").replace("READER", "__threadfence();")
    good = good.replace("RESET", "count[row] = 0")
    bench.good(good, (3, 5), 32, *arrays, expected=x.reshape(3, 5, 32).sum(1).reshape(-1) * 2)
    bad = good.replace("__threadfence();", "")
    assert FaultKind.RACE == bench.bad(bad, (3, 5), 32, *arrays).kind


QUEUE = """extern "C" __global__ void k(int* y, int* head, const int* work, int n) {
    __shared__ int item;
    for (;;) {
        if (threadIdx.x == 0) item = NEXT;
        __syncthreads();
        int mine = item;
        LAST
        if (mine >= n) return;
        y[mine * blockDim.x + threadIdx.x] = work[mine] + threadIdx.x;
    }
}"""


def test_a_work_queue(bench):
    work = np.arange(20, dtype=np.int32) * 100
    expected = (work[:, None] + np.arange(64)).astype(np.int32).reshape(-1)
    good = QUEUE.replace("NEXT", "atomicAdd(head, 1)").replace("LAST", "__syncthreads();")
    bench.good(good, 6, 64, ints(20 * 64), ints(1), work, 20, expected=expected)
    plain = good.replace("atomicAdd(head, 1)", "(*head)++")
    assert FaultKind.RACE == bench.bad(plain, 6, 64, ints(20 * 64), ints(1), work, 20).kind
    early = good.replace("        __syncthreads();\n        if (mine", "        if (mine")
    assert FaultKind.RACE == bench.bad(early, 6, 64, ints(20 * 64), ints(1), work, 20).kind


HASH = """extern "C" __global__ void k(int* found, unsigned* keys, int* values, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    for (unsigned slot = i % 100; ; slot = (slot + 1) % 256) {
        unsigned old = CLAIM;
        if (old == ~0u) { values[slot] = i; found[i] = slot; return; }
    }
}"""


def test_a_hash_table_that_claims_its_slots(bench):
    arrays = ints(200, -1), np.full(256, ~np.uint32(0), np.uint32), ints(256)
    bench.good(HASH.replace("CLAIM", "atomicCAS(&keys[slot], ~0u, unsigned(i))"), 4, 64, *arrays, 200)
    plain = "keys[slot]; if (old == ~0u) keys[slot] = i"
    assert FaultKind.RACE == bench.bad(HASH.replace("CLAIM", plain), 4, 64, *arrays, 200).kind


PIPELINE = """extern "C" __global__ void k(int* out, int* ring, volatile int* ready, volatile int* taken, int rounds) {
    int i = threadIdx.x;
    for (int r = 0; r < rounds; r++) {
        if (blockIdx.x == 0) {
            if (i == 0 && r > 0) { while (taken[0] < r) {} BACK }
            __syncthreads();
            ring[i] = r * 100 + i;
            __syncthreads();
            if (i == 0) { __threadfence(); ready[0] = r + 1; }
        } else {
            if (i == 0) { while (ready[0] < r + 1) {} __threadfence(); }
            __syncthreads();
            out[r * blockDim.x + i] = ring[blockDim.x - 1 - i];
            __syncthreads();
            if (i == 0) { FREE taken[0] = r + 1; }
        }
    }
}"""


def test_a_producer_that_waits_until_its_buffer_is_free(bench):
    arrays = ints(5 * 64), ints(64), ints(1), ints(1)
    expected = (np.arange(5)[:, None] * 100 + np.arange(63, -1, -1)).astype(np.int32).reshape(-1)
    good = PIPELINE.replace("BACK", "__threadfence();").replace("FREE", "__threadfence();")
    bench.good(good, 2, 64, *arrays, 5, resident=2, expected=expected)
    freed_unfenced = PIPELINE.replace("BACK", "__threadfence();").replace("FREE", "")
    assert FaultKind.RACE == bench.bad(freed_unfenced, 2, 64, *arrays, 5, resident=2).kind


@pytest.mark.parametrize("atomic", ["atomicAdd(&y[i % 32], 1.0f)", "atomicMax((int*)&y[i % 32], i)"])
def test_sums_by_atomics_are_read_by_a_later_launch_or_behind_a_barrier(bench, atomic):
    source = """extern "C" __global__ void k(float* y, float* z) {
        int i = threadIdx.x; ATOMIC; SYNC z[i] = y[i % 32]; }""".replace("ATOMIC", atomic)
    arrays = np.zeros(32, np.float32), np.zeros(96, np.float32)
    bench.good(source.replace("SYNC", "__syncthreads();"), 1, 96, *arrays)
    assert FaultKind.RACE == bench.bad(source.replace("SYNC", ""), 1, 96, *arrays).kind


VOLATILE_LOOK_BACK = """extern "C" __global__ void k(volatile int* sums, volatile int* flag, const int* x) {
    int b = blockIdx.x, before = 0;
    if (threadIdx.x) return;
    if (b) { while (flag[b - 1] == 0) {} before = sums[b - 1]; }
    sums[b] = before + x[b];
    FENCE
    flag[b] = 1;
}"""

VOLATILE_LAST_BLOCK = """extern "C" __global__ void k(float* y, volatile float* partial, unsigned* ticket) {
    __shared__ bool last;
    partial[blockIdx.x * blockDim.x + threadIdx.x] = blockIdx.x;
    FENCE
    __syncthreads();
    if (threadIdx.x == 0) last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (!last) return;
    float sum = 0;
    for (int b = 0; b < gridDim.x; b++) sum += partial[b * blockDim.x + threadIdx.x];
    y[threadIdx.x] = sum;
}"""


def test_a_volatile_value_may_be_older_than_the_volatile_flag_behind_it(bench):
    """Both are strong, so that no data race says it; but without a fence nothing keeps the two stores in order."""
    arrays = ints(9), ints(9), ints(9, 1)
    expected = np.arange(1, 10, dtype=np.int32)
    bench.good(VOLATILE_LOOK_BACK.replace("FENCE", "__threadfence();"), 9, 32, *arrays, resident=9, expected=expected)
    fault = bench.bad(VOLATILE_LOOK_BACK.replace("FENCE", ""), 9, 32, *arrays, resident=9)
    assert (FaultKind.RACE, 4, 5) == (fault.kind, fault.line, fault.other_line)


def test_the_last_block_reads_volatile_sums_that_others_fenced(bench):
    arrays = np.zeros(64, np.float32), np.zeros(7 * 64, np.float32), np.zeros(1, np.uint32)
    expected = np.full(64, 21, np.float32)
    bench.good(VOLATILE_LAST_BLOCK.replace("FENCE", "__threadfence();"), 7, 64, *arrays, expected=expected)
    for fence in ("", "__threadfence_block();"):
        fault = bench.bad(VOLATILE_LAST_BLOCK.replace("FENCE", fence), 7, 64, *arrays)
        assert (FaultKind.RACE, 10, 3) == (fault.kind, fault.line, fault.other_line)


def test_a_volatile_hint_that_nothing_announces_is_no_race(bench):
    source = """extern "C" __global__ void k(int* y, volatile int* stop) {
        if (threadIdx.x) return;
        for (int i = 0; i < 10 && !*stop; i++) if (i == 5) *stop = 1;
        y[blockIdx.x] = 1; }"""
    bench.good(source, 6, 32, ints(6), ints(1), expected=ints(6, 1))
