"""128-bit registers as two of 64 bits: what `mov`, `ld`, `st` and `atom` of `.b128` are to both executors.

A register of type b128 stands for its lower half, which the register table has at the same index; the upper half
follows it there. Nothing behind the parser knows more than vectors of two.
Source: PTX ISA 9.0, "128-bit Register" and the `.b128` forms of mov, ld, st and atom.
"""

from __future__ import annotations

from warpsmith.sandbox.emulator.program import Operand, Register, Vector

TYPE = "b128"
HALF = "b64"
VECTORS = frozenset(("v2", "v4", "v8"))
Words = tuple[str, ...]
Operands = tuple[Operand, ...]


def is_wide(operand: Operand) -> bool:
    return isinstance(operand, Register) and operand.type == TYPE


def halves(operand: Operand) -> Operand:
    """A 128-bit register as the vector of its halves, lower first; anything else as it is."""
    if not isinstance(operand, Register) or operand.type != TYPE:
        return operand
    lower = Register(operand.index, operand.name, HALF)
    return Vector((lower, Register(operand.index + 1, f"{operand.name}@upper", HALF)))


def expanded(opcode: str, modifiers: Words, operands: Operands) -> tuple[tuple[Words, Operands], ...]:
    """The instructions that carry out one whose last word is `b128`: their words and operands.

    Where there is no such form the words stay, and no row takes them.
    """
    taken = tuple(map(halves, operands))
    if opcode in ("ld", "ldu", "st") and not VECTORS.intersection(modifiers):
        return (((*modifiers[:-1], "v2", HALF), taken),)
    if opcode == "mov" and len(modifiers) == 1 and len(taken) == 2:
        target, source = taken
        if isinstance(target, Vector) and isinstance(source, Vector) and len(target.items) == len(source.items) == 2:
            return tuple(((HALF,), pair) for pair in zip(target.items, source.items, strict=True))
    return ((modifiers, taken),)
