"""The sizes that a kernel file names, in its plan, its compiled code and its source."""

from __future__ import annotations

import pytest

from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.sandbox.analysis.sizes import Sizes, compared_with_sizes
from warpsmith.sandbox.emulator.ptx.module import parse_module

CUDA = """// /// kernel
// task = "linear"
// {plan}
// [[launch]]
// kernel = "gemm"
// grid = ["cdiv(N, 64)", "M"]
// block = 64
// ///

// Written in 1999.
{before}
__global__ void gemm(const x_t* x, y_t* y, int M, int N) {{ {body} }}
"""
TRITON = """# /// kernel
# task = "linear"
# [[launch]]
# kernel = "gemm"
# grid = "cdiv(N, 64)"
# ///
import triton
import triton.language as tl

@triton.jit
def gemm(x, y, N: tl.constexpr):
    {body}  # written in 1999
"""
HEAD = """.version 8.0
.target sm_90
.address_size 64
.visible .entry k(.param .u64 k_0, .param .u32 k_1) {
.reg .pred %p<3>; .reg .b64 %rd<5>; .reg .b32 %r<6>;
ld.param.u64 %rd1, [k_0]; ld.param.u32 %r1, [k_1];
"""


def of_source(body: str = "", plan: str = "", before: str = "") -> Sizes:
    return Sizes.of(parse_kernel_file(CUDA.format(plan=plan, body=body, before=before)), [])


def of_code(body: str) -> frozenset[int]:
    entry = parse_module(f"{HEAD}{body}\nret;\n}}\n").entry("k")
    kernel = parse_kernel_file(CUDA.format(plan="", body="", before=""))
    return Sizes.of(kernel, compared_with_sizes(entry)).compared


@pytest.mark.parametrize(
    "plan",
    [
        'requires = "M != 345"',
        '[let]\n// ROWS = "M - (M == 345)"',
        '[[launch]]\n// kernel = "gemm"\n// grid = ["cdiv(N, 64)", "M"]\n// block = 64\n// when = "M == 345"',
        '[[launch]]\n// fill = "y"\n// value = 0\n// when = "M == 0x159"',
    ],
)
def test_numbers_of_the_plan_are_compared_with_sizes(plan: str) -> None:
    assert {345, 64} <= of_source(plan=plan).compared


@pytest.mark.parametrize(
    "body",
    [
        "setp.eq.s32 %p1, %r1, 345;",
        "setp.lt.u32 %p1, %r1, 345;",
        "add.s32 %r2, %r1, -345; setp.lt.u32 %p1, %r2, 2;",
        "mul.lo.s32 %r2, %r1, 3; setp.eq.s32 %p1, %r2, 345;",
    ],
)
def test_numbers_beside_what_the_launch_alone_decides_are_compared_with_sizes(body: str) -> None:
    assert 345 in of_code(body)


@pytest.mark.parametrize("body", ["setp.eq.s32 %p1, %r3, 345;", "mov.u32 %r3, %tid.x; setp.eq.s32 %p1, %r3, 345;"])
def test_numbers_beside_what_a_thread_decides_are_not(body: str) -> None:
    assert 345 not in of_code(body)


@pytest.mark.parametrize("number", ["345", "345u", "0x159", "345LL"])
def test_all_other_numbers_of_the_source_count_behind_those(number: str) -> None:
    assert {345} == of_source(f"if (M == {number}) return;").others
    assert {345} == of_source("if (M == ODD) return;", before=f"#define ODD {number}").others


def test_comments_fractions_and_parts_of_names_are_no_sizes() -> None:
    assert frozenset() == of_source("/* 345 */ float x345 = 345.5f, y = 345e3f;").others


def test_numbers_of_triton_s_source_count_too() -> None:
    sizes = Sizes.of(parse_kernel_file(TRITON.format(body="tl.store(y, 0.0 if N == 345 else 1.0)")), [])
    assert (frozenset({64}), frozenset({345})) == (sizes.compared, sizes.others)
