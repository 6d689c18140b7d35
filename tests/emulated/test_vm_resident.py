"""Blocks that wait for each other: what finishes on a device finishes here, and what hangs there is a deadlock."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind

GRID_BARRIER = """extern "C" __global__ void k(int* y, unsigned* arrived, int rounds) {
    for (int r = 0; r < rounds; r++) {
        y[r * gridDim.x + blockIdx.x] = blockIdx.x + r;
        __syncthreads();
        if (threadIdx.x == 0) {
            __threadfence();
            atomicAdd(arrived, 1u);
            while (*(volatile unsigned*)arrived < (r + 1) * gridDim.x) {}
            __threadfence();
        }
        __syncthreads();
        if (threadIdx.x == 0 && y[r * gridDim.x + (blockIdx.x + 1) % gridDim.x] != (blockIdx.x + 1) % gridDim.x + r)
            __trap();
    }
}
"""


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("checks", [True, False])
def test_a_grid_barrier_holds_as_long_as_all_blocks_are_resident(cuda, written, seed, checks):
    y = np.zeros((4, 40), np.int32)

    def run(resident):
        return cuda(GRID_BARRIER).run(
            40,
            96,
            written(y),
            written(np.zeros(1, np.uint32)),
            4,
            resident=resident,
            seed=seed,
            checks=checks,
            threads=2,
        )

    assert run(40).fault is None
    assert (y == np.arange(40) + np.arange(4)[:, None]).all()
    assert run(132).fault is None
    fault = run(39).fault
    assert (FaultKind.DEADLOCK, 8) == (fault.kind, fault.line)
    assert "waits in a loop" in fault.message


LOOK_BACK = """extern "C" __global__ void k(const int* x, int* y, volatile int* total, int* ticket) {
    __shared__ int before, block;
    if (threadIdx.x == 0) block = TICKET;
    __syncthreads();
    int b = block, sum = 0, value = x[b * 32 + threadIdx.x];
    for (int i = value, d = 1; d < 32; d *= 2) {
        int other = __shfl_up_sync(~0u, i, d);
        if (threadIdx.x >= d) i += other;
        sum = i;
    }
    if (threadIdx.x == 31) {
        int found = 0;
        if (b > 0) while ((found = total[b - 1]) < 0) {}
        __threadfence();
        total[b] = found + sum;
        before = found;
    }
    __syncthreads();
    y[b * 32 + threadIdx.x] = before + sum;
}
"""


@pytest.mark.parametrize("seed", range(4))
def test_a_look_back_scan_by_ticket_finishes_in_any_order_of_blocks(cuda, buffer, written, fresh, seed):
    x = np.arange(64 * 32, dtype=np.int32) % 7
    y, total = np.zeros_like(x), np.full(64, -1, np.int32)
    result = cuda(LOOK_BACK.replace("TICKET", "atomicAdd(ticket, 1)")).run(
        64, 32, buffer(x), fresh(y), written(total), written(np.zeros(1, np.int32)), resident=3, seed=seed
    )
    assert result.fault is None
    assert np.cumsum(x).tolist() == y.tolist()


def test_a_scan_that_trusts_the_order_of_blocks_hangs_where_they_come_in_another(cuda, buffer, written, fresh):
    x = np.ones(64 * 32, np.int32)
    kernel = cuda(LOOK_BACK.replace("TICKET", "blockIdx.x"))

    def run(resident, seed):
        arguments = buffer(x), fresh(np.zeros_like(x)), written(np.full(64, -1, np.int32))
        return kernel.run(64, 32, *arguments, written(np.zeros(1, np.int32)), resident=resident, seed=seed).fault

    assert run(3, 0) is None, "in launch order every block waits for an earlier one"
    assert run(64, 1) is None, "all are resident, so that the order does not matter"
    assert FaultKind.DEADLOCK == run(3, 1).kind


PAIRS = """extern "C" __global__ void k(volatile int* flag, int* y) {
    int me = blockIdx.x, other = me ^ 1, spins = 0;
    if (threadIdx.x == 0) {
        for (int i = 1; i <= 200; i++) {
            flag[me] = i;
            while (flag[other] < i) BACKOFF
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) y[me] = spins < 0 ? -1 : flag[me];
}
"""


@pytest.mark.parametrize("backoff", ["{}", "__nanosleep(100);", "spins++;"])
def test_pairs_of_blocks_hand_over_many_times(cuda, written, fresh, backoff):
    y = np.zeros(6, np.int32)
    kernel = cuda(PAIRS.replace("BACKOFF", backoff))
    assert kernel.run(6, 64, written(np.zeros(6, np.int32)), fresh(y), resident=2).fault is None
    assert [200] * 6 == y.tolist()
    alone = kernel.run(6, 64, written(np.zeros(6, np.int32)), fresh(y), resident=1, budget=1 << 20).fault
    # A loop that counts never comes round to the same state, so that only the budget ends it.
    assert (FaultKind.BUDGET if backoff == "spins++;" else FaultKind.DEADLOCK) == alone.kind


def test_a_semaphore_between_blocks_that_add_in_turn_finishes(cuda, written):
    source = """extern "C" __global__ void k(int* turn, int* y) {
        if (threadIdx.x == 0) { while (atomicCAS(turn, blockIdx.x, blockIdx.x) != blockIdx.x) {} __threadfence(); }
        __syncthreads(); y[threadIdx.x] = y[threadIdx.x] * 2 + blockIdx.x % 2; __syncthreads();
        if (threadIdx.x == 0) { __threadfence(); atomicExch(turn, blockIdx.x + 1); } }"""
    for seed in range(3):
        y = np.zeros(64, np.int32)
        result = cuda(source).run(12, 64, written(np.zeros(1, np.int32)), written(y), resident=12, seed=seed)
        assert result.fault is None
        assert [int("010101010101", 2)] * 64 == y.tolist()
    missing = source.replace("blockIdx.x + 1", "blockIdx.x + (blockIdx.x != 5)")
    fault = cuda(missing).run(12, 64, written(np.zeros(1, np.int32)), written(y), resident=12).fault
    assert (FaultKind.DEADLOCK, (6, 0, 0), 2) == (fault.kind, fault.block, fault.line)


def test_counts_do_not_depend_on_the_window_where_nobody_waits(cuda, buffer, fresh):
    source = """extern "C" __global__ void k(const float* x, float* y) { float s = 0;
        for (int i = 0; i < 5000; i++) s += x[(i + threadIdx.x) % 64]; y[blockIdx.x * 64 + threadIdx.x] = s; }"""
    x = np.ones(64, np.float32)
    one, other = (
        cuda(source).run(4, 64, buffer(x), fresh(np.zeros(256, np.float32)), **options)
        for options in ({}, {"resident": 2, "threads": 2})
    )
    assert one.fault is None
    assert (one.sites, one.fresh_sectors, one.block_warps.tolist()) == (
        other.sites,
        other.fresh_sectors,
        other.block_warps.tolist(),
    )


def test_a_lock_taken_by_every_thread_of_every_block_finishes(cuda, written):
    source = """extern "C" __global__ void k(int* lock, volatile int* count) {
        for (bool done = false; !done;) if (atomicCAS(lock, 0, 1) == 0) {
            *count = *count + 1; __threadfence(); atomicExch(lock, 0); done = true; } }"""
    count = np.zeros(1, np.int32)
    assert cuda(source).run(5, 96, written(np.zeros(1, np.int32)), written(count), resident=2).fault is None
    assert 5 * 96 == count[0]


def test_a_window_holds_at_least_one_block(cuda, written):
    with pytest.raises(ValueError, match="resident"):
        cuda("""extern "C" __global__ void k(int* y) {}""").run(1, 32, written(np.zeros(1, np.int32)), resident=0)


STUCK = """extern "C" __global__ void k(volatile int* flag, int* y) {
    int warp = threadIdx.x / 32;
    if (warp == 0) { asm volatile("bar.sync 1, 64;"); }
    if (warp == 1) {
        while (*flag == 0) {}
        asm volatile("bar.sync 1, 64;");
    }
    if (warp == 2) asm volatile("bar.sync 2, 64;");
    y[threadIdx.x] = 1;
}"""


def test_a_hang_names_the_line_of_every_waiting_warp(cuda, written, fresh):
    """Two blocks, three warps each: two places of barriers, one loop."""
    found = cuda(STUCK).run(2, 96, written(np.zeros(1, np.int32)), fresh(np.zeros(96, np.int32)), resident=2).fault
    assert FaultKind.DEADLOCK == found.kind
    for line in (3, 5, 8):
        assert f"at line {line})" in found.message, found.message
    assert 3 == found.message.count("2 of 2 blocks")
    assert 5 == found.line


def test_threads_that_wait_at_a_barrier_for_others_are_named_too(ptx, written):
    kernel = ptx(
        """.visible .entry k(.param .u64 y) { .reg .pred %p; .reg .b32 %t;
        mov.u32 %t, %tid.x; setp.ge.u32 %p, %t, 32; @%p exit; barrier.sync 1, 64; ret; }"""
    )
    found = kernel.run(1, 64, written(np.zeros(1, np.int32))).fault
    assert FaultKind.DEADLOCK == found.kind
    assert "warps: 1 at a barrier (barrier.sync at PTX line" in found.message


COUNTED = """extern "C" __global__ void k(volatile int* flag, int* y) {
    int got = 0;
    for (int i = 0; i < (1 << 30); i++) {
        if (*flag) { got = i; break; }
        WORK
    }
    y[threadIdx.x] = got;
}"""


@pytest.mark.parametrize(("work", "changes"), [("", False), ("y[threadIdx.x] = i;", True)])
def test_a_loop_that_waits_and_counts_is_told_from_one_that_works(cuda, written, work, changes):
    """It would end by itself, so that it is no deadlock; but it is not the kernel's work that spent the budget."""
    kernel = cuda(COUNTED.replace("WORK", work))
    arrays = written(np.zeros(1, np.int32)), written(np.zeros(64, np.int32))
    found = kernel.run(1, 64, *arrays, resident=1, budget=1 << 18).fault
    assert FaultKind.BUDGET == found.kind
    assert changes == ("no memory had changed" not in found.message)
    assert (
        "ready to run (" if changes else "warps: 2 in a loop that waits (ld.volatile.global.u32 at line 4)"
    ) in found.message
