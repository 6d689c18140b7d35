"""Conversions whose words are more than one row: a rounding, then what bounds its result.

`.sat`, `.relu` and `.satfinite` act on the result, `.ftz` on a binary32 operand or result, so that each is a step of
its own: `cvt.rm.ftz.sat.f32.s64` is a conversion and a saturation.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..program import Instr, Operand, Register
from .lanes import lane_rows
from .spelling import FLOAT_TYPES, INTEGRAL_ROUNDINGS, ROUNDINGS, name_of
from .step import Scratch, Source, Step, row_for

NARROW = ("f16", "bf16", "f16x2", "bf16x2")
_TYPES = 2


def conversion_steps(instr: Instr, target: Operand, sources: list[Operand]) -> Iterator[Step]:
    """The rows of one `cvt`.

    Raises:
        UnsupportedInstruction: no rows make it up.
    """
    name = name_of("cvt", instr.modifiers)
    if name in lane_rows():
        yield from _kept(instr, [name], target, tuple(sources))
        return
    if len(instr.modifiers) < _TYPES:
        row_for(instr, name)
    *words, kind, source = instr.modifiers
    before, after = [], []
    if "ftz" in words and source == "f32":
        before.append("cvt.ftz.f32.f32")
    if "ftz" in words and kind == "f32":
        after.append("cvt.ftz.f32.f32")
    if "satfinite" in words and kind in NARROW:
        after.append(f"cvt.satfinite.{kind}.{kind}")
    if "relu" in words:
        after.append(f"cvt.relu.{kind}.{kind}")
    if "sat" in words and kind in FLOAT_TYPES:
        after.append(f"cvt.sat.{kind}.{kind}")
    rounding = tuple(w for w in words if w in ROUNDINGS | INTEGRAL_ROUNDINGS)
    names = [*before, *_plain(kind, source, rounding, len(sources)), *after]
    yield from _kept(instr, names or [name], target, tuple(sources))


def _plain(kind: str, source: str, rounding: tuple[str, ...], operands: int) -> list[str]:
    """The conversion without what bounds it."""
    if (kind, source) in (("f16", "bf16"), ("bf16", "f16")):
        return [f"cvt.f32.{source}", f"cvt.{(*rounding, 'rn')[0]}.{kind}.f32"]
    if source in ("f16", "bf16") and kind in ("f32", "f64"):
        # Exact, whatever the rounding.
        return [f"cvt.{kind}.{source}"]
    if kind == source and not rounding and operands == 1:
        return []
    return [name_of("cvt", (*rounding, kind, source))]


def _kept(instr: Instr, names: list[str], target: Operand, sources: tuple[Source, ...]) -> Iterator[Step]:
    rows = [row_for(instr, name) for name in names]
    for row in rows[:-1]:
        yield Step(row, Scratch(0), sources)
        sources = (Scratch(0),)
    if isinstance(target, Register):
        yield Step(rows[-1], target, sources)
