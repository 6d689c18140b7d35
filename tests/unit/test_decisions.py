"""Decisions that a launch's parameters alone settle, found in PTX."""

from __future__ import annotations

import struct

from warpsmith.sandbox.analysis.decisions import UniformProgram
from warpsmith.sandbox.emulator.machine import LaunchSpec
from warpsmith.sandbox.emulator.ptx import parse_module

HEAD = ".version 9.0\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 p, .param .u32 n)\n{\n"
REGISTERS = ".reg .pred %p<3>;\n.reg .b32 %r<9>;\n.reg .b64 %rd<3>;\n"


def decided(body: str, n: int, *, grid: int = 1) -> set[str]:
    module = parse_module(f"{HEAD}{REGISTERS}{body}\nret;\n}}\n")
    spec = LaunchSpec((grid, 1, 1), (32, 1, 1), 0, struct.pack("<QI", 0x7F0000000000, n) + b"\0" * 4)
    return {word for word, _ in UniformProgram.of(module.entries[0], frozenset({0})).decisions(spec, sms=132)}


SELECT = "ld.param.u32 %r1, [n];\nsetp.gt.s32 %p1, %r1, 4096;\nselp.b32 %r2, 7, 9, %p1;"


def test_a_select_by_size_shows_how_it_comes_out() -> None:
    assert {"true"} == decided(SELECT, 5000)
    assert {"false"} == decided(SELECT, 4096)


def test_a_minimum_shows_which_operand_it_takes() -> None:
    body = "ld.param.u32 %r1, [n];\nmin.s32 %r2, %r1, 64;"
    assert {"first"} == decided(body, 3)
    assert {"second"} == decided(body, 300)
    assert set() == decided(body, 64)


def test_grid_sizes_count_and_thread_numbers_do_not() -> None:
    assert {"true"} == decided("mov.u32 %r1, %nctaid.x;\nsetp.gt.u32 %p1, %r1, 2;", 0, grid=3)
    assert set() == decided("mov.u32 %r1, %tid.x;\nsetp.gt.u32 %p1, %r1, 2;", 0)


def test_a_value_written_twice_is_unknown() -> None:
    assert set() == decided("ld.param.u32 %r1, [n];\nadd.s32 %r1, %r1, 1;\nsetp.gt.s32 %p1, %r1, 2;", 9)


def test_addresses_are_no_sizes() -> None:
    assert set() == decided("ld.param.u64 %rd1, [p];\nsetp.gt.u64 %p1, %rd1, 5;", 9)
