"""The instruction table: from an instruction of the text to its row.

A lane instruction is carried out by `steps(instr)`, one `LaneRow` or several over scratch values; everything that
touches memory, other lanes or control is one `WarpRow`. What has neither is `UnsupportedInstruction`.
"""

from __future__ import annotations

from ..machine import UnsupportedInstruction
from ..program import Instr
from .lanes import lane_rows
from .row import LaneRow, Row, WarpRow
from .spelling_warp import warp_name
from .steps import Scratch, Step, is_lane_instruction, one_step, steps
from .warps import warp_rows

FLUSHING = "cvt.ftz.f32.f32"
"""The step that a conversion of a flushed operand begins with; ptxas makes it a modifier of the conversion."""

__all__ = ["Scratch", "Step", "all_rows", "is_lane_instruction", "lookup", "one_step", "steps", "warp_row"]


def lookup(instr: Instr) -> Row:
    """The row of an instruction; of a compound lane instruction, its first but for the flushing of an operand.

    Raises:
        UnsupportedInstruction: there is none.
    """
    if not is_lane_instruction(instr):
        return warp_row(instr)
    carried_out = steps(instr)
    if len(carried_out) > 1 and carried_out[0].row.name == FLUSHING:
        return carried_out[1].row
    # A result that nobody keeps has no step; it still is a move.
    return carried_out[0].row if carried_out else _first_lane_row()


def warp_row(instr: Instr) -> WarpRow:
    row = warp_rows().get(warp_name(instr) or "")
    if row is None:
        raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)
    return row


def _first_lane_row() -> LaneRow:
    return lane_rows()["mov.b32"]


def all_rows() -> tuple[Row, ...]:
    """Lane rows in the order of `vm/lane_rows.inc`, then warp rows."""
    return (*lane_rows().values(), *warp_rows().values())
