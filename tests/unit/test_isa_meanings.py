"""Meanings at their edges, written out by hand from the PTX ISA."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpsmith.sandbox.emulator.isa.lanes import lane_rows
from warpsmith.sandbox.emulator.isa.number import BF16, F16, F32, F64

NAN, INFINITY, ONE = 0x7FC00000, 0x7F800000, 0x3F800000


@pytest.mark.parametrize(
    ("row", "operands", "expected"),
    [
        # Division: INT_MIN / -1 wraps; by zero is left open and fixed here.
        ("div.s32", (0x80000000, 0xFFFFFFFF), 0x80000000),
        ("rem.s32", (0x80000000, 0xFFFFFFFF), 0),
        ("div.s32", (0xFFFFFFF9, 2), 0xFFFFFFFD),
        ("rem.s32", (0xFFFFFFF9, 2), 0xFFFFFFFF),
        ("div.u32", (7, 0), 0xFFFFFFFF),
        ("abs.s32", (0x80000000,), 0x80000000),
        # Shifts at and above the width.
        ("shl.b32", (1, 31), 0x80000000),
        ("shl.b32", (1, 32), 0),
        ("shr.u32", (0x80000000, 32), 0),
        ("shr.s32", (0x80000000, 99), 0xFFFFFFFF),
        ("shr.s32", (0x7FFFFFFF, 99), 0),
        ("shl.b64", (1, 64), 0),
        ("shf.l.wrap.b32", (0x11111111, 0x22222222, 36), 0x22222221),
        ("shf.l.clamp.b32", (0x11111111, 0x22222222, 36), 0x11111111),
        ("shf.r.wrap.b32", (0x11111111, 0x22222222, 4), 0x21111111),
        ("shf.r.clamp.b32", (0x11111111, 0x22222222, 40), 0x22222222),
        # Fields that reach over the end.
        ("bfe.u32", (0xABCD1234, 8, 8), 0x12),
        ("bfe.s32", (0xABCD1234, 24, 8), 0xFFFFFFAB),
        ("bfe.s32", (0x80000000, 31, 10), 0xFFFFFFFF),
        ("bfe.s32", (0x80000000, 40, 4), 0xFFFFFFFF),
        ("bfe.u32", (0xFFFFFFFF, 0, 0), 0),
        ("bfi.b32", (0xFF, 0, 28, 8), 0xF0000000),
        ("bfi.b32", (0xFF, 0x1234, 40, 8), 0x1234),
        ("bfind.u32", (0x80000000,), 31),
        ("bfind.u32", (0,), 0xFFFFFFFF),
        ("bfind.s32", (0xFFFFFFFF,), 0xFFFFFFFF),
        ("bfind.s32", (0xFFFFFFF0,), 3),
        ("bfind.shiftamt.u32", (1,), 31),
        ("clz.b32", (0,), 32),
        ("brev.b32", (1,), 0x80000000),
        # lop3: 0x96 is xor, 0xE8 majority, 0xCA chooses b or c by a, 0xEA is (a & b) | c.
        ("lop3.b32", (0b1100, 0b1010, 0b1001, 0x96), 0b1111),
        ("lop3.b32", (0b1100, 0b1010, 0b1001, 0xE8), 0b1000),
        ("lop3.b32", (0b1100, 0b1010, 0b0101, 0xCA), 0b1001),
        ("lop3.b32", (0b1100, 0b1010, 0b0001, 0xEA), 0b1001),
        ("prmt.b32", (0x33221100, 0x77665544, 0x7610), 0x77661100),
        ("prmt.b32", (0x33228000, 0x77665544, 0x9998), 0xFFFFFF00),
        ("prmt.b32.f4e", (0x33221100, 0x77665544, 1), 0x44332211),
        ("prmt.b32.b4e", (0x33221100, 0x77665544, 1), 0x66770011),
        ("prmt.b32.rc8", (0x33221100, 0, 2), 0x22222222),
        ("prmt.b32.ecl", (0x33221100, 0, 2), 0x33222222),
        ("prmt.b32.ecr", (0x33221100, 0, 2), 0x22221100),
        ("prmt.b32.rc16", (0x33221100, 0, 1), 0x33223322),
        ("mul.hi.s32", (0x80000000, 0x80000000), 0x40000000),
        ("mul.hi.u32", (0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFE),
        ("mul.wide.s16", (0x8000, 0x8000), 0x40000000),
        ("mad.wide.s32", (0xFFFFFFFF, 1, 1), 0),
        ("mul24.lo.s32", (0x00FFFFFF, 2), 0xFFFFFFFE),
        ("dp4a.s32.s32", (0xFF01FF01, 0x02020202, 10), 10),
        ("dp4a.u32.s32", (0xFF010001, 0xFF000001, 0), 0xFFFFFF02),
        ("sad.s32", (0x80000000, 0x7FFFFFFF, 0), 0xFFFFFFFF),
        ("add.sat.s32", (0x7FFFFFFF, 1), 0x7FFFFFFF),
        ("sub.sat.s32", (0x80000000, 1), 0x80000000),
    ],
)
def test_integer_edges(row: str, operands: tuple[int, ...], expected: int) -> None:
    assert lane_rows()[row].meaning(*operands) == expected


@pytest.mark.parametrize(
    ("row", "operands", "expected"),
    [
        # NaN converts to 0, and out of range clamps.
        ("cvt.rzi.s32.f32", (NAN,), 0),
        ("cvt.rzi.s32.f32", (F32.from_float(3e9),), 0x7FFFFFFF),
        ("cvt.rzi.s32.f32", (F32.from_float(-3e9),), 0x80000000),
        ("cvt.rzi.u32.f32", (F32.from_float(-1.5),), 0),
        ("cvt.rzi.u8.f32", (F32.from_float(300.0),), 255),
        ("cvt.rzi.s64.f32", (INFINITY,), 0x7FFFFFFFFFFFFFFF),
        ("cvt.rni.s32.f32", (F32.from_float(2.5),), 2),
        ("cvt.rni.s32.f32", (F32.from_float(3.5),), 4),
        ("cvt.rmi.s32.f32", (F32.from_float(-0.5),), 0xFFFFFFFF),
        ("cvt.rpi.s32.f32", (F32.from_float(-0.5),), 0),
        ("cvt.rn.f32.s32", (0x7FFFFFFF,), 0x4F000000),
        ("cvt.rz.f32.s32", (0x7FFFFFFF,), 0x4EFFFFFF),
        ("cvt.s32.s8", (0x80,), 0xFFFFFF80),
        ("cvt.u32.u8", (0x80,), 0x80),
        ("cvt.sat.s8.s32", (300,), 127),
        ("cvt.sat.u8.s32", (0xFFFFFFFF,), 0),
        # Halves: ties go to even, 65520 is the first infinity, subnormals are kept.
        ("cvt.rn.f16.f32", (F32.from_float(2049.0),), F16.from_float(2048.0)),
        ("cvt.rn.f16.f32", (F32.from_float(2051.0),), F16.from_float(2052.0)),
        ("cvt.rn.f16.f32", (F32.from_float(65519.0),), 0x7BFF),
        ("cvt.rn.f16.f32", (F32.from_float(65520.0),), 0x7C00),
        ("cvt.rz.f16.f32", (F32.from_float(1e6),), 0x7BFF),
        ("cvt.rn.f16.f32", (F32.from_float(2.0**-24),), 1),
        ("cvt.rn.f16.f32", (F32.from_float(2.0**-25),), 0),
        ("cvt.rn.f16.f32", (F32.from_float(3 * 2.0**-26),), 1),
        ("cvt.rn.f16.f32", (NAN,), 0x7FFF),
        ("cvt.rn.bf16.f32", (0x3F808000,), 0x3F80),
        ("cvt.rn.bf16.f32", (0x3F818000,), 0x3F82),
        ("cvt.rn.bf16.f32", (0x7F7FFFFF,), 0x7F80),
        ("cvt.rn.relu.f16.f32", (F32.from_float(-3.0),), 0),
        ("cvt.rn.f16x2.f32", (ONE, F32.from_float(2.0)), 0x3C004000),
        ("cvt.rna.tf32.f32", (0x3F801000,), 0x3F802000),
        ("cvt.rn.tf32.f32", (0x3F801000,), 0x3F800000),
        ("cvt.rn.satfinite.e4m3x2.f32", (F32.from_float(1e9), F32.from_float(-1.0)), 0x7EB8),
        ("cvt.rn.f16x2.e5m2x2", (0x3C40,), 0x3C004000),
    ],
)
def test_conversion_edges(row: str, operands: tuple[int, ...], expected: int) -> None:
    assert lane_rows()[row].meaning(*operands) == expected


@pytest.mark.parametrize(
    ("row", "operands", "expected"),
    [
        ("min.f32", (NAN, ONE), ONE),
        ("max.f32", (ONE, NAN), ONE),
        ("min.f32", (NAN, NAN), 0x7FFFFFFF),
        ("min.NaN.f32", (ONE, NAN), 0x7FFFFFFF),
        ("min.f32", (0, 0x80000000), 0x80000000),
        ("max.f32", (0x80000000, 0), 0),
        ("max.f16", (0x7E00, 0x3C00), 0x3C00),
        ("max.NaN.bf16x2", (0x3F807FFF, 0x40003F80), 0x40007FFF),
        ("setp.ne.f32", (NAN, NAN), 0),
        ("setp.neu.f32", (NAN, NAN), 1),
        ("setp.ltu.f32", (NAN, ONE), 1),
        ("setp.num.f32", (ONE, NAN), 0),
        ("setp.eq.f32", (0, 0x80000000), 1),
        ("setp.lt.ftz.f32", (1, 2), 0),
        ("setp.lt.f32", (1, 2), 1),
        # (1 + 2**-12)**2 - 1 keeps its last bit only when rounded once.
        ("fma.rn.f32", (0x3F800800, 0x3F800800, 0xBF800000), F32.from_float(2.0**-11 + 2.0**-24)),
        ("fma.rn.bf16", (0x3F81, 0x3F81, 0xBF82), BF16.from_float(2.0**-14)),
        ("add.rn.f32", (F32.largest, F32.largest), INFINITY),
        ("add.rz.f32", (F32.largest, F32.largest), F32.largest),
        ("add.rm.f32", (ONE, 0xBF800000), 0x80000000),
        ("add.rn.ftz.f32", (1, 1), 0),
        ("add.rn.sat.f32", (ONE, ONE), ONE),
        ("add.rn.sat.f32", (NAN, ONE), 0),
        ("div.rn.f32", (ONE, 0x80000000), 0xFF800000),
        ("div.rn.f32", (0, 0), 0x7FFFFFFF),
        ("rcp.rn.f32", (F32.from_float(3.0),), 0x3EAAAAAB),
        ("sqrt.rn.f32", (0x80000000,), 0x80000000),
        ("sqrt.rn.f32", (F32.from_float(-1.0),), 0x7FFFFFFF),
        ("rsqrt.approx.f32", (0x80000000,), 0xFF800000),
        ("ex2.approx.f32", (F32.from_float(-0.0),), ONE),
        ("ex2.approx.ftz.f32", (F32.from_float(-130.0),), 0),
        ("lg2.approx.f32", (0,), 0xFF800000),
        ("testp.subnormal.f32", (1,), 1),
        ("testp.normal.f32", (INFINITY,), 0),
        ("copysign.f32", (0x80000000, ONE), 0xBF800000),
        ("add.rn.f16", (0x7BFF, 0x4C00), 0x7C00),
        ("add.rn.f16", (0x6800, 0x3C00), 0x6800),
        ("fma.rn.relu.f16", (0x3C00, 0xBC00, 0), 0),
        ("neg.f16x2", (0x3C00BC00,), 0xBC003C00),
    ],
)
def test_floating_edges(row: str, operands: tuple[int, ...], expected: int) -> None:
    assert lane_rows()[row].meaning(*operands) == expected


singles = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(singles, singles)
def test_binary64_rounded_to_binary32_agrees_with_the_exact_sum_and_product(a: float, b: float) -> None:
    # A sum or product of two binary32 values rounded through binary64 is rounded correctly (53 >= 2 * 24 + 2).
    left, right = F32.from_float(a), F32.from_float(b)
    assert F32.add(left, right) == F32.from_float(a + b)
    assert F32.multiply(left, right) == F32.from_float(a * b)


@given(st.floats(allow_nan=False))
def test_a_binary64_value_survives_the_way_through_bits(value: float) -> None:
    assert F64.to_float(F64.from_float(value)) == value


@given(st.integers(0, 0xFFFF))
def test_widening_a_half_and_narrowing_it_back_gives_its_bits(bits: int) -> None:
    for form in (F16, BF16):
        expected = form.nan if form.is_nan(bits) else bits
        assert F32.convert(form.convert(bits, F32), form) == expected
