"""From an instruction of the text to its rows: spellings, compounds, and what has no row."""

import re
from pathlib import Path

import pytest

from warpsmith.sandbox.emulator.isa import coverage, generate
from warpsmith.sandbox.emulator.isa.absent import ABSENT
from warpsmith.sandbox.emulator.isa.row import LaneRow
from warpsmith.sandbox.emulator.isa.table import all_rows, lookup, steps
from warpsmith.sandbox.emulator.machine import UnsupportedInstruction
from warpsmith.sandbox.emulator.program import Immediate, Instr
from warpsmith.sandbox.emulator.ptx import parse_module

REGISTERS = """.reg .pred p, q, s; .reg .b16 h, i; .reg .b32 r, t, u, v; .reg .f32 f, g; .reg .f64 x; .reg .b64 a, b;
.shared .align 16 .b8 tile[64];"""


def instruction(text: str) -> Instr:
    module = parse_module(
        f".version 9.0\n.target sm_90a\n.address_size 64\n.visible .entry k() {{ {REGISTERS} {text}; }}"
    )
    return module.entries[0].instructions[0]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("add.s32 r, t, 1", "add.b32"),
        ("add.u32 r, t, 1", "add.b32"),
        ("add.sat.s32 r, t, 1", "add.sat.s32"),
        ("sub.s64 a, b, 1", "sub.b64"),
        ("mul.lo.s32 r, t, u", "mul.lo.b32"),
        ("mul.wide.s32 a, t, u", "mul.wide.s32"),
        ("mad.lo.u16 h, h, i, i", "mad.lo.b16"),
        ("add.f32 f, f, g", "add.rn.f32"),
        ("add.ftz.f32 f, f, g", "add.rn.ftz.f32"),
        ("fma.rz.ftz.sat.f32 f, f, g, g", "fma.rz.ftz.sat.f32"),
        ("mul.f16x2 r, t, u", "mul.rn.f16x2"),
        ("fma.rn.relu.bf16x2 r, t, u, u", "fma.rn.relu.bf16x2"),
        ("div.full.f32 f, f, g", "div.full.f32"),
        ("mov.f32 f, g", "mov.b32"),
        ("mov.u64 a, tile", "mov.b64"),
        ("mov.u32 r, %tid.x", "mov.b32"),
        ("mov.pred p, q", "mov.pred"),
        ("mov.b64 a, {r, t}", "mov.pack.b64.b32x2"),
        ("mov.b32 {h, i}, r", "mov.unpack.b32.b16.0"),
        ("shr.b32 r, t, 3", "shr.u32"),
        ("shr.s64 a, b, 3", "shr.s64"),
        ("selp.f32 f, f, g, p", "selp.b32"),
        ("setp.eq.s32 p, r, t", "setp.eq.b32"),
        ("setp.lo.u32 p, r, t", "setp.lt.u32"),
        ("setp.neu.f32 p, f, g", "setp.neu.f32"),
        ("setp.lt.and.s32 p, r, t, q", "setp.lt.s32"),
        ("cvt.rn.f32.s32 f, r", "cvt.rn.f32.s32"),
        ("cvt.rn.f32.u16 f, h", "cvt.f32.u16"),
        ("cvt.rn.f64.s32 x, r", "cvt.f64.s32"),
        ("cvt.rzi.ftz.s32.f32 r, f", "cvt.rzi.s32.f32"),
        ("cvt.rmi.ftz.s32.f32 r, f", "cvt.rmi.ftz.s32.f32"),
        ("cvt.sat.s32.u8 r, h", "cvt.s32.u8"),
        ("cvt.sat.u8.s32 h, r", "cvt.sat.u8.s32"),
        ("cvt.ftz.f32.f16 f, h", "cvt.f32.f16"),
        ("cvt.rn.relu.bf16x2.f32 r, f, g", "cvt.rn.relu.bf16x2.f32"),
        ("cvt.rni.ftz.f32.f32 f, g", "cvt.rni.ftz.f32.f32"),
        ("cvt.u64.u32 a, r", "cvt.u64.u32"),
        ("cvta.to.global.u64 a, b", "cvta.to.global.u64"),
        ("popc.b64 r, a", "popc.b64"),
        ("ld.global.nc.L1::no_allocate.L2::128B.v4.f32 {f, f, g, g}, [a]", "ld.global.v4.b32"),
        ("ld.shared.s8 r, [tile]", "ld.shared.s8"),
        ("ld.acquire.gpu.u32 r, [a]", "ld.generic.b32"),
        ("st.volatile.shared.u16 [tile], h", "st.shared.b16"),
        ("atom.acq_rel.gpu.global.add.s32 r, [a], 1", "atom.global.add.b32"),
        ("red.relaxed.gpu.global.add.noftz.bf16x2 [a], r", "red.global.add.bf16x2"),
        ("shfl.sync.bfly.b32 r, t, 1, 31, -1", "shfl.bfly"),
        ("barrier.sync.aligned 0", "barrier.sync"),
        ("cp.async.cg.shared.global.L2::128B [tile], [a], 16", "cp.async"),
        ("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {r, t}, [tile]", "ldmatrix.x2.trans.shared"),
        (
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {f,f,f,f}, {r,r,r,r}, {t,t}, {g,g,g,g}",
            "mma.m16n8k16.f32.bf16.bf16.f32",
        ),
        ("membar.gl", "membar"),
        ("fence.acq_rel.gpu", "fence"),
    ],
)
def test_every_spelling_leads_to_one_row(text: str, name: str) -> None:
    assert lookup(instruction(text)).name == name


@pytest.mark.parametrize(
    "text",
    ["fma.rn.oob.f32 f, f, g, g", "vadd.s32.u32 r, t, u", "cvt.rs.f16x2.f32 r, f, g, t", "fence.odd", "bar.odd 0"],
)
def test_what_has_no_row_is_unsupported_by_name(text: str) -> None:
    with pytest.raises(UnsupportedInstruction) as caught:
        lookup(instruction(text))
    assert (caught.value.what, caught.value.ptx_line) == (text.split()[0], 5)


def test_a_comparison_with_a_boolean_and_two_results_keeps_both_until_the_end() -> None:
    made = steps(instruction("setp.lt.and.s32 p|q, r, t, p"))
    assert [s.row.name for s in made] == [
        "setp.lt.s32",
        "not.pred",
        "and.pred",
        "and.pred",
        "mov.pred",
        "mov.pred",
    ]


def test_a_result_nobody_keeps_is_no_step() -> None:
    assert [s.row.name for s in steps(instruction("mov.b64 {_, r}, a"))] == ["mov.unpack.b64.b32.1"]


def test_a_carry_is_found_before_its_instruction_overwrites_a_source() -> None:
    made = steps(instruction("addc.cc.u32 r, r, t"))
    assert [s.row.name for s in made] == ["addc.carry.b32", "addc.b32", "mov.pred"]
    made = steps(instruction("madc.hi.u32 r, t, u, v"))
    assert [s.row.name for s in made] == ["mul.hi.u32", "addc.b32"]


def test_a_packed_comparison_is_one_comparison_a_half() -> None:
    made = steps(instruction("setp.gt.f16x2 p|q, r, t"))
    assert [s.row.name for s in made][-2:] == ["setp.gt.f16", "setp.gt.f16"]


def test_a_decimal_literal_takes_the_type_of_the_instruction() -> None:
    (step,) = steps(instruction("add.f32 f, g, 1.5"))
    assert step.sources[1] == Immediate(0x3FC00000, "f32")
    (step,) = steps(instruction("mov.f32 f, 0.5"))
    assert step.sources[0] == Immediate(0x3F000000, "f32")


def test_the_coverage_page_is_the_table() -> None:
    assert coverage.text() == (Path(__file__).parents[2] / "docs" / "emulator-coverage.md").read_text(encoding="utf-8")


def test_the_generated_rows_are_the_table() -> None:
    assert generate.TARGET.read_text() == generate.text()


def test_rows_use_only_types_the_scalar_header_has() -> None:
    scalars = {"pred", "f32", "f64"} | {f"{sign}{width}" for sign in "us" for width in (8, 16, 32, 64)}
    lanes = [row for row in all_rows() if isinstance(row, LaneRow)]
    assert {kind for row in lanes for kind in (row.result, *row.args)} <= scalars
    assert {len(row.args) for row in lanes} == {1, 2, 3, 4}


def test_a_row_that_is_not_exact_says_how_far_off_the_hardware_may_be() -> None:
    inexact = [row for row in all_rows() if isinstance(row, LaneRow) and not row.exact]
    assert len(inexact) > 20
    assert all(row.deviation for row in inexact)


@pytest.mark.parametrize("example", [item.example for item in ABSENT])
def test_what_the_page_says_is_not_run_is_refused_by_name(example: str) -> None:
    with pytest.raises(UnsupportedInstruction, match=re.escape(example.split()[0])):
        lookup(instruction(example))
