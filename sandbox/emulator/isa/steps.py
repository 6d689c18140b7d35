"""A lane instruction as a short sequence of rows over its operands: what both executors carry out.

Most instructions are one step. Compound ones are several, through scratch values that live for the
instruction alone: `setp.lt.and.s32 p|q, a, b, c` is a comparison and three predicate steps. A guard holds for all.

Widths: a source is truncated to its row's argument type; a result is extended to the target register, by sign if the
row's result is `s…`, else with zeros (PTX ISA, "Operand Size Exceeding Instruction-Type Size").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from ..machine import UnsupportedInstruction
from ..program import Immediate, Instr, Operand, Pair, Register, Sink, Vector
from . import scalar_video
from .lanes import lane_rows
from .number import FORMATS
from .row import LaneRow
from .spelling import FLOAT_TYPES, name_of
from .step import Scratch, Source, Step, Target, row_for
from .steps_carry import carry_steps, uses_carry
from .steps_convert import conversion_steps
from .video import OPCODES, code_of, parts_of, selector_of

__all__ = ["Scratch", "Source", "Step", "Target", "is_lane_instruction", "one_step", "steps"]

SCRATCHES = 4
"""An instruction needs at most this many scratch values."""


def steps(instr: Instr) -> tuple[Step, ...]:
    """The rows that carry out `instr`; empty where nobody keeps the result.

    Floating literals come out as bits of the type they are used as.

    Raises:
        UnsupportedInstruction: no row has its name, or it has other operands than its row.
    """
    row = one_step(instr)
    if row is not None:
        target, *sources = instr.operands
        assert isinstance(target, Register)
        return (Step(row, target, tuple(sources)),)
    found = tuple(_steps(instr)) if len(instr.operands) > 1 else ()
    if not found and (len(instr.operands) < 2 or not isinstance(instr.operands[0], (Sink, Vector, Pair))):
        raise _malformed(instr)
    if any(len(step.sources) != len(step.row.args) for step in found):
        raise _malformed(instr)
    return tuple(_with_literals(instr, step) for step in found)


def one_step(instr: Instr) -> LaneRow | None:
    """The row whose sources are the operands behind the first, as they stand; None where it takes a closer look."""
    row = _row_of_all(instr.opcode, instr.modifiers)
    return row if row is not None and _as_they_stand(row, instr.operands) else None


_COMPOUND = frozenset(("cvt", "setp", "set", "addc", "subc", "madc", *OPCODES, *scalar_video.OPCODES))


@lru_cache(maxsize=4096)
def _row_of_all(opcode: str, modifiers: tuple[str, ...]) -> LaneRow | None:
    """The row of an instruction that is one step, whatever its operands are; None where it takes a closer look."""
    if opcode in _COMPOUND or "cc" in modifiers or (opcode == "lop3" and len(modifiers) == 2):
        return None
    return lane_rows().get(name_of(opcode, modifiers))


def _as_they_stand(row: LaneRow, operands: tuple[Operand, ...]) -> bool:
    """Whether the operands are the row's, with nothing to take apart and no floating literal."""
    if len(operands) != len(row.args) + 1 or type(operands[0]) is not Register:
        return False
    for operand in operands:
        kind = type(operand)
        if kind is not Register and (kind is Vector or (kind is Immediate and operand.type[0] == "f")):  # type: ignore[union-attr]
            return False
    return True


def _malformed(instr: Instr) -> UnsupportedInstruction:
    return UnsupportedInstruction(f"{instr.text} with {len(instr.operands)} operands", instr.line, instr.ptx_line)


def _with_literals(instr: Instr, step: Step) -> Step:
    if not any(isinstance(source, Immediate) and source.type in ("f32", "f64") for source in step.sources):
        return step
    sources = (_literal(instr, s, kind) for s, kind in zip(step.sources, step.row.args, strict=True))
    return replace(step, sources=tuple(sources))


def _literal(instr: Instr, source: Source, kind: str) -> Source:
    """`1.5` is an f64 literal in the text whatever the instruction's type."""
    if not isinstance(source, Immediate) or source.type not in ("f32", "f64"):
        return source
    wanted = kind if kind in FORMATS else instr.modifiers[-1]
    if wanted not in ("f32", "f64") or wanted == source.type:
        return source
    return Immediate(FORMATS[source.type].convert(source.bits, FORMATS[wanted]), wanted)


def is_lane_instruction(instr: Instr) -> bool:
    return instr.opcode in _LANE_OPCODES


def _steps(instr: Instr) -> Iterator[Step]:
    target, *sources = instr.operands
    if uses_carry(instr):
        yield from carry_steps(instr)
    elif instr.opcode == "cvt":
        yield from conversion_steps(instr, target, sources)
    elif instr.opcode in OPCODES or instr.opcode in scalar_video.OPCODES:
        yield from _video(instr, target, sources)
    elif instr.opcode == "lop3" and len(instr.modifiers) == 2:
        yield from _logic_with_predicate(instr, target, sources)
    elif instr.opcode == "setp":
        yield from _comparison(instr, target, sources)
    elif instr.opcode == "set":
        yield from _set(instr, target, sources)
    elif instr.opcode == "mov" and isinstance(target, Vector):
        yield from _unpack(instr, target, sources[0])
    elif instr.opcode == "mov" and isinstance(sources[0], Vector):
        yield from _pack(instr, target, sources[0])
    else:
        yield from _keep(row_for(instr, name_of(instr.opcode, instr.modifiers)), target, sources)


def _video(instr: Instr, target: Operand, sources: list[Operand]) -> Iterator[Step]:
    """d, a, b{, c}: c counts for what comes behind the operation alone."""
    scalar = instr.opcode in scalar_video.OPCODES
    code = scalar_video.code_of(instr) if scalar else code_of(instr)
    if code is None or len(sources) not in (2, 3):
        raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)
    third = sources[2] if len(sources) == 3 else Immediate(0, "u64")
    row = row_for(instr, "video.scalar.b32" if scalar else "video.b32")
    parted: list[Source] = list(sources[:2])
    for at, operand in enumerate("12"):
        if scalar or parts_of(instr, operand) is None:
            continue
        selector = selector_of(instr, operand)
        if selector is None:
            raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)
        yield Step(row_for(instr, "prmt.b32"), Scratch(at), (*sources[:2], Immediate(selector, "u64")))
        parted[at] = Scratch(at)
    yield from _step_keep(row, target, (*parted, third, code))


def _logic_with_predicate(instr: Instr, target: Operand, sources: list[Operand]) -> Iterator[Step]:
    """lop3.BoolOp.b32 d|p, a, b, c, table, q: p is (d != 0) BoolOp q."""
    if not isinstance(target, Pair) or instr.modifiers[0] not in ("or", "and") or len(sources) != 5:
        raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)
    yield Step(row_for(instr, "lop3.b32"), Scratch(0), tuple(sources[:4]))
    yield Step(row_for(instr, "setp.ne.b32"), Scratch(1), (Scratch(0), Immediate(0, "u64")))
    yield Step(row_for(instr, f"{instr.modifiers[0]}.pred"), Scratch(1), (Scratch(1), sources[4]))
    yield from _step_keep(row_for(instr, "mov.b32"), target.first, (Scratch(0),))
    yield from _step_keep(row_for(instr, "mov.pred"), target.second, (Scratch(1),))


def _keep(row: LaneRow, target: Operand | Scratch, sources: list[Operand]) -> Iterator[Step]:
    if isinstance(target, (Register, Scratch)):
        yield Step(row, target, tuple(sources))


def _whole_width(instr: Instr) -> int:
    digits = instr.modifiers[-1][1:] if instr.modifiers else ""
    if not digits.isdecimal():
        raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)
    return int(digits)


def _unpack(instr: Instr, target: Vector, source: Operand) -> Iterator[Step]:
    whole, count = _whole_width(instr), len(target.items)
    for i, item in enumerate(target.items):
        row = row_for(instr, f"mov.unpack.b{whole}.b{whole // count}.{i}")
        yield from _keep(row, item, [source])


def _pack(instr: Instr, target: Operand, source: Vector) -> Iterator[Step]:
    whole, count = _whole_width(instr), len(source.items)
    row = row_for(instr, f"mov.pack.b{whole}.b{whole // count}x{count}")
    yield from _keep(row, target, list(source.items))


def _halves(instr: Instr, sources: list[Operand]) -> tuple[list[Step], list[list[Scratch]]]:
    """Both operands taken apart into scratches: ([steps], [[a.low, b.low], [a.high, b.high]])."""
    taken, parts = [], []
    for half in range(2):
        row = row_for(instr, f"mov.unpack.b32.b16.{half}")
        scratches = [Scratch(2 * half), Scratch(2 * half + 1)]
        taken += [Step(row, s, (x,)) for s, x in zip(scratches, sources, strict=True)]
        parts.append(scratches)
    return taken, parts


def _comparison(instr: Instr, target: Operand, sources: list[Operand]) -> Iterator[Step]:
    kind = instr.modifiers[-1]
    pair = target if isinstance(target, Pair) else None
    if kind in ("f16x2", "bf16x2"):
        if pair is None or len(sources) != 2:
            raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)
        taken, parts = _halves(instr, sources)
        yield from taken
        row = row_for(instr, name_of("setp", (*instr.modifiers[:-1], kind[:-2])))
        for part, kept in zip(parts, (pair.first, pair.second), strict=True):
            yield from _step_keep(row, kept, tuple(part))
        return
    row = row_for(instr, name_of("setp", instr.modifiers))
    if pair is None and len(sources) == 2:
        yield from _keep(row, target, sources)
        return
    first, second = (pair.first, pair.second) if pair else (target, Sink())
    yield Step(row, Scratch(0), tuple(sources[:2]))
    yield Step(row_for(instr, "not.pred"), Scratch(1), (Scratch(0),))
    if len(sources) == 2:
        copy = row_for(instr, "mov.pred")
        yield from _step_keep(copy, first, (Scratch(0),))
        yield from _step_keep(copy, second, (Scratch(1),))
        return
    # The third source may be the register of the first result: both combinations before either is kept.
    combine = row_for(instr, f"{instr.modifiers[1]}.pred")
    yield Step(combine, Scratch(2), (Scratch(0), sources[2]))
    yield Step(combine, Scratch(3), (Scratch(1), sources[2]))
    copy = row_for(instr, "mov.pred")
    yield from _step_keep(copy, first, (Scratch(2),))
    yield from _step_keep(copy, second, (Scratch(3),))


def _step_keep(row: LaneRow, target: Operand, sources: tuple[Source, ...]) -> Iterator[Step]:
    if isinstance(target, Register):
        yield Step(row, target, sources)


def _set(instr: Instr, target: Operand, sources: list[Operand]) -> Iterator[Step]:
    """set.CMP[.BOOL][.ftz].dtype.stype d, a, b[, c]."""
    if len(instr.modifiers) < 3:
        raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)
    *comparison, kind, source_kind = instr.modifiers
    if source_kind in ("f16x2", "bf16x2"):
        if len(sources) != 2:
            raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)
        taken, parts = _halves(instr, sources)
        yield from taken
        row = row_for(instr, name_of("setp", (*comparison, source_kind[:-2])))
        yield Step(row, Scratch(0), tuple(parts[0]))
        yield Step(row, Scratch(2), tuple(parts[1]))
        spread = row_for(instr, f"set.{kind if kind in FLOAT_TYPES else 'words'}")
        yield from _step_keep(spread, target, (Scratch(0), Scratch(2)))
        return
    row = row_for(instr, name_of("setp", (*comparison, source_kind)))
    yield Step(row, Scratch(0), tuple(sources[:2]))
    if len(sources) == 3:
        yield Step(row_for(instr, f"{''.join(comparison[1:2])}.pred"), Scratch(0), (Scratch(0), sources[2]))
    spread = row_for(instr, f"set.{kind if kind in FLOAT_TYPES else 'word'}")
    yield from _step_keep(spread, target, (Scratch(0),))


_FIRST_WORDS = frozenset(name.split(".")[0] for name in lane_rows() if not name.startswith("set."))
_LANE_OPCODES = _FIRST_WORDS | OPCODES | scalar_video.OPCODES | {"set", "madc"}
