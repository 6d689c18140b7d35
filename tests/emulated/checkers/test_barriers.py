"""Barriers of a block and of a warp: used as the ISA asks, and not."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind

HEAD = """.visible .entry k(.param .u64 y) {{ .reg .b32 %r<16>; .reg .b64 %rd<8>; .reg .pred %p<8>; .shared .b32 s[128];
    ld.param.u64 %rd1, [y]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2;
    mov.u32 %r2, %laneid; setp.lt.u32 %p1, %r2, 16; setp.lt.u32 %p2, %r1, 32; mov.u32 %r9, 7;
    {body} ret; }}"""


@pytest.fixture
def faults(ptx, written):
    def run(body, threads=64):
        kernel = ptx(HEAD.format(body=body))
        return [kernel.run(1, threads, written(np.zeros(128, np.int32)), seed=seed).fault for seed in range(3)]

    return run


GOOD = {
    "all threads": "bar.sync 0;",
    "a warp may leave before the barrier": "@%p2 ret; bar.sync 0;",
    "half of a warp may leave before the barrier": "@%p1 ret; bar.sync 0;",
    "warps may use different instructions": "@%p2 bra L; bar.sync 0; ret; L: bar.sync 0;",
    "a warp may come in two groups": "@%p1 bra L; add.s32 %r9, %r9, 1; L: bar.sync 0;",
    "a barrier of one warp's threads": "@!%p2 bra L; bar.sync 1, 32; L: bar.sync 0;",
    "half of each warp at a barrier that is not aligned": "@!%p1 bra L; barrier.sync 1, 32; L: bar.sync 0;",
    "a reduction over the block": "bar.red.popc.u32 %r3, 0, %p1; bar.red.and.pred %p3, 0, %p1; bar.sync 0;",
    "an arrival and a wait": "@%p2 bra L; bar.sync 1, 64; ret; L: bar.arrive 1, 64;",
    "the lanes that the mask names": "@!%p1 bra L; bar.warp.sync 0xFFFF; L: bar.sync 0;",
}
BAD = {
    "half of each warp at an aligned barrier": ("@!%p1 bra L; bar.sync 1, 32; L: bar.sync 0;", FaultKind.BARRIER),
    "one warp at two barriers": ("@%p1 bra L; bar.sync 1; ret; L: bar.sync 2;", FaultKind.BARRIER),
    "one warp by two instructions": ("@%p1 bra L; bar.sync 0; ret; L: bar.sync 0;", FaultKind.BARRIER),
    "warps at two barriers": ("@%p2 bra L; bar.sync 1; ret; L: bar.sync 2;", FaultKind.BARRIER),
    "a number that is no multiple of 32": ("bar.sync 1, 40;", FaultKind.BARRIER),
    "a barrier that does not exist": ("mov.u32 %r4, 16; bar.sync %r4;", FaultKind.BARRIER),
    "more threads than come": ("@%p2 ret; bar.sync 1, 64;", FaultKind.DEADLOCK),
    "a wait that nobody arrives for": ("@%p2 ret; bar.sync 1, 64; ", FaultKind.DEADLOCK),
    "a lane that its mask does not name": ("bar.warp.sync 0xFFFF;", FaultKind.BARRIER),
    "a lane that never comes": ("@%p1 bra L; bar.sync 0; ret; L: bar.warp.sync -1; bar.sync 0;", FaultKind.BARRIER),
    "a product by half a warp": (
        "@%p1 ret; shfl.sync.idx.b32 %r3, %r1, 0, 31, -1; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r5}, [s];",
        FaultKind.BARRIER,
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_barrier_used_as_the_isa_asks_is_no_fault(faults, name):
    assert [None] * 3 == faults(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_a_misused_barrier_is_a_fault(faults, name):
    body, kind = BAD[name]
    assert [kind] * 3 == [fault.kind if fault else None for fault in faults(body)]


def test_a_barrier_that_half_a_warp_skips_is_misuse_only_while_the_others_live(cuda, fresh):
    """Exited threads are not waited for from sm_70 on, so that what skips the barrier to end is as good as a return."""
    source = """extern "C" __global__ void k(int* y) { __shared__ int s[16]; int i = threadIdx.x;
        if (i < 16) { s[i] = i; __syncthreads(); y[i] = s[15 - i]; } REST }"""
    for rest, kind in (("", None), ("else { y[i] = i; __syncwarp(); }", FaultKind.BARRIER)):
        y = np.zeros(32, np.int32)
        fault = cuda(source.replace("REST", rest)).run(1, 32, fresh(y)).fault
        assert kind == (fault and fault.kind)


def test_different_numbers_of_threads_for_one_barrier_are_a_fault_in_either_order(faults):
    """Where the smaller number comes first, its barrier is complete and the other one never will be."""
    found = {fault.kind for fault in faults("@%p2 bra L; bar.sync 1, 64; ret; L: bar.sync 1, 32;")}
    assert found == {FaultKind.BARRIER, FaultKind.DEADLOCK}


def test_a_reduction_reaches_every_thread(cuda, fresh):
    source = """extern "C" __global__ void k(int* y) { int i = threadIdx.x;
        y[i] = __syncthreads_count(i % 3 == 0) * 100 + __syncthreads_and(i < 96) * 10 + __syncthreads_or(i == 95); }"""
    y = np.zeros(96, np.int32)
    assert cuda(source).run(1, 96, fresh(y)).fault is None
    assert {3211} == set(y.tolist())
