"""SIMD video instructions: `vadd2`, `vabsdiff4`, `vset4` and their kin, one row for all.

They are rare (no machine since Kepler has most of them in hardware), so that the row takes the instruction's own number
as an operand: operation, width, signs, saturation, sum, and what the destination's mask (`d.b20`) leaves out. A
source's selector (`a.b0123`, any of both sources' parts) is a `prmt` before it.
Source: PTX ISA 9.0, "Video Instructions".
"""

from __future__ import annotations

from ..program import Immediate, Instr
from .number import clamp, signed, wrap
from .row import LaneRow, Pipe

OPERATIONS = ("vadd", "vsub", "vavrg", "vabsdiff", "vmin", "vmax")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
OPCODES = frozenset(f"{name}{parts}" for name in (*OPERATIONS, "vset") for parts in (2, 4))
BYTES, SIGNED_A, SIGNED_B, SIGNED_D, SUM, SATURATES = (1 << bit for bit in range(4, 10))
LEFT_OUT_AT = 10
"""Lowest of the bits that say which parts the mask leaves out."""
TYPES = ("u32", "s32")


def code_of(instr: Instr) -> Immediate | None:
    """The number of an instruction; None where a word is unknown."""
    name, words = instr.opcode[:-1], [word for word in instr.modifiers if ":" not in word]
    code = BYTES * (instr.opcode[-1] == "4")
    mask = parts_of(instr, "0")
    if mask is not None:
        if not mask or sorted(set(mask), reverse=True) != list(mask) or len(instr.operands) != 4:
            return None
        code |= sum(1 << LEFT_OUT_AT + part for part in range(int(instr.opcode[-1])) if part not in mask)
    extra = words.pop() if words and words[-1] in ("sat", "add") else ""
    code |= SUM * (extra == "add") | SATURATES * (extra == "sat")
    if name == "vset":
        if len(words) != 3 or words[2] not in COMPARISONS or extra == "sat":
            return None
        code |= len(OPERATIONS) + COMPARISONS.index(words.pop())
        words = ["u32", *words]
    else:
        code |= OPERATIONS.index(name)
    if len(words) != 3 or not set(words) <= set(TYPES):
        return None
    flags = (SIGNED_D, SIGNED_A, SIGNED_B)
    code |= sum(flag for flag, word in zip(flags, words, strict=True) if word == "s32")
    return Immediate(code, "u64")


def parts_of(instr: Instr, operand: str) -> tuple[int, ...] | None:
    """The parts of `d.b20` or `a.h32`, as they are written; None where the operand stands alone.

    A word that means nothing gives no parts at all.
    """
    count = int(instr.opcode[-1])
    for word in instr.modifiers:
        place, _, text = word.partition(":")
        if place == operand and text:
            digits = text[1:]
            most = count if operand == "0" else 2 * count
            known = text[0] == {2: "h", 4: "b"}[count] and digits.isdigit() and all(int(d) < most for d in digits)
            return tuple(int(digit) for digit in digits) if known else ()
    return None


def selector_of(instr: Instr, operand: str) -> int | None:
    """Of a source with a selector, that of the `prmt` which gives it its parts; None where the word means nothing."""
    count = int(instr.opcode[-1])
    parts = parts_of(instr, operand)
    if parts is None or len(parts) != count:
        return None
    size = 4 // count
    places = [part * size + byte for part in reversed(parts) for byte in range(size)]
    return sum(place << 4 * at for at, place in enumerate(places))


def _one(operation: int, x: int, y: int) -> int:
    if operation >= len(OPERATIONS):
        name = COMPARISONS[operation - len(OPERATIONS)]
        return int({"eq": x == y, "ne": x != y, "lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y}[name])
    match OPERATIONS[operation]:
        case "vadd":
            return x + y
        case "vsub":
            return x - y
        case "vavrg":
            # Halves are rounded away from zero.
            return x + y + (x + y >= 0) >> 1
        case "vabsdiff":
            return abs(x - y)
        case "vmin":
            return min(x, y)
        case _:
            return max(x, y)


def video(a: int, b: int, c: int, code: int) -> int:
    """Lane by lane; `.add` gives the sum of all and c, other forms put each result in its place."""
    width = 8 if code & BYTES else 16
    # A number beyond the comparisons means the last one, as the VM has it.
    operation = min(code & 15, len(OPERATIONS) + len(COMPARISONS) - 1)
    low = -(1 << (width - 1)) if code & SIGNED_D else 0
    high = (1 << (width - bool(code & SIGNED_D))) - 1
    result = c if code & SUM else 0
    for part, shift in enumerate(range(0, 32, width)):
        if code >> LEFT_OUT_AT + part & 1:
            result |= 0 if code & SUM else c & (1 << width) - 1 << shift
            continue
        x, y = (wrap(word >> shift, width) for word in (a, b))
        x = signed(x, width) if code & SIGNED_A else x
        y = signed(y, width) if code & SIGNED_B else y
        value = _one(operation, x, y)
        if code & SATURATES:
            value = clamp(value, low, high)
        result += value if code & SUM else wrap(value, width) << shift
    return wrap(result, 32)


ROWS: tuple[LaneRow, ...] = (LaneRow("video.b32", "u32", ("u32",) * 4, video, "video(a, b, c, d)", Pipe.ALU),)
