"""SIMD video instructions: `vadd2`, `vabsdiff4`, `vset4` and their kin, one row for all.

They are rare (no machine since Kepler has most of them in hardware), so that the row takes the instruction's own number
as an operand: operation, width, signs, saturation, sum. Byte masks and selectors (`vadd4 d.b20, …`) have no row.
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
TYPES = ("u32", "s32")


def code_of(instr: Instr) -> Immediate | None:
    """The number of an instruction; None where a word is unknown."""
    name, words = instr.opcode[:-1], list(instr.modifiers)
    code = BYTES * (instr.opcode[-1] == "4")
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
    for shift in range(0, 32, width):
        x, y = (wrap(word >> shift, width) for word in (a, b))
        x = signed(x, width) if code & SIGNED_A else x
        y = signed(y, width) if code & SIGNED_B else y
        value = _one(operation, x, y)
        if code & SATURATES:
            value = clamp(value, low, high)
        result += value if code & SUM else wrap(value, width) << shift
    return wrap(result, 32)


ROWS: tuple[LaneRow, ...] = (LaneRow("video.b32", "u32", ("u32",) * 4, video, "video(a, b, c, d)", Pipe.ALU),)
