"""Pessimistic mode: results whose bits the ISA leaves open move within the documented error, and nothing else does."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest

from warpsmith.sandbox.emulator import launch as vm
from warpsmith.sandbox.emulator.isa import deviations
from warpsmith.sandbox.emulator.isa.product_words import MMA_PRODUCTS
from warpsmith.sandbox.emulator.launch import LoadedModule
from warpsmith.sandbox.emulator.machine import LaunchSpec, Memory, Options
from warpsmith.sandbox.emulator.ptx import parse_module

from .test_matrix_rows import operands, program

LANES = 64


HEAD = ".version 9.0\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 x, .param .u64 y) {\n"


def kernel(instruction: str) -> LoadedModule:
    return vm.load(
        parse_module(f"""{HEAD}.reg .b64 %rd<5>; .reg .b32 %r<3>; .reg .f32 %f<4>; .reg .b16 %h<3>;
        ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y];
        mov.u32 %r1, %tid.x; mul.wide.u32 %rd3, %r1, 4; add.s64 %rd1, %rd1, %rd3; add.s64 %rd2, %rd2, %rd3;
        ld.global.f32 %f1, [%rd1]; {instruction}; st.global.f32 [%rd2], %f2; ret; }}""")
    )


def run(loaded: LoadedModule, x: np.ndarray, y: np.ndarray, threads: int = LANES, **options: object) -> np.ndarray:
    memory = Memory()
    params = struct.pack(
        "<QQ",
        memory.allocate("x", x.reshape(-1).view(np.uint8), writable=False, initialised=True),
        memory.allocate("y", y.reshape(-1).view(np.uint8), writable=True, initialised=False),
    )
    spec = LaunchSpec((1, 1, 1), (threads, 1, 1), 0, params)
    assert vm.launch(loaded, "k", spec, memory, Options(**options)).fault is None  # type: ignore[arg-type]
    return y


def values(instruction: str, x: np.ndarray, **options: object) -> np.ndarray:
    return run(kernel(instruction), x, np.zeros(LANES, np.float32), **options)


X = np.random.default_rng(3).uniform(0.6, 3.1, LANES).astype(np.float32)
BOUNDS = {
    "ex2.approx.ftz.f32 %f2, %f1": (2**-22, 0),
    "lg2.approx.f32 %f2, %f1": (2**-22, 2**-22),
    "sin.approx.f32 %f2, %f1": (0, 2**-20.5),
    "cos.approx.ftz.f32 %f2, %f1": (0, 2**-20.5),
    "tanh.approx.f32 %f2, %f1": (2**-11, 0),
    "rcp.approx.f32 %f2, %f1": (2**-23, 0),
    "sqrt.approx.f32 %f2, %f1": (2**-23, 0),
    "rsqrt.approx.f32 %f2, %f1": (2**-22.9, 0),
    "div.full.f32 %f2, %f1, 0f40490FDB": (2**-22, 0),
    "cvt.rn.f16.f32 %h1, %f1; ex2.approx.f16 %h2, %h1; cvt.f32.f16 %f2, %h2": (2**-9.9, 0),
    "cvt.rn.bf16.f32 %h1, %f1; ex2.approx.ftz.bf16 %h2, %h1; cvt.f32.bf16 %f2, %h2": (2**-7, 0),
}


@pytest.mark.parametrize("instruction", BOUNDS)
def test_an_approximation_moves_within_its_bound_alike_for_one_seed(instruction: str) -> None:
    plain = values(instruction, X)
    moved = values(instruction, X, pessimistic=True, seed=1)
    relative, absolute = BOUNDS[instruction]
    assert (moved != plain).mean() > 0.1
    assert (np.abs(moved.astype(np.float64) - plain) <= np.maximum(relative * np.abs(plain), absolute)).all()
    np.testing.assert_array_equal(moved, values(instruction, X, pessimistic=True, seed=1))
    assert (moved != values(instruction, X, pessimistic=True, seed=2)).any()


@pytest.mark.parametrize(
    "instruction", ["sin.approx.f32 %f2, %f1", "cos.approx.ftz.f32 %f2, %f1", "@!%p1 sin.approx.f32 %f2, %f1"]
)
@pytest.mark.parametrize(
    ("turns", "bound", "least"), [(1, 2**-20.5, 2**-23), (50, 2**-14.7, 2**-17), (400, 2**-11, 2**-14)]
)
def test_a_sine_is_off_by_more_the_more_turns_it_takes_off_its_angle(
    instruction: str, turns: int, bound: float, least: float
) -> None:
    """Up to one turn and up to fifty as the ISA says; beyond, where it says nothing, on along the same line."""
    x = (2 * np.pi * turns * np.random.default_rng(turns).uniform(0.9, 0.999, LANES)).astype(np.float32)
    instruction = instruction.replace("@!%p1", ".reg .pred %p1; setp.ne.f32 %p1, %f1, %f1; @!%p1")
    off = np.abs(values(instruction, x, pessimistic=True, seed=1).astype(np.float64) - values(instruction, x))
    assert least < off.max() <= bound


def test_the_angle_of_a_sine_stays_what_it_was() -> None:
    stays = values("sin.approx.f32 %f3, %f1; mov.f32 %f2, %f1", 100 * X, pessimistic=True, seed=1)
    np.testing.assert_array_equal(stays, 100 * X)


@pytest.mark.parametrize(
    "instruction", ["div.rn.f32 %f2, %f1, 0f40490FDB", "sqrt.rn.f32 %f2, %f1", "mul.f32 %f2, %f1, %f1"]
)
def test_what_the_isa_defines_to_the_bit_stays(instruction: str) -> None:
    np.testing.assert_array_equal(values(instruction, X), values(instruction, X, pessimistic=True, seed=1))


def test_what_the_isa_lists_as_exact_stays() -> None:
    zeros = np.zeros(LANES, np.float32)
    assert {1.0} == set(values("ex2.approx.f32 %f2, %f1", zeros, pessimistic=True).tolist())
    assert {math.inf} == set(values("rcp.approx.f32 %f2, %f1", zeros, pessimistic=True).tolist())


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("m16n8k16.f32.bf16.bf16.f32", False),
        ("m16n8k16.f16.f16.f16.f16", False),
        ("sp.m16n8k32.f32.f16.f16.f32", False),
        ("m8n8k4.f64.f64.f64.f64", True),
        ("m16n8k32.s32.s8.u8.s32", True),
    ],
)
def test_products_are_summed_in_another_order_and_cut_off(name: str, stays: bool) -> None:
    words = next(words for words in MMA_PRODUCTS if words.name == name)
    text, each = program(words, "mma")
    loaded, x = vm.load(parse_module(text)), operands(words, "mma", each)
    x &= np.uint64(0xFFFFFFFF) if words.d != "f64" else ~np.uint64(0)
    plain, moved = (run(loaded, x, np.zeros((32, each), np.uint64), 32, pessimistic=p, seed=4) for p in (False, True))
    kind = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "s32": np.int32}[words.d]
    first, second = plain.view(kind).astype(np.float64), moved.view(kind).astype(np.float64)
    finite = np.isfinite(first) & np.isfinite(second)
    assert stays == np.array_equal(first[finite], second[finite])
    depth, ulp = words.shape.k, 2**-10 if words.d == "f16" else 2**-22
    largest = np.abs(first[finite]).max()
    assert (np.abs(first[finite] - second[finite]) <= depth * ulp * max(largest, 16.0 * depth)).all()


def sums(kind: str, a: np.ndarray) -> np.ndarray:
    """Rows of the halves `a`, [16, K], summed by a chain of mma at the edge of its error in sums of that kind."""
    count = {"f32": 4, "f16": 2}[kind]
    d = "{" + ", ".join(f"%{kind[0]}{i}" for i in range(count)) + "}"
    held = "".join(f".reg .{'f32' if kind == 'f32' else 'b32'} %f{i}; mov.b32 %f{i}, 0;\n" for i in range(count))
    text = f"""{HEAD}.reg .b64 %rd<5>; .reg .b32 %r<9>; .reg .pred %p;
        {held} ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; mov.u32 %r0, %tid.x; mov.u32 %r8, 0;
        mul.wide.u32 %rd3, %r0, 16; add.s64 %rd1, %rd1, %rd3; mul.wide.u32 %rd3, %r0, {4 * count};
        add.s64 %rd2, %rd2, %rd3; mov.b32 %r7, 0x3C003C00;
        $more: ld.global.v4.b32 {{%r1, %r2, %r3, %r4}}, [%rd1]; add.s64 %rd1, %rd1, 512;
        mma.sync.aligned.m16n8k16.row.col.{kind}.f16.f16.{kind} {d}, {{%r1, %r2, %r3, %r4}}, {{%r7, %r7}}, {d};
        add.u32 %r8, %r8, 1; setp.lt.u32 %p, %r8, {a.shape[1] // 16}; @%p bra $more;
        st.global.v{count}.b32 [%rd2], {d}; ret; }}"""
    # Lane 4g + t holds rows g and g + 8 at columns 2t, 2t + 1, then those of columns 8 further.
    pairs = a.reshape(2, 8, -1, 2, 4, 2).transpose(2, 1, 4, 3, 0, 5)
    y = np.zeros((32, 4), np.float32 if kind == "f32" else np.float16)
    found = run(vm.load(parse_module(text)), np.ascontiguousarray(pairs), y, 32, pessimistic=True, seed=5)
    return found.astype(np.float64)[::4, ::2].T.reshape(-1)


def lost(kind: str, a: np.ndarray) -> float:
    """How far the sums are from the right ones, over the size of those."""
    right = a.astype(np.float64).sum(axis=1)
    return float(np.sqrt(np.square(sums(kind, a) - right).mean() / np.square(right).mean()))


def test_a_long_sum_loses_what_tensor_cores_lose() -> None:
    a = np.random.default_rng(6).normal(size=(16, 1 << 16)).astype(np.float16)
    # Cut off once in eight products, of either sign; after each product it would be 1.6e-3.
    assert 1e-6 < lost("f32", a) < 2e-4
    assert (np.abs(sums("f32", np.abs(a))) <= np.abs(a).astype(np.float64).sum(axis=1)).all()
    assert lost("f32", np.abs(a)) < 1e-3


def test_a_long_sum_in_half_precision_loses_far_more() -> None:
    a = np.random.default_rng(6).normal(size=(16, 1 << 16)).astype(np.float16)
    assert lost("f16", a) > 2e-2


def test_the_page_of_deviations_is_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "emulator-deviations.md"
    assert deviations.text() == page.read_text(encoding="utf-8")
