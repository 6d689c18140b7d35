"""Rows of a matrix that lanes write and ldmatrix hands out: each part must be there for the lane that gets it."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind

# Each lane writes the row whose address it gives.
OWN_ROWS = """extern "C" __global__ void k(int* out) {
    __shared__ __align__(16) half_row tile[2][32];
    int lane = threadIdx.x % 32, w = threadIdx.x / 32;
    if (threadIdx.x < 0) tile[0][0] = half_row{};
    for (int turn = 0; turn < 3; turn++) {
        BEFORE
        WRITE
        BETWEEN
        unsigned at = (unsigned)__cvta_generic_to_shared(&tile[w][lane]), a, b, c, d;
        asm volatile("ldmatrix.sync.aligned.m8n8.x4KIND.shared.b16 {%0, %1, %2, %3}, [%4];"
            : "=r"(a), "=r"(b), "=r"(c), "=r"(d) : "r"(at) : "memory");
        out[threadIdx.x] = a + b + c + d;
    }
}
"""
WRITES = {
    "a row at once": "tile[w][lane] = half_row{turn + lane, 1, 2, 3};",
    "halves": "for (int i = 0; i < 8; i++) ((short*)&tile[w][lane])[i] = short(i + turn);",
}
ROW = "struct __align__(16) half_row { int x, y, z, w; };\n"


def source(write: str, kind: str, before: str, between: str) -> str:
    text = ROW + OWN_ROWS.replace("WRITE", WRITES[write]).replace("KIND", kind)
    return text.replace("BEFORE", before).replace("BETWEEN", between)


@pytest.mark.parametrize("kind", ["", ".trans"])
@pytest.mark.parametrize("write", WRITES)
def test_lanes_meet_between_writing_a_row_and_handing_it_out(bench, write, kind):
    out = np.zeros(64, np.int32)
    for meet in ("__syncwarp();", "__syncthreads();"):
        bench.good(source(write, kind, meet, meet), 1, 64, out)
    fault = bench.bad(source(write, kind, "__syncthreads();", ""), 1, 64, out)
    assert FaultKind.RACE == fault.kind
    assert "of the same warp" in fault.message
    assert fault.opcode.startswith("ldmatrix")
    assert fault.other_thread != fault.thread


def test_a_copy_is_there_for_the_lane_that_waits_for_it_and_not_for_its_warp(bench):
    write = """asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::
        "r"((unsigned)__cvta_generic_to_shared(&tile[w][lane])), "l"(out + 4 * lane) : "memory");
        asm volatile("cp.async.wait_all;" ::: "memory");"""
    text = source("halves", "", "", "BETWEEN").replace(WRITES["halves"], write).replace("out[threadIdx.x]", "out[128]")
    out = np.zeros(256, np.int32)
    text = text.replace("int* out", "const int* in, int* out").replace("out + 4", "in + 4")
    bench.good(
        text.replace("BETWEEN", "__syncwarp();").replace("turn++) {", "turn++) { __syncwarp();"), 1, 32, out, out
    )
    assert FaultKind.RACE == bench.bad(text.replace("BETWEEN", ""), 1, 32, out, out).kind
