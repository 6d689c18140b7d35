"""Kernels that tests give to `warpsmith emulate`, and what it answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from warpsmith.cli.program import run

Captured = pytest.CaptureFixture[str]

TINY = Path(__file__).parent / "tiny" / "scaled_sum.py"
HEAD = """// /// kernel
// task = "scaled_sum"
//
// [[launch]]
// kernel = "scaled_sum"
// grid = "cdiv(N, 128)"
// block = 128
// ///
"""
BODY = """__global__ void scaled_sum(const x_t* x, const b_t* b, y_t* y, int N, int A)
{
    const int i = blockIdx.x * 128 + threadIdx.x;
    if (i < N) y[i] = A * x[i] + b[i];
}
"""
REVERSE = """#include <stdio.h>
template <int T> __global__ void reverse(const float* x, float* y, int n, float a) {
    __shared__ float tile[T];
    int i = blockIdx.x * T + threadIdx.x;
    if (i == 1) printf("x[%d] = %.1f\\n", i, x[i]);
    tile[threadIdx.x] = x[i];
    __syncthreads();
    if (i < n) y[i] = a * tile[T - 1 - threadIdx.x];
}
"""
ARGUMENTS = ["--arg", "f32[128]=arange", "--arg", "out:f32[128]", "--arg", "i32=128", "--arg", "f32=0.5"]
LAUNCH = ["--grid", "2", "--block", "64", "--kernel", "reverse<64>", *ARGUMENTS]
PTX = """.version 8.0
.target sm_80
.address_size 64
.visible .entry _Z4copyPKjPj(.param .u64 p0, .param .u64 p1)
{
    .reg .b32 %r<4>; .reg .b64 %rd<6>;
    ld.param.u64 %rd0, [p0]; ld.param.u64 %rd1, [p1];
    mov.u32 %r0, %tid.x;
    mul.wide.u32 %rd2, %r0, 4;
    add.s64 %rd3, %rd0, %rd2;
    ld.global.u32 %r1, [%rd3];
    add.s64 %rd4, %rd1, %rd2;
    st.global.u32 [%rd4], %r1;
    ret;
}
"""


def emulate(captured: Captured, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    code = run(["emulate", *(str(item) for item in arguments), "--json"])
    found = json.loads(captured.readouterr().out)
    return code, found
