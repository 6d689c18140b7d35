"""The steps of instructions that read or write the carry."""

from __future__ import annotations

from collections.abc import Iterator

from ..program import Instr, Register
from .carry import CARRY
from .spelling import bits
from .step import Scratch, Source, Step, row_for

OPCODES = ("add", "addc", "sub", "subc", "mad", "madc")


def uses_carry(instr: Instr) -> bool:
    """Whether the instruction reads the carry (`addc`) or writes it (`.cc`)."""
    return instr.opcode in ("addc", "subc", "madc") or (instr.opcode in OPCODES and "cc" in instr.modifiers)


def carry_steps(instr: Instr) -> Iterator[Step]:
    """op{.cc}.type d, a, b and mad{c}.{lo,hi}{.cc}.type d, a, b, c.

    The carry out is found before d is written, for d may be a source, and kept after d has used the carry in.
    """
    target, *sources = instr.operands
    kind, width = instr.modifiers[-1], bits(instr.modifiers[-1])
    operation = "add" if instr.opcode.startswith("mad") else instr.opcode.removesuffix("c")
    terms: tuple[Source, ...] = tuple(sources)
    if instr.opcode.startswith("mad"):
        half = instr.modifiers[0]
        product = row_for(instr, f"mul.{half}.{width if half == 'lo' else kind}")
        yield Step(product, Scratch(0), tuple(sources[:2]))
        terms = (Scratch(0), sources[2])
    extended = instr.opcode.endswith("c")
    name = f"{operation}c" if extended else operation
    terms = (*terms, CARRY) if extended else terms
    if "cc" in instr.modifiers:
        yield Step(row_for(instr, f"{name}.carry.{width}"), Scratch(1), terms)
    if isinstance(target, Register):
        yield Step(row_for(instr, f"{name}.{width}"), target, terms)
    if "cc" in instr.modifiers:
        yield Step(row_for(instr, "mov.pred"), CARRY, (Scratch(1),))
