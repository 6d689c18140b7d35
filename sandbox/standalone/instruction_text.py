"""An instruction and its operands as text again, and what the bits of an operand mean to it."""

from __future__ import annotations

import re
import struct

from warpsmith.sandbox.emulator.program import (
    Address,
    ByLane,
    Immediate,
    Instr,
    Not,
    Operand,
    Pair,
    Register,
    Sink,
    Special,
    Symbol,
    Vector,
)

_NUMBER = re.compile(r"[a-z]+?(\d+)(x2)?$")
_LARGE = 1_000_000
"""Integers from here on are shown in hexadecimal too."""


def spelled(instr: Instr) -> str:
    """The instruction as PTX."""
    guard = ""
    if instr.guard is not None:
        guard = f"@{'!' if instr.guard.negated else ''}{instr.guard.register.name} "
    return f"{guard}{instr.text} {', '.join(operand_text(item) for item in instr.operands)}".rstrip()


def operand_text(operand: Operand) -> str:
    """An operand as PTX, addresses in brackets."""
    match operand:
        case Register() | Special():
            return operand.name
        case Immediate(bits=bits, type="f32"):
            return repr(_floating(bits, "f32"))
        case Immediate(bits=bits, type="f64"):
            return repr(_floating(bits, "f64"))
        case Immediate(bits=bits):
            return str(bits - (1 << 64) if bits >> 63 else bits)
        case Symbol():
            return operand.name + (f"+{operand.offset}" if operand.offset else "")
        case Address():
            offset = f"{operand.offset:+d}" if operand.offset else ""
            return f"[{operand_text(operand.base)}{offset}]"
        case Vector():
            return "{" + ", ".join(operand_text(item) for item in operand.items) + "}"
        case Pair():
            return f"{operand_text(operand.first)}|{operand_text(operand.second)}"
        case Sink():
            return "_"
        case Not():
            return f"!{operand.register.name}"
        case ByLane():
            return " or ".join(dict.fromkeys(operand_text(item) for item in operand.operands.values()))


def meaning(bits: int, kind: str) -> str:
    """What bits say as a value of a PTX type: `1.5`, `-3`, `true`, `(0.5, 2.0)`."""
    if kind == "pred":
        return "true" if bits & 1 else "false"
    if kind in ("f16x2", "bf16x2"):
        low, high = (_floating(part, kind[:-2]) for part in (bits & 0xFFFF, bits >> 16))
        return f"({low:.5g}, {high:.5g})"
    if kind in ("f16", "bf16", "f32", "f64", "tf32"):
        value = _floating(bits, kind)
        return repr(value) if kind == "f64" else f"{value:.9g}" if kind in ("f32", "tf32") else f"{value:.5g}"
    width = width_of(kind)
    bits &= (1 << width) - 1
    if kind[0] == "s" and bits >> (width - 1):
        return str(bits - (1 << width))
    return str(bits) if bits < _LARGE else f"{bits:#x}"


def kind_of(instr: Instr, operand: Operand, *, written: bool) -> str:
    """The type an instruction gives an operand: its own words first, then the register's declaration."""
    declared = operand.type if isinstance(operand, Register | Immediate) else "u32"
    if isinstance(operand, Not) or declared == "pred":
        return "pred"
    types = [word for word in instr.modifiers if _NUMBER.match(word) and word[0] in "bfsut" and word != "b128"]
    kind = types[-1] if types else declared
    if written and len(types) > 1 and instr.opcode in ("cvt", "set", "mma", "wmma"):
        kind = types[0]
    if instr.opcode in ("mma", "wmma") or declared in ("f32", "f64"):
        kind = declared
    if isinstance(operand, Register) and width_of(kind) != width_of(operand.type):
        kind = (kind[0] if kind[0] in "su" else "u") + str(width_of(operand.type))
    return kind


def width_of(kind: str) -> int:
    """Bits of a PTX type."""
    found = _NUMBER.match(kind)
    if kind == "pred" or found is None:
        return 1 if kind == "pred" else 32
    return 32 if kind == "tf32" else int(found[1]) * (2 if found[2] else 1)


def _floating(bits: int, kind: str) -> float:
    if kind == "bf16":
        bits, kind = (bits & 0xFFFF) << 16, "f32"
    code, letter = {"f16": ("<H", "<e"), "f32": ("<I", "<f"), "tf32": ("<I", "<f"), "f64": ("<Q", "<d")}[kind]
    size = struct.calcsize(code)
    (value,) = struct.unpack(letter, struct.pack(code, bits & ((1 << 8 * size) - 1)))
    return float(value)
