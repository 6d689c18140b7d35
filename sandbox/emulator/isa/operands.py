"""Whether an instruction has the operands that its row reads: what ptxas would refuse must reach no handler."""

from __future__ import annotations

from ..machine import UnsupportedInstruction
from ..program import Address, Instr, Operand, Register, Vector
from .fragments import ELEMENTS, Fragment
from .matrix import fragments_of, wmma_fragment
from .product_words import Shape, product, quad_registers, quads_name
from .state import LANES

COUNTS: dict[str, tuple[int, int]] = {
    "ld": (2, 3), "ldu": (2, 3), "st": (2, 3), "atom": (3, 5), "red": (2, 3), "ldmatrix": (2, 2), "stmatrix": (2, 2),
    "shfl": (5, 5), "vote": (3, 3), "match": (3, 3), "redux": (3, 3), "elect": (2, 2), "activemask": (1, 1),
    "bar": (1, 4), "barrier": (1, 4), "mma": (4, 6), "mbarrier": (1, 4), "brx": (2, 2), "call": (1, 3),
}  # fmt: skip
"""Opcode -> fewest and most operands."""
COPIES = ("ca", "cg")


def check(instr: Instr) -> None:
    """Refuse an instruction with too few or too many operands, or with fragments of another size than its shape's.

    Raises:
        UnsupportedInstruction: it does.
    """
    count = len(instr.operands)
    least, most = COUNTS.get(instr.opcode, (0, count))
    if instr.opcode == "cp" and set(COPIES) & set(instr.modifiers):
        least, most = 3, 5
    if instr.opcode == "cp" and not set(COPIES) & set(instr.modifiers):
        least, most = (1, 1) if {"mbarrier", "wait_group"} & set(instr.modifiers) else (0, 0)
    if instr.opcode == "mma" and "sync" not in instr.modifiers[:1]:
        least = 6
    if instr.opcode in ("atom", "red") and "cas" in instr.modifiers:
        least += 1
    if not least <= count <= most:
        raise UnsupportedInstruction(f"{instr.text} with {count} operands", instr.line, instr.ptx_line)
    if any(map(_is_wide, instr.operands)):
        raise UnsupportedInstruction(f"a 128-bit register in {instr.text}", instr.line, instr.ptx_line)
    for operand, size in zip(instr.operands, fragments(instr), strict=False):
        if size is not None and registers(operand) != size:
            message = f"{instr.text} with {registers(operand)} registers where {size} stand"
            raise UnsupportedInstruction(message, instr.line, instr.ptx_line)


def _is_wide(operand: Operand) -> bool:
    """Whether it names a 128-bit register, which the parser leaves only where an instruction has no form for it."""
    if isinstance(operand, Vector):
        return any(map(_is_wide, operand.items))
    place = operand.base if isinstance(operand, Address) else operand
    return isinstance(place, Register) and place.type == "b128"


def registers(operand: Operand) -> int:
    return len(operand.items) if isinstance(operand, Vector) else 1


def fragments(instr: Instr) -> tuple[int | None, ...]:
    """Registers of each operand of a matrix instruction, None where it is something else."""
    words = instr.modifiers
    if instr.opcode == "wmma" and words[0] in ("load", "store"):
        part, shape = words[1], Shape.parse(words[5])
        size = _held(wmma_fragment(part, words[-1], shape.m, shape.n, shape.k), part, "wmma")
        return (size,) if words[0] == "load" else (None, size)
    if instr.opcode == "mma" and quads_name(words) is not None:
        return quad_registers(words)
    named = product(words) if instr.opcode in ("mma", "wmma") else None
    if named is None:
        return ()
    parts = fragments_of(named, wmma=instr.opcode == "wmma")
    return tuple(_held(parts[part], part, instr.opcode) for part in "dabc")


def _held(fragment: Fragment, part: str, opcode: str) -> int:
    """Those of wmma's f16 factors are eight whatever the shape: elements lie in several."""
    if opcode == "wmma" and part in "ab" and fragment.element is ELEMENTS["f16"]:
        return 8
    return max(1, fragment.rows * fragment.columns // LANES // fragment.element.per_register)
