"""One row applied to operands, and the values that pass between the steps of an instruction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..machine import UnsupportedInstruction
from ..program import Instr, Operand, Register
from .lanes import lane_rows
from .row import LaneRow


@dataclass(frozen=True, slots=True)
class Scratch:
    """A value between the steps of one instruction, of the type of the row that wrote it."""

    index: int


Source: TypeAlias = Operand | Scratch
Target: TypeAlias = Register | Scratch


@dataclass(frozen=True, slots=True)
class Step:
    row: LaneRow
    target: Target
    sources: tuple[Source, ...]


def row_for(instr: Instr, name: str) -> LaneRow:
    """The row of a name that `instr` needs.

    Raises:
        UnsupportedInstruction: there is none.
    """
    row = lane_rows().get(name)
    if row is None:
        raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)
    return row
