"""Instructions that are several rows, and rows a number of rare instructions share: values worked out by hand."""

import pytest

from warpsmith.sandbox.emulator.isa.block import width_of
from warpsmith.sandbox.emulator.isa.number import F16, F32, F64, wrap
from warpsmith.sandbox.emulator.isa.step import Scratch
from warpsmith.sandbox.emulator.isa.table import steps
from warpsmith.sandbox.emulator.program import Immediate, Instr, Not, Pair, Register
from warpsmith.sandbox.emulator.ptx import parse_module

REGISTERS = ".reg .pred p<4>; .reg .b16 h<4>; .reg .b32 r<5>; .reg .f32 f<4>; .reg .f64 g<4>; .reg .b64 d<4>;"


def instruction(text: str) -> Instr:
    module = parse_module(f".version 9.0\n.target sm_90a\n.address_size 64\n.entry k() {{ {REGISTERS} {text}; ret; }}")
    return module.entries[0].instructions[0]


def result(text: str, *operands: int) -> tuple[int, ...]:
    """Bits of what the instruction's registers hold after it, given its source registers in order."""
    instr = instruction(text)
    names = dict.fromkeys(o.name for o in instr.operands[1:] if isinstance(o, Register))
    held = dict(zip(names, operands, strict=False))
    scratch: dict[int, int] = {}

    def read(source: object) -> int:
        if isinstance(source, Scratch):
            return scratch[source.index]
        if isinstance(source, Immediate):
            return source.bits
        if isinstance(source, Not):
            return 1 - held.get(source.register.name, operands[-1])
        assert isinstance(source, Register)
        return held[source.name]

    for step in steps(instr):
        widths = [width_of(kind) for kind in step.row.args]
        value = step.row.meaning(*(wrap(read(s), w) for s, w in zip(step.sources, widths, strict=True)))
        if isinstance(step.target, Scratch):
            scratch[step.target.index] = value
        else:
            held[step.target.name] = value
    target = instr.operands[0]
    targets = (target.first, target.second) if isinstance(target, Pair) else (target,)
    return tuple(held[t.name] for t in targets if isinstance(t, Register))


SUBNORMAL = 1


@pytest.mark.parametrize(
    ("text", "operand", "expected"),
    [
        ("cvt.rn.sat.f16.s32 h0, r1", 7, F16.one),
        ("cvt.rn.sat.f16.s32 h0, r1", 0xFFFFFFFF, 0),
        ("cvt.rp.ftz.sat.f32.u64 f0, d1", 3, F32.one),
        ("cvt.sat.f32.f16 f0, h1", F16.from_float(0.5), F32.from_float(0.5)),
        ("cvt.rni.sat.f32.f32 f0, f1", F32.from_float(1.5), F32.one),
        ("cvt.rpi.ftz.u8.f32 h0, f1", SUBNORMAL, 0),
        ("cvt.rpi.u8.f32 h0, f1", SUBNORMAL, 1),
        ("cvt.rp.f16.bf16 h0, h1", 0x3381, 0x0002),
        ("cvt.rz.f64.bf16 g0, h1", 0x3F80, F64.one),
        ("cvt.rn.satfinite.f16.f32 h0, f1", F32.from_float(1e9), 0x7BFF),
        ("cvt.rn.relu.satfinite.f16.f32 h0, f1", F32.from_float(-1e9), 0),
        ("cvt.rna.satfinite.tf32.f32 r0, f1", 0x7F7FFFFF, 0x7F7FE000),
        ("cvt.rz.relu.tf32.f32 r0, f1", 0xBF800000, 0),
        ("cvt.rn.relu.f16x2.e4m3x2 r0, h1", 0xB838, 0x00003C00),
        ("cvt.rn.satfinite.relu.e4m3x2.f16x2 h0, r1", 0xBC003C00, 0x0038),
        ("mad.rn.f32 f0, f1, f1, f1", F32.from_float(3.0), F32.from_float(12.0)),
        ("rcp.rz.ftz.f64 g0, g1", F64.from_float(4.0), F64.from_float(0.25)),
        ("szext.clamp.s32 r0, r1, 4", 0x18, 0xFFFFFFF8),
        ("szext.wrap.u32 r0, r1, 36", 0x18, 8),
        ("bmsk.clamp.b32 r0, r1, 64", 28, 0xF0000000),
        ("bmsk.wrap.b32 r0, r1, 3", 33, 0b1110),
        ("fns.b32 r0, r1, 4, 2", 0b11011010, 6),
        ("fns.b32 r0, r1, 4, -1", 0b11011010, 4),
        ("fns.b32 r0, r1, 2, 0", 0b11011010, 0xFFFFFFFF),
        ("neg.ftz.f16 h0, h1", SUBNORMAL, 0x8000),
        ("min.ftz.f16 h0, h1, 0x3C00", SUBNORMAL, 0),
        ("setp.gt.ftz.f16 p0, h1, 0", SUBNORMAL, 0),
    ],
)
def test_one_operand(text: str, operand: int, expected: int) -> None:
    assert (expected,) == result(text, operand)


@pytest.mark.parametrize(
    ("text", "a", "b", "expected"),
    [
        ("cvt.pack.sat.u8.s32.b32 r0, r1, r2, 0x1234", 300, 0xFFFFFFFF, 0x1234FF00),
        ("cvt.pack.sat.s4.s32.b32 r0, r1, r2, 0xA", 100, 0xFFFFFF9C, 0xA78),
        ("cvt.pack.sat.s16.s32 r0, r1, r2", 5, 0xFFFF0000, 0x00058000),
        ("cvt.rz.satfinite.f16x2.f32 r0, f1, f2", F32.from_float(1e9), F32.from_float(-1e9), 0x7BFFFBFF),
        ("vadd4.u32.u32.u32 r0, r1, r2, 0", 0x01FF7F80, 0x01010180, 0x02008000),
        ("vadd4.u32.u32.u32.sat r0, r1, r2, 0", 0x01FF7F80, 0x01010180, 0x02FF80FF),
        ("vadd4.u32.u32.u32 r0.b20, r1, r2, 0xAABBCCDD", 0x01020304, 0x10203040, 0xAA22CC44),
        ("vadd4.u32.u32.u32.add r0.b31, r1, r2, 1000", 0x01020304, 0x10203040, 1000 + 0x11 + 0x33),
        ("vsub4.u32.u32.u32 r0, r1.b0123, r2.b7777, 0", 0x01020304, 0x01203040, 0x03020100),
        ("vadd2.u32.u32.u32 r0.h1, r1.h01, r2.h20, 7", 0x00010002, 0x00030004, 0x00060007),
        ("vset4.u32.u32.eq r0.b3, r1, r2.b4567, 0x01010101", 0x40000000, 0x10203040, 0x01010101),
        ("fma.rn.oob.f16 h0, h1, h2, 0x3C00", 0x7FF7, 0x3C00, 0),
        ("fma.rn.oob.f16 h0, h1, h2, 0x3C00", 0x4000, 0x3C00, 0x4200),
        ("fma.rn.oob.relu.bf16x2 r0, r1, r2, 0", 0xFFF73F80, 0x3F80BF80, 0),
        ("vabsdiff4.u32.u32.u32.add r0, r1, r2, 1000", 0x01020304, 0x04030201, 1008),
        ("vavrg2.s32.s32.s32 r0, r1, r2, 0", 0x0001FFFF, 0x0002FFFE, 0x0002FFFE),
        ("vset2.s32.s32.lt r0, r1, r2, 0", 0x0001FFFF, 0x00010001, 0x00000001),
        ("vmax2.s32.s32.s32 r0, r1, r2, 0", 0x0001FFFF, 0x00020001, 0x00020001),
        ("add.s16x2 r0, r1, r2", 0x7FFFFFFF, 0x00010001, 0x80000000),
        ("min.relu.s16x2 r0, r1, r2", 0x0005FFFF, 0x00060001, 0x00050000),
        ("max.relu.s32 r0, r1, r2", 0xFFFFFFF0, 0xFFFFFFFF, 0),
        ("min.NaN.xorsign.abs.bf16 h0, h1, h2", 0xBF80, 0x4000, 0xBF80),
        ("max.ftz.NaN.f32 f0, f1, f2", 0x7FC00000, 0x3F800000, 0x7FFFFFFF),
        ("fma.rp.bf16 h0, h1, h1, h2", 0x3F80, 0x3300, 0x3F81),
    ],
)
def test_two_operands(text: str, a: int, b: int, expected: int) -> None:
    assert (expected,) == result(text, a, b)


def test_logic_with_a_predicate_tells_whether_its_result_is_zero() -> None:
    assert (0, 0) == result("lop3.or.b32 r0|p1, r1, r2, r3, 0x80, p2", 1, 2, 3, 0)
    assert (0, 1) == result("lop3.or.b32 r0|p1, r1, r2, r3, 0x80, p2", 1, 2, 3, 1)
    assert (1, 1) == result("lop3.and.b32 r0|p1, r1, r2, r3, 0x80, p2", 1, 3, 5, 1)
