"""Scalar video instructions: `vadd`, `vshl`, `vmad`, `vset` and their kin, one row for all.

As in `video.py` the row takes the instruction's own number as an operand. Parts of registers (`%r1.b0`) come from the
parser as words behind the types, `1:b0` for the first source, and so do negations, `1:neg`.
Source: PTX ISA 9.0, "Scalar Video Instructions".
"""

from __future__ import annotations

from ..program import Immediate, Instr
from .number import clamp, signed, wrap
from .row import LaneRow, Pipe
from .video import COMPARISONS, TYPES

OPERATIONS = ("vadd", "vsub", "vabsdiff", "vmin", "vmax", "vshl", "vshr", "vmad")
OPCODES = frozenset((*OPERATIONS, "vset"))
PARTS = ("", "b0", "b1", "b2", "b3", "h0", "h1")
SECOND = ("", "add", "min", "max")
SCALES = ("", "shr7", "shr15")
"""Each is a field of the number, in this order."""
FIRST_FIELD = {"a": 4, "b": 7, "d": 10}
"""Lowest bit of an operand's part."""
SIGNED = {"a": 1 << 13, "b": 1 << 14, "d": 1 << 15}
SATURATES, SECOND_AT, WRAPS, SCALE_AT, PLUS_ONE = 1 << 16, 17, 1 << 19, 20, 1 << 22
NEGATES_PRODUCT, NEGATES_ADDEND = 1 << 23, 1 << 24
OPERANDS = {"0": "d", "1": "a", "2": "b"}
MAD_SIGNED = SIGNED["a"] | SIGNED["b"] | NEGATES_PRODUCT | NEGATES_ADDEND
"""What makes vmad's result signed."""


def code_of(instr: Instr) -> Immediate | None:
    """The number of an instruction; None where a word is unknown or does not fit the others."""
    selected = [word.split(":") for word in instr.modifiers if ":" in word]
    parts = {place: part for place, part in selected if part != "neg"}
    negated = {place for place, part in selected if part == "neg"}
    words = [word for word in instr.modifiers if ":" not in word]
    if not set(parts) <= set(OPERANDS) or not set(parts.values()) <= set(PARTS):
        return None
    code = sum(PARTS.index(part) << FIRST_FIELD[OPERANDS[place]] for place, part in parts.items())
    types = [word for word in words if word in TYPES]
    rest = [word for word in words if word not in TYPES]
    if instr.opcode == "vset":
        types = ["u32", *types]
        if not rest or rest[0] not in COMPARISONS:
            return None
        code |= len(OPERATIONS) + COMPARISONS.index(rest.pop(0))
    else:
        code |= OPERATIONS.index(instr.opcode)
    if len(types) != 3 or words[: len(types) - (instr.opcode == "vset")] != types[instr.opcode == "vset" :]:
        return None
    code |= sum(SIGNED[which] for which, kind in zip("dab", types, strict=True) if kind == "s32")
    if negated:
        code |= NEGATES_PRODUCT * (len(negated & {"1", "2"}) == 1) | NEGATES_ADDEND * ("3" in negated)
        both = code & NEGATES_PRODUCT and code & NEGATES_ADDEND
        if instr.opcode != "vmad" or "0" in negated or "po" in rest or both:
            return None
    return _with_options(instr, code, rest, merges="0" in parts, unsigned_b=types[2] == "u32")


def _with_options(instr: Instr, code: int, rest: list[str], *, merges: bool, unsigned_b: bool) -> Immediate | None:
    """The number with `.sat`, a shift's mode, vmad's scale and plus-one, and the second operation."""
    options = {"sat": SATURATES} if instr.opcode != "vset" else {}
    if instr.opcode in ("vshl", "vshr"):
        if sum(word in ("clamp", "wrap") for word in rest) != 1 or not unsigned_b:
            return None
        options |= {"clamp": 0, "wrap": WRAPS}
    if instr.opcode == "vmad":
        options |= {"po": PLUS_ONE, "shr7": 1 << SCALE_AT, "shr15": 2 << SCALE_AT}
    elif not merges:
        options |= {word: SECOND.index(word) << SECOND_AT for word in SECOND[1:]}
    if not set(rest) <= set(options) or len(set(rest)) != len(rest):
        return None
    needs_third = merges or instr.opcode == "vmad" or bool(set(rest) & set(SECOND))
    if len(instr.operands) != 3 + needs_third or (merges and instr.opcode == "vmad"):
        return None
    return Immediate(code | sum(options[word] for word in rest), "u64")


def _width(part: str) -> int:
    return {"": 32, "b": 8, "h": 16}[part[:1]]


def _taken(word: int, part: str, *, is_signed: bool) -> int:
    width = _width(part)
    bits = wrap(word >> width * int(part[1:] or 0), width)
    return signed(bits, width) if is_signed else bits


def _first(operation: int, x: int, y: int, c: int, code: int) -> int:
    if operation >= len(OPERATIONS):
        return int((x == y, x != y, x < y, x <= y, x > y, x >= y)[operation - len(OPERATIONS)])
    match OPERATIONS[operation]:
        case "vadd":
            return x + y
        case "vsub":
            return x - y
        case "vabsdiff":
            return abs(x - y)
        case "vmin":
            return min(x, y)
        case "vmax":
            return max(x, y)
        case "vmad":
            negates_addend = code & NEGATES_ADDEND and not code & NEGATES_PRODUCT
            product = -x * y if code & NEGATES_PRODUCT else x * y
            # A negated addend is extended after its complement is taken, as the ISA has it.
            addend = wrap(~c, 32) if negates_addend else c
            addend = signed(addend, 32) if code & MAD_SIGNED else addend
            scale = SCALES[code >> SCALE_AT & 3]
            return (product + addend + bool(code & PLUS_ONE) + bool(negates_addend)) >> int(scale[3:] or 0)
        case shift:
            by = y & 31 if code & WRAPS else min(y, 32) if y >= 0 else 32
            return x << by if shift == "vshl" else x >> by


def scalar_video(a: int, b: int, c: int, code: int) -> int:
    """Parts of a and b, the operation, saturation to d's part, then a second operation with c or a merge into it."""
    # Numbers that no instruction has mean the same here and in the VM.
    operation = min(code & 15, len(OPERATIONS) + len(COMPARISONS) - 1)
    code = code & ~(1 << SCALE_AT) if code >> SCALE_AT & 3 == 3 else code
    parts = {which: PARTS[min(code >> at & 7, len(PARTS) - 1)] for which, at in FIRST_FIELD.items()}
    x = _taken(a, parts["a"], is_signed=bool(code & SIGNED["a"]))
    y = _taken(b, parts["b"], is_signed=bool(code & SIGNED["b"]))
    result_signed = bool(code & SIGNED["d"])
    if OPERATIONS[operation : operation + 1] == ("vmad",):
        result_signed = bool(code & MAD_SIGNED)
    value = _first(operation, x, y, c, code)
    width = _width(parts["d"])
    if code & SATURATES:
        low = -(1 << (width - 1)) if result_signed else 0
        value = clamp(value, low, (1 << (width - result_signed)) - 1)
    if parts["d"]:
        at = width * int(parts["d"][1:])
        return c & ~((1 << width) - 1 << at) & 0xFFFFFFFF | wrap(value, width) << at
    third = signed(c, 32) if result_signed else c
    value = (value, value + third, min(value, third), max(value, third))[code >> SECOND_AT & 3]
    return wrap(value, 32)


ROWS: tuple[LaneRow, ...] = (
    LaneRow("video.scalar.b32", "u32", ("u32",) * 4, scalar_video, "scalar_video(a, b, c, d)", Pipe.ALU),
)
