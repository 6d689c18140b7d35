"""mma.m8n8k4 of fp16: four products at once, in layouts of their own, as the manual's formulas have them."""

from __future__ import annotations

import struct
from itertools import product

import numpy as np
import pytest

from warpsmith.sandbox.emulator import launch as vm
from warpsmith.sandbox.emulator.isa import execute
from warpsmith.sandbox.emulator.machine import LaunchSpec, Memory, Options, UnsupportedInstruction
from warpsmith.sandbox.emulator.ptx import parse_module

LAYOUTS = tuple(product(("row", "col"), repeat=2))
KINDS = (("f16", "f16"), ("f32", "f16"), ("f32", "f32"))
DTYPES = {"f16": np.float16, "f32": np.float32}


def program(a: str, b: str, d: str, c: str) -> str:
    """Every lane loads 2 + 2 + 8 words, multiplies and stores eight."""
    names = {part: [f"%{part}{i}" for i in range(8)] for part in "abcd"}
    counts = {"a": 2, "b": 2, "c": 8 if c == "f32" else 4, "d": 8 if d == "f32" else 4}
    vectors = {part: "{" + ", ".join(names[part][: counts[part]]) + "}" for part in "abcd"}
    loads = [f"ld.global.b32 {names[part][i]}, [%x+{4 * (at + i)}];" for part, at in (("a", 0), ("b", 2), ("c", 4))
             for i in range(counts[part])]  # fmt: skip
    stores = [f"st.global.b32 [%y+{4 * i}], {names['d'][i]};" for i in range(counts["d"])]
    return f""".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 x, .param .u64 y) {{
    .reg .b32 %a<8>, %b<8>, %c<8>, %d<8>, %t; .reg .b64 %x, %y, %o;
    mov.u32 %t, %tid.x; ld.param.u64 %x, [x]; ld.param.u64 %y, [y];
    mul.wide.u32 %o, %t, 48; add.u64 %x, %x, %o; mul.wide.u32 %o, %t, 32; add.u64 %y, %y, %o;
    {" ".join(loads)}
    mma.sync.aligned.m8n8k4.{a}.{b}.{d}.f16.f16.{c} {vectors["d"]}, {vectors["a"]}, {vectors["b"]}, {vectors["c"]};
    {" ".join(stores)} ret; }}"""


def sum_place(lane: int, i: int, kind: str) -> tuple[int, int]:
    upper = 4 * (lane >= 16)
    if kind == "f16":
        return lane % 4 + upper, i
    return (lane & 0b1) + (i & 0b10) + upper, (i & 0b100) + (lane & 0b10) + (i & 0b1)


def fragments(lane: int, a: np.ndarray, b: np.ndarray, c: np.ndarray, words: tuple[str, ...]) -> bytes:
    """One lane's 48 bytes, by the formulas of "Matrix Fragments for mma.m8n8k4 with .f16 floating point type"."""
    by_a, by_b, _, kind = words
    quad, upper, t = lane % 16 // 4, 4 * (lane >= 16), lane % 4
    left = [a[quad][t + upper, i] if by_a == "row" else a[quad][i + upper, t] for i in range(4)]
    right = [b[quad][t, i + upper] if by_b == "row" else b[quad][i, t + upper] for i in range(4)]
    sums = np.array([c[quad][sum_place(lane, i, kind)] for i in range(8)], DTYPES[kind])
    return (np.array(left + right, np.float16).tobytes() + sums.tobytes()).ljust(48, b"\0")


@pytest.mark.parametrize("executor", [execute, vm], ids=["readable", "vm"])
@pytest.mark.parametrize("layouts", LAYOUTS, ids="-".join)
@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_four_products_at_once(executor: object, layouts: tuple[str, str], kinds: tuple[str, str]) -> None:
    rng = np.random.default_rng([ord(letter) for letter in "".join(layouts + kinds)])
    # Sums of small integers are exact in every order.
    a, b, c = (rng.integers(-8, 8, shape).astype(np.float32) for shape in ((4, 8, 4), (4, 4, 8), (4, 8, 8)))
    words = (*layouts, *kinds)
    x = np.frombuffer(b"".join(fragments(lane, a, b, c, words) for lane in range(32)), np.uint8).copy()
    y = np.zeros(32 * 32, np.uint8)
    memory = Memory()
    params = struct.pack(
        "<QQ",
        memory.allocate("x", x, writable=False, initialised=True),
        memory.allocate("y", y, writable=True, initialised=True),
    )
    module = parse_module(program(*words))
    for pessimistic in (False, True) if executor is vm else (False,):
        y[:] = 0
        options = Options(pessimistic=pessimistic, seed=3)
        result = executor.launch(module, "k", LaunchSpec((1, 1, 1), (32, 1, 1), 0, params), memory, options)  # type: ignore[attr-defined]
        assert result.fault is None
        for lane in range(32):
            found = y[32 * lane :][: 32 if kinds[0] == "f32" else 16].view(DTYPES[kinds[0]])
            quad = lane % 16 // 4
            expected = [(a[quad] @ b[quad] + c[quad])[sum_place(lane, i, kinds[0])] for i in range(8)]
            assert expected == found.tolist()


@pytest.mark.parametrize("executor", [execute, vm], ids=["readable", "vm"])
@pytest.mark.parametrize("wrong", [("row", "col", "f16", "f32"), ("row", "row", "f64", "f64")])
def test_other_types_of_the_shape_have_no_row(executor: object, wrong: tuple[str, ...]) -> None:
    module = parse_module(program(*wrong))
    with pytest.raises(UnsupportedInstruction, match="m8n8k4"):
        executor.launch(module, "k", LaunchSpec((1, 1, 1), (32, 1, 1), 0, b"\0" * 16), Memory(), Options())  # type: ignore[attr-defined]
