"""Literals and constant expressions. Source: PTX ISA 9.0, section 4.5 "Constants"."""

from __future__ import annotations

import struct
from functools import lru_cache

from warpsmith.sandbox.emulator.program import Immediate
from warpsmith.sandbox.emulator.ptx.lexer import NUMBER, WORD, Cursor

MASK = (1 << 64) - 1
MAX_DEPTH = 32
MAX_DIGITS = 80
_PRECEDENCE = {"|": 1, "^": 2, "&": 3, "<<": 4, ">>": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6}


def number(cursor: Cursor) -> Immediate:
    """Take one literal without a sign."""
    word = cursor.words[cursor.at]
    if cursor.kinds[cursor.at] == WORD and word == "WARP_SZ":
        cursor.at += 1
        return Immediate(32, "s64")
    if cursor.kinds[cursor.at] != NUMBER:
        raise cursor.unexpected("a number")
    value = _literal(word)
    if not isinstance(value, Immediate):
        raise cursor.error(value)
    cursor.at += 1
    return value


@lru_cache(maxsize=1 << 12)
def _literal(word: str) -> Immediate | str:
    """What a number means, or why it means nothing. Few different ones make up a text."""
    if len(word) > MAX_DIGITS:
        return "this literal is too long"
    prefix = word[:2].lower()
    if prefix == "0f":
        return Immediate(int(word[2:], 16), "f32")
    if prefix == "0d":
        return Immediate(int(word[2:], 16), "f64")
    if prefix != "0x" and any(mark in word for mark in ".eE"):
        return Immediate(int.from_bytes(struct.pack("<d", float(word)), "little"), "f64")
    return _integer(word)


def _integer(word: str) -> Immediate | str:
    unsigned = word.endswith("U")
    digits = word[:-1] if unsigned else word
    if digits[:2] in ("0x", "0X"):
        base = 16
    elif digits[:2] in ("0b", "0B"):
        base = 2
    else:
        base = 8 if digits[0] == "0" and len(digits) > 1 else 10
    if base == 8 and ("8" in digits or "9" in digits):
        return f"{word} is not an octal number"
    bits = int(digits, base)
    if bits > MASK:
        return f"{word} does not fit 64 bits"
    return Immediate(bits, "u64" if unsigned or bits >> 63 else "s64")


def constant(cursor: Cursor, depth: int = 0) -> Immediate:
    """Take a literal, `-literal`, or an integer expression in parentheses."""
    if depth > MAX_DEPTH:
        raise cursor.error("this expression is nested too deeply")
    if cursor.kinds[cursor.at] == NUMBER:
        return number(cursor)
    if cursor.take("-"):
        value = constant(cursor, depth + 1)
        if value.type == "f32":
            return Immediate(value.bits ^ 1 << 31, "f32")
        if value.type == "f64":
            return Immediate(value.bits ^ 1 << 63, "f64")
        return Immediate(-value.bits & MASK, value.type)
    if cursor.take("~"):
        return Immediate(~_whole(cursor, constant(cursor, depth + 1)) & MASK, "s64")
    if cursor.take("!"):
        return Immediate(int(not _whole(cursor, constant(cursor, depth + 1))), "s64")
    if cursor.take("("):
        value = expression(cursor, 1, depth + 1)
        cursor.expect(")")
        return value
    return number(cursor)


def expression(cursor: Cursor, least: int = 1, depth: int = 0) -> Immediate:
    """Take an integer expression whose operators bind at least as strongly as `least`."""
    value = constant(cursor, depth)
    while (strength := _PRECEDENCE.get(cursor.words[cursor.at], 0)) >= least:
        operator = cursor.words[cursor.at]
        cursor.at += 1
        right = expression(cursor, strength + 1, depth + 1)
        value = _combine(cursor, operator, value, right)
    return value


def _whole(cursor: Cursor, value: Immediate) -> int:
    if value.type not in ("s64", "u64"):
        raise cursor.error("an integer is needed here")
    return value.bits


def floating(value: Immediate) -> float:
    """The number a floating-point literal means."""
    form, size = ("<f", 4) if value.type == "f32" else ("<d", 8)
    (number,) = struct.unpack(form, value.bits.to_bytes(8, "little")[:size])
    return float(number)


def signed(value: Immediate) -> int:
    """The number an integer literal means, as C would print it."""
    return value.bits - (1 << 64) if value.type == "s64" and value.bits >> 63 else value.bits


def _combine(cursor: Cursor, operator: str, left: Immediate, right: Immediate) -> Immediate:
    _whole(cursor, left)
    _whole(cursor, right)
    kind = "u64" if "u64" in (left.type, right.type) else "s64"
    a, b = signed(Immediate(left.bits, kind)), signed(Immediate(right.bits, kind))
    if operator in ("/", "%"):
        if b == 0:
            raise cursor.error("division by zero")
        # C truncates towards zero, Python floors.
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        result = quotient if operator == "/" else a - b * quotient
    elif operator in ("<<", ">>"):
        count = min(right.bits, 64)
        result = a << count if operator == "<<" else a >> count
    else:
        result = {
            "+": a + b,
            "-": a - b,
            "*": a * b,
            "&": a & b,
            "|": a | b,
            "^": a ^ b,
        }[operator]
    return Immediate(result & MASK, kind)
