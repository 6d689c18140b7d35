"""Whether an instruction has the operands that its row reads: what ptxas would refuse must reach no handler."""

from __future__ import annotations

import re

from ..machine import UnsupportedInstruction
from ..program import Instr, Operand, Vector

COUNTS: dict[str, tuple[int, int]] = {
    "ld": (2, 3), "ldu": (2, 3), "st": (2, 3), "atom": (3, 5), "red": (2, 3), "ldmatrix": (2, 2), "stmatrix": (2, 2),
    "shfl": (5, 5), "vote": (3, 3), "match": (3, 3), "redux": (3, 3), "elect": (2, 2), "activemask": (1, 1),
    "bar": (1, 4), "barrier": (1, 4), "mma": (4, 6), "brx": (2, 2), "call": (1, 3),
}  # fmt: skip
"""Opcode -> fewest and most operands."""
COPIES = ("ca", "cg")
BITS = {"f16": 16, "bf16": 16, "tf32": 32, "f32": 32, "f64": 64, "s32": 32, "s8": 8, "u8": 8, "s4": 4, "u4": 4, "b1": 1}
"""Of a matrix element; f64 elements have registers of their own size."""
LANES, REGISTER_BITS = 32, 32
SHAPE = re.compile(r"m(\d{1,2})n(\d{1,2})k(\d{1,3})")


def check(instr: Instr) -> None:
    """Refuse an instruction with too few or too many operands, or with fragments of another size than its shape's.

    Raises:
        UnsupportedInstruction: it does.
    """
    count = len(instr.operands)
    least, most = COUNTS.get(instr.opcode, (0, count))
    if instr.opcode == "cp" and set(COPIES) & set(instr.modifiers):
        least, most = 3, 5
    if instr.opcode in ("atom", "red") and "cas" in instr.modifiers:
        least += 1
    if not least <= count <= most:
        raise UnsupportedInstruction(f"{instr.text} with {count} operands", instr.line, instr.ptx_line)
    for operand, size in zip(instr.operands, fragments(instr), strict=False):
        if size is not None and registers(operand) != size:
            message = f"{instr.text} with {registers(operand)} registers where {size} stand"
            raise UnsupportedInstruction(message, instr.line, instr.ptx_line)


def registers(operand: Operand) -> int:
    return len(operand.items) if isinstance(operand, Vector) else 1


def fragments(instr: Instr) -> tuple[int | None, ...]:
    """Registers of each operand of a dense matrix instruction, where known; nothing for other instructions."""
    words = instr.modifiers
    shape = next((extents(match) for word in words if (match := SHAPE.fullmatch(word))), None)
    if shape is None or instr.opcode not in ("mma", "wmma"):
        return ()
    m, n, k = shape
    areas = {"a": m * k, "b": k * n, "c": m * n, "d": m * n}
    kinds = [word for word in words if word in BITS]
    if words[0] in ("load", "store"):
        part = words[1] if words[1] in areas else "d"
        size = _held(kinds[-1], areas[part], "wmma" if part in "ab" else "") if kinds else None
        return (size,) if words[0] == "load" else (None, size)
    if instr.opcode == "wmma" and len(kinds) == 2:
        kinds = [kinds[0], "f16", "f16", kinds[1]]
    if len(kinds) != 4 or "sync" not in words[:2]:
        return ()
    opcodes = ("", instr.opcode, instr.opcode, "")
    return tuple(_held(kind, areas[part], name) for kind, part, name in zip(kinds, "dabc", opcodes, strict=True))


def extents(match: re.Match[str]) -> tuple[int, int, int]:
    return int(match[1]), int(match[2]), int(match[3])


def _held(kind: str, elements: int, opcode: str) -> int:
    """Registers of a fragment. Those of wmma's f16 factors are eight whatever the shape: elements lie in several."""
    if opcode == "wmma" and kind == "f16":
        return 8
    return elements * BITS[kind] // (LANES * max(BITS[kind], REGISTER_BITS))
