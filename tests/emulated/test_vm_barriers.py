"""Barriers of a block and of a warp on the VM: who orders whom, who is missing, and what is misuse."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind

NAMED = """.visible .entry k(.param .u64 y) {{ .reg .b32 %r<8>; .reg .b64 %rd<4>; .reg .pred %p<3>; .shared .b32 s[32];
    ld.param.u64 %rd1, [y]; mov.u32 %r1, %tid.x; and.b32 %r2, %r1, 31; shl.b32 %r3, %r2, 2;
    mov.u32 %r4, s; add.s32 %r4, %r4, %r3; setp.lt.u32 %p1, %r1, 32; @%p1 bra PRODUCE;
    {consume} ld.shared.u32 %r5, [%r4]; mul.wide.u32 %rd2, %r2, 4; add.s64 %rd2, %rd1, %rd2;
    st.global.u32 [%rd2], %r5; ret;
    PRODUCE: add.s32 %r6, %r1, 100; st.shared.u32 [%r4], %r6; bar.arrive 1, 64; ret; }}"""


@pytest.mark.parametrize("seed", range(3))
def test_a_named_barrier_orders_producer_and_consumer(ptx, fresh, seed):
    y = np.zeros(32, np.int32)
    assert ptx(NAMED.format(consume="bar.sync 1, 64;")).run(1, 64, fresh(y), seed=seed).fault is None
    assert list(range(100, 132)) == y.tolist()


def test_a_consumer_that_does_not_wait_is_caught(ptx, fresh):
    fault = ptx(NAMED.format(consume="")).run(1, 64, fresh(np.zeros(32, np.int32))).fault
    assert fault.kind in (FaultKind.RACE, FaultKind.UNINITIALISED)


def test_exited_threads_do_not_count_at_a_barrier(cuda, fresh):
    kernel = cuda(
        """extern "C" __global__ void k(int* y) { if (threadIdx.x >= 40) return;
        __shared__ int s[40]; s[threadIdx.x] = 1; __syncthreads(); y[threadIdx.x] = s[39 - threadIdx.x]; }"""
    )
    y = np.zeros(40, np.int32)
    assert kernel.run(1, 64, fresh(y)).fault is None
    assert (y == 1).all()


def test_lanes_at_different_barriers_are_barrier_misuse(ptx, fresh):
    kernel = ptx(
        """.visible .entry k(.param .u64 y) { .reg .b32 %r<2>; .reg .pred %p;
        mov.u32 %r1, %laneid; setp.lt.u32 %p, %r1, 16; @%p bra LOW;
        bar.sync 1; ret;
        LOW: bar.sync 2; ret; }"""
    )
    fault = kernel.run(1, 32, fresh(np.zeros(1, np.int32))).fault
    assert FaultKind.BARRIER == fault.kind
    assert "another" in fault.message


def test_one_barrier_reached_by_two_instructions_of_a_warp_is_misuse(ptx, fresh):
    kernel = ptx(
        """.visible .entry k(.param .u64 y) { .reg .b32 %r<2>; .reg .pred %p;
        mov.u32 %r1, %tid.x; setp.lt.u32 %p, %r1, 32; @%p bra LOW;
        bar.sync 0; ret;
        LOW: bar.sync 0; ret; }"""
    )
    assert kernel.run(1, 64, fresh(np.zeros(1, np.int32))).fault is None, "warps may differ"
    split = ptx(
        """.visible .entry k(.param .u64 y) { .reg .b32 %r<2>; .reg .pred %p;
        mov.u32 %r1, %laneid; setp.lt.u32 %p, %r1, 16; @%p bra LOW;
        bar.sync 0; ret;
        LOW: bar.sync 0; ret; }"""
    )
    assert FaultKind.BARRIER == split.run(1, 64, fresh(np.zeros(1, np.int32))).fault.kind


def test_a_barrier_for_more_threads_than_come_is_a_deadlock(ptx, fresh):
    kernel = ptx(
        """.visible .entry k(.param .u64 y, .param .u32 n) { .reg .b32 %r<2>;
        ld.param.u32 %r1, [n]; bar.sync 3, %r1; ret; }"""
    )
    assert kernel.run(1, 64, fresh(np.zeros(1, np.int32)), 64).fault is None
    assert FaultKind.DEADLOCK == kernel.run(1, 96, fresh(np.zeros(1, np.int32)), 64).fault.kind


def test_a_shuffle_whose_lanes_left_for_elsewhere_is_misuse(ptx, fresh):
    body = """.visible .entry k(.param .u64 y) {{ .reg .b32 %r<4>; .reg .pred %p;
        mov.u32 %r1, %laneid; setp.lt.u32 %p, %r1, 16; @%p bra LOW; bar.sync 0; ret;
        LOW: shfl.sync.bfly.b32 %r2, %r1, 1, 31, {members}; bar.sync 0; ret; }}"""
    fault = ptx(body.format(members="0xFFFFFFFF")).run(1, 32, fresh(np.zeros(1, np.int32))).fault
    assert FaultKind.BARRIER == fault.kind
    assert "never arrive" in fault.message


def test_a_warp_barrier_waits_for_the_lanes_it_names(cuda, fresh):
    """On either side of a branch, too, as long as both sides name the same lanes."""
    text = """extern "C" __global__ void k(int* y) { __shared__ volatile int s[32]; int i = threadIdx.x;
        if (i < 16) { s[i] = i; __syncwarp(LOWER); } else { __syncwarp(); s[i] = s[i - 16] + 100; }
        __syncwarp(); y[i] = s[i]; }"""
    y = np.zeros(32, np.int32)
    fault = cuda(text.replace("LOWER", "0x1ffff")).run(1, 32, fresh(y)).fault
    assert FaultKind.BARRIER == fault.kind
    assert cuda(text.replace("LOWER", "")).run(1, 32, fresh(y)).fault is None
    assert [*range(16), *range(100, 116)] == y.tolist()
