"""Whether an instruction has the operands that its row reads: what ptxas would refuse must reach no handler."""

from __future__ import annotations

from functools import lru_cache

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
_ANY = 1 << 30


def check(instr: Instr) -> None:
    """Refuse an instruction with too few or too many operands, or with fragments of another size than its shape's.

    Raises:
        UnsupportedInstruction: it does.
    """
    count = len(instr.operands)
    least, most = _counts(instr.opcode, instr.modifiers)
    if not least <= count <= most:
        raise UnsupportedInstruction(f"{instr.text} with {count} operands", instr.line, instr.ptx_line)
    for operand in instr.operands:
        if _is_wide(operand):
            raise UnsupportedInstruction(f"a 128-bit register in {instr.text}", instr.line, instr.ptx_line)
    if instr.opcode not in ("mma", "wmma"):
        return
    for operand, size in zip(instr.operands, fragments(instr.opcode, instr.modifiers), strict=False):
        if size is not None and registers(operand) != size:
            message = f"{instr.text} with {registers(operand)} registers where {size} stand"
            raise UnsupportedInstruction(message, instr.line, instr.ptx_line)


@lru_cache(maxsize=4096)
def _counts(opcode: str, modifiers: tuple[str, ...]) -> tuple[int, int]:
    """Fewest and most operands."""
    least, most = COUNTS.get(opcode, (0, _ANY))
    if opcode == "cp" and set(COPIES) & set(modifiers):
        least, most = 3, 5
    if opcode == "cp" and not set(COPIES) & set(modifiers):
        least, most = (1, 1) if {"mbarrier", "wait_group"} & set(modifiers) else (0, 0)
    if opcode == "mma" and "sync" not in modifiers[:1]:
        least = 6
    if opcode in ("atom", "red") and "cas" in modifiers:
        least += 1
    return least, most


def _is_wide(operand: Operand) -> bool:
    """Whether it names a 128-bit register, which the parser leaves only where an instruction has no form for it."""
    if type(operand) is Register:
        return operand.type == "b128"
    if isinstance(operand, Vector):
        return any(map(_is_wide, operand.items))
    place = operand.base if isinstance(operand, Address) else operand
    return isinstance(place, Register) and place.type == "b128"


def registers(operand: Operand) -> int:
    return len(operand.items) if isinstance(operand, Vector) else 1


@lru_cache(maxsize=1024)
def fragments(opcode: str, words: tuple[str, ...]) -> tuple[int | None, ...]:
    """Registers of each operand of a matrix instruction, None where it is something else."""
    if opcode == "wmma" and words[0] in ("load", "store"):
        part, shape = words[1], Shape.parse(words[5])
        size = _held(wmma_fragment(part, words[-1], shape.m, shape.n, shape.k), part, "wmma")
        return (size,) if words[0] == "load" else (None, size)
    if opcode == "mma" and quads_name(words) is not None:
        return quad_registers(words)
    named = product(words)
    if named is None:
        return ()
    parts = fragments_of(named, wmma=opcode == "wmma")
    return tuple(_held(parts[part], part, opcode) for part in "dabc")


def _held(fragment: Fragment, part: str, opcode: str) -> int:
    """Those of wmma's f16 factors are eight whatever the shape: elements lie in several."""
    if opcode == "wmma" and part in "ab" and fragment.element is ELEMENTS["f16"]:
        return 8
    return max(1, fragment.rows * fragment.columns // LANES // fragment.element.per_register)
