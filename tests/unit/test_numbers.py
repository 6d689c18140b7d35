"""The numbers that a kernel's code names, as values that its inputs may have."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpsmith.core.dtype import DType
from warpsmith.sandbox.analysis.numbers import BAND, Numbers
from warpsmith.sandbox.emulator.ptx.module import parse_module

START = ".version 8.0\n.target sm_90\n.address_size 64\n"
HEAD = """.visible .entry k() {
.reg .pred %p<3>; .reg .b64 %rd<5>; .reg .b32 %r<4>; .reg .b16 %h<4>; .reg .f32 %f<3>; .reg .f64 %d<3>;
"""


def named(body: str, before: str = "") -> Numbers:
    return Numbers.of(parse_module(f"{START}{before}{HEAD}{body}\nret;\n}}\n"))


def values(numbers: Numbers, dtype: DType) -> list[list[float]]:
    """Those written as floating numbers, and all others, of every band."""
    return [[float(value) for band in bands for value in band] for bands in numbers.bands(dtype)]


@pytest.mark.parametrize(
    "body",
    [
        "setp.eq.f32 %p1, %f1, 0f42280000;",
        "add.f32 %f1, %f1, 0fC2280000;",
        "setp.eq.f64 %p1, %d1, 0d4045000000000000;",
        "setp.eq.s32 %p1, %r1, 42;",
        "setp.gt.s32 %p1, %r1, -42;",
        "setp.eq.b32 %p1, %r1, 1109917696;",
        "xor.b32 %r1, %r1, 1109917696;",
        "mov.b32 %r1, 1109917696;",
        "mul.f32 %f1, %f1, 0f44DC8000;",
    ],
)
def test_a_number_is_found_as_literal_whole_number_bits_or_square(body: str) -> None:
    assert any(42.0 in found for found in values(named(body), DType.FLOAT32))


def test_a_number_is_found_in_a_table_but_not_in_a_long_one() -> None:
    table = ".const .align 4 .b8 odd[8] = {0, 0, 40, 66, 0, 0, 200, 65};\n"
    assert [[], [25.0, 42.0]] == values(named("", table), DType.FLOAT32)
    assert [[], []] == values(named("", ".const .align 4 .f32 odd[1025] = {0f42280000};\n"), DType.FLOAT32)


@pytest.mark.parametrize(
    "body",
    [
        "setp.eq.f32 %p1, %f1, 0f00000000;",
        "setp.eq.f32 %p1, %f1, 0f7F800000;",
        "setp.eq.f32 %p1, %f1, 0f7FC00000;",
        "shl.b32 %r1, %r1, 5;",
        "setp.eq.s32 %p1, %r1, 1;",
        "mov.b32 %r1, 42;",
    ],
)
def test_zero_infinity_nan_and_what_compares_with_nothing_are_no_numbers(body: str) -> None:
    assert [[], []] == values(named(body), DType.FLOAT32)


def test_numbers_are_those_that_the_dtype_holds() -> None:
    numbers = named("setp.eq.f32 %p1, %f1, 0f42286666; setp.lt.f32 %p1, %f1, 0f7149F2CA;")  # 42.1 and 1e30
    assert [42.09375] == values(numbers, DType.FLOAT16)[0]
    assert 2 == len(values(numbers, DType.FLOAT32)[0])
    assert 2 == len(values(numbers, DType.BFLOAT16)[0])


def test_bits_of_half_precision_are_found_in_either_half_of_a_word() -> None:
    assert [[], [0.5, 42.0]] == values(named("mov.b32 %r1, 0x51403800;"), DType.FLOAT16)
    assert [[], [42.0]] == values(named("mov.b16 %h1, 0x4228;"), DType.BFLOAT16)


@given(st.frozensets(st.floats(2.0**-126, 2.0**127, width=32)))
def test_bands_hold_every_number_once_and_span_little(floats: frozenset[float]) -> None:
    bands, _ = Numbers(floats=floats).bands(DType.FLOAT32)
    assert sorted(floats) == [float(value) for band in bands for value in band]
    assert all(band[-1] <= BAND * band[0] for band in bands)


@given(st.integers(0, (1 << 32) - 1))
def test_any_word_may_be_read_as_bits(word: int) -> None:
    (value,) = struct.unpack("<f", struct.pack("<I", word))
    found = values(Numbers(words=frozenset({word})), DType.FLOAT32)[1]
    assert found == ([abs(value)] if 2.0**-20 <= abs(value) <= 2.0**20 else [])
