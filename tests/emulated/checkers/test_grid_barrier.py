"""`grid.sync()` of cooperative_groups.h, as NVRTC compiles it."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind
from warpsmith.sandbox.emulator.ptx import parse_module
from warpsmith.sandbox.screen.ptx import screen_ptx

SOURCE = """#include <cooperative_groups.h>
extern "C" __global__ void k(int* y, int* t, int rounds) {
    auto grid = cooperative_groups::this_grid();
    int n = gridDim.x * blockDim.x, i = blockIdx.x * blockDim.x + threadIdx.x;
    for (int r = 0; r < rounds; r++) {
        t[i] = i + r;
        FIRST
        y[i] += t[(i + blockDim.x + 1) % n];
        SECOND
    }
}"""
GOOD = SOURCE.replace("FIRST", "grid.sync();").replace("SECOND", "grid.sync();")


def expected(n, shift, rounds):
    return sum((np.arange(n, dtype=np.int32) + shift) % n + r for r in range(rounds)).astype(np.int32)


@pytest.mark.parametrize("resident", [9, 40])
def test_a_grid_barrier_orders_all_blocks(bench, resident):
    arrays = np.zeros(9 * 64, np.int32), np.zeros(9 * 64, np.int32)
    bench.good(
        GOOD, 9, 64, *arrays, 4, cooperative=True, resident=resident, expected=expected(9 * 64, 65, 4)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second"), [("grid.sync();", ""), ("", "grid.sync();"), ("__syncthreads();", "grid.sync();")]
)
def test_a_missing_grid_barrier_is_a_race(bench, first, second):
    arrays = np.zeros(9 * 64, np.int32), np.zeros(9 * 64, np.int32)
    source = SOURCE.replace("FIRST", first).replace("SECOND", second)
    fault = bench.bad(source, 9, 64, *arrays, 4, cooperative=True)
    assert (FaultKind.RACE, {6, 8}) == (fault.kind, {fault.line, fault.other_line})


def test_a_grid_barrier_traps_in_a_launch_that_is_not_cooperative(bench):
    arrays = np.zeros(128, np.int32), np.zeros(128, np.int32)
    assert FaultKind.TRAP == bench.bad(GOOD, 2, 64, *arrays, 1).kind


def test_a_cooperative_grid_that_does_not_fit_is_refused(bench, written):
    arrays = [written(np.zeros(9 * 64, np.int32)) for _ in range(2)]
    with pytest.raises(ValueError, match="9 blocks; 8 fit at once"):
        bench.cuda(GOOD).run(9, 64, *arrays, 1, cooperative=True, resident=8)


HEAD = """.version 9.0
.target sm_90a
.address_size 64
.visible .entry k(.param .u64 y) { .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<4>;
ld.param.u64 %rd1, [y]; mov.u32 %r1, %envreg2; mov.u32 %r2, %envreg1; cvt.u64.u32 %rd2, %r1; cvt.u64.u32 %rd3, %r2;
bfi.b64 %rd4, %rd3, %rd2, 32, 32; setp.ne.s64 %p1, %rd4, 0; add.s64 %rd5, %rd4, 4; mov.u32 %r3, 1;
"""


def screened(body, *cooperative):
    return screen_ptx(parse_module(HEAD + body + " ret; }"), ["k"], cooperative=cooperative)


def test_the_barriers_own_instructions_may_use_its_workspace():
    body = "atom.add.release.gpu.u32 %r4, [%rd5], %r3; ld.acquire.gpu.u32 %r5, [%rd5];"
    assert screened(body, "k") is None
    refused = screened(body)
    assert refused is not None
    assert "cooperative = true" in refused.message


@pytest.mark.parametrize(
    "body",
    [
        "st.global.u32 [%rd5], %r3;",
        "st.global.u64 [%rd1], %rd4;",
        "ld.global.u32 %r4, [%rd4];",
        "ld.acquire.gpu.u32 %r4, [%rd4];",
        "ld.acquire.gpu.u32 %r4, [%rd5+4];",
        "atom.exch.b32 %r4, [%rd5], %r3;",
        "add.s64 %rd6, %rd5, 4; ld.acquire.gpu.u32 %r4, [%rd6];",
        "add.s64 %rd6, %rd4, 64; st.global.u32 [%rd6], %r3;",
        "sub.s64 %rd6, %rd1, %rd4; st.global.u32 [%rd6], %r3;",
        "atom.add.release.gpu.u32 %r4, [%rd5], %r1;",
    ],
)
def test_nothing_else_may_use_the_barriers_workspace(body):
    problem = screened(body, "k")
    assert problem is not None
    assert "workspace of the grid barrier" in problem.message
