"""The instruction table: from an instruction of the text to its row.

A lane instruction is carried out by `steps(instr)`, one `LaneRow` or several over scratch values; everything that
touches memory, other lanes or control is one `WarpRow`. What has neither is `UnsupportedInstruction`.
"""

from __future__ import annotations

from ..program import Instr
from .lanes import lane_rows
from .row import Row
from .steps import Scratch, Step, is_lane_instruction, steps

__all__ = ["Scratch", "Step", "all_rows", "is_lane_instruction", "lookup", "steps"]


def lookup(instr: Instr) -> Row:
    """The row of an instruction; of a compound lane instruction, its first.

    Raises:
        UnsupportedInstruction: there is none.
    """
    return steps(instr)[0].row


def all_rows() -> tuple[Row, ...]:
    return tuple(lane_rows().values())
