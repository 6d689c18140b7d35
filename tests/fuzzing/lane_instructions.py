"""Random lane instructions, from the table: what has an exact row can come up, new rows included."""

from __future__ import annotations

import random
from functools import cache

from warpsmith.sandbox.emulator.isa.lanes import lane_rows
from warpsmith.sandbox.emulator.isa.row import LaneRow
from warpsmith.sandbox.emulator.isa.steps import steps
from warpsmith.sandbox.emulator.machine import UnsupportedInstruction
from warpsmith.sandbox.emulator.program import Instr, Register

from .registers import distinct, register, source, width_of

CARRIES = ("addc", "subc", "madc")
"""These read what the instruction before them left: they come in chains alone."""


def says_itself(row: LaneRow) -> bool:
    """Whether an instruction spelled as the row's name is carried out by that row alone."""
    opcode, *modifiers = row.name.split(".")
    operands = tuple(Register(i, f"%r{i}", "b32") for i in range(1 + len(row.args)))
    try:
        found = steps(Instr(opcode, tuple(modifiers), operands, None, 0, 0))
    except (UnsupportedInstruction, IndexError, ValueError):
        return False
    return len(found) == 1 and found[0].row is row


@cache
def generated_rows() -> dict[str, tuple[LaneRow, ...]]:
    """Rows that programs are made of, by opcode.

    Not the inexact ones: PTX leaves their last bits open, so that executors may differ. They are tested row by row.
    """
    found: dict[str, list[LaneRow]] = {}
    for row in lane_rows().values():
        opcode = row.name.split(".")[0]
        if row.exact and opcode not in CARRIES and says_itself(row):
            found.setdefault(opcode, []).append(row)
    return {opcode: tuple(rows) for opcode, rows in found.items()}


def lane_instruction(rng: random.Random) -> str:
    """One instruction, perhaps with a guard; opcodes come up alike, however many rows they have."""
    row = rng.choice(generated_rows()[rng.choice(sorted(generated_rows()))])
    operands = [register(rng, width_of(row.result)), *(source(rng, kind) for kind in row.args)]
    return guarded(rng, f"{row.name} {', '.join(operands)};") + canonical(row.result, operands[0])


def canonical(kind: str, result: str) -> str:
    """Makes any NaN the one of PTX: the VM keeps what the processor gives."""
    if kind not in ("f32", "f64"):
        return ""
    bits, nan = ("b32", 0x7FFFFFFF) if kind == "f32" else ("b64", 0x7FFFFFFFFFFFFFFF)
    return f" setp.nan.{kind} %q15, {result}, {result}; selp.{bits} {result}, {nan}, {result}, %q15;"


def guarded(rng: random.Random, instruction: str) -> str:
    if rng.randrange(5):
        return instruction
    return f"@{rng.choice(('', '!'))}{register(rng, 1)} {instruction}"


def compound_instruction(rng: random.Random) -> str:
    """Instructions of several rows: comparisons of two results, sets, packs, carry chains."""
    return rng.choice((_double_comparison, _set, _pack, _unpack, _carry_chain))(rng)


def _double_comparison(rng: random.Random) -> str:
    kind = rng.choice(("s32", "u32", "f32", "f64", "s64", "u16"))
    first, second = distinct(rng, 1, 2)
    order, combine = rng.choice(("lt", "ge", "eq", "ne")), rng.choice(("", "and", "or", "xor"))
    third = f", {rng.choice(('', '!'))}{register(rng, 1)}" if combine else ""
    name = ".".join(word for word in ("setp", order, combine, kind) if word)
    return guarded(rng, f"{name} {first}|{second}, {source(rng, kind)}, {source(rng, kind)}{third};")


def _set(rng: random.Random) -> str:
    target, kind = rng.choice(("u32", "f32")), rng.choice(("s32", "u32", "f32", "f64"))
    order = rng.choice(("lt", "ge", "eq"))
    operands = [register(rng, 32), source(rng, kind), source(rng, kind)]
    return guarded(rng, f"set.{order}.{target}.{kind} {', '.join(operands)};")


def _pack(rng: random.Random) -> str:
    whole, parts = rng.choice(((32, 2), (64, 2), (64, 4)))
    sources = ", ".join(register(rng, whole // parts) for _ in range(parts))
    return guarded(rng, f"mov.b{whole} {register(rng, whole)}, {{{sources}}};")


def _unpack(rng: random.Random) -> str:
    whole, parts = rng.choice(((32, 2), (64, 2), (64, 4)))
    targets = ", ".join(distinct(rng, whole // parts, parts))
    return guarded(rng, f"mov.b{whole} {{{targets}}}, {register(rng, whole)};")


def _carry_chain(rng: random.Random) -> str:
    operation, kind = rng.choice(("add", "sub")), rng.choice(("u32", "u64"))

    def link(opcode: str) -> str:
        return f"{opcode}.{kind} {register(rng, width_of(kind))}, {source(rng, kind)}, {source(rng, kind)};"

    return f"{link(f'{operation}.cc')} {link(f'{operation}c.cc')} {link(f'{operation}c')}"
