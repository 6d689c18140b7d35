"""Logic, shifts, bit fields, bit counts, byte permutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .number import integer_value, wrap
from .row import LaneRow, Pipe


def _logic(name: str, arity: int, meaning: Callable[..., int], cpp: str, pred_cpp: str) -> Iterator[LaneRow]:
    for width in (1, 16, 32, 64):
        kind = "pred" if width == 1 else f"u{width}"
        spelling = "pred" if width == 1 else f"b{width}"

        def wrapped(*operands: int, width: int = width) -> int:
            return wrap(meaning(*operands), width)

        text = pred_cpp if width == 1 else cpp
        yield LaneRow(f"{name}.{spelling}", kind, (kind,) * arity, wrapped, text, Pipe.ALU)


def _shift_right(a: int, n: int, kind: str) -> int:
    return wrap(integer_value(a, kind) >> n, int(kind[1:]))


def _shifts() -> Iterator[LaneRow]:
    """The amount is an unsigned 32-bit value; at or above the width everything is shifted out."""
    for width in (16, 32, 64):
        unsigned, is_signed = f"u{width}", f"s{width}"

        def left(a: int, n: int, width: int = width) -> int:
            return wrap(a << min(n, width), width)

        yield LaneRow(f"shl.b{width}", unsigned, (unsigned, "u32"), left, "shl(a, b)", Pipe.ALU)
        for kind in (unsigned, is_signed):

            def right(a: int, n: int, kind: str = kind) -> int:
                return _shift_right(a, n, kind)

            yield LaneRow(f"shr.{kind}", kind, (kind, "u32"), right, "shr(a, b)", Pipe.ALU)


def _funnel_shifts() -> Iterator[LaneRow]:
    for mode in ("wrap", "clamp"):

        def left(low: int, high: int, n: int, mode: str = mode) -> int:
            n = n & 31 if mode == "wrap" else min(n, 32)
            return wrap((high << 32 | low) << n >> 32, 32)

        def right(low: int, high: int, n: int, mode: str = mode) -> int:
            n = n & 31 if mode == "wrap" else min(n, 32)
            return wrap((high << 32 | low) >> n, 32)

        amount = "c & 31" if mode == "wrap" else "at_most_32(c)"
        words = ("u32",) * 3
        yield LaneRow(f"shf.l.{mode}.b32", "u32", words, left, f"funnel_left(a, b, {amount})", Pipe.ALU)
        yield LaneRow(f"shf.r.{mode}.b32", "u32", words, right, f"funnel_right(a, b, {amount})", Pipe.ALU)


def lop3(a: int, b: int, c: int, table: int) -> int:
    """Bit i of the result is bit (a_i, b_i, c_i), read as a three-bit number, of `table`."""
    result = 0
    for minterm in range(8):
        if table >> minterm & 1:
            chosen = a if minterm & 4 else ~a
            chosen &= b if minterm & 2 else ~b
            chosen &= c if minterm & 1 else ~c
            result |= chosen
    return wrap(result, 32)


def prmt(a: int, b: int, selector: int) -> int:
    """Byte i of the result is the byte of {b, a} that nibble i names, or eight copies of its sign."""
    result = 0
    for position in range(4):
        nibble = selector >> 4 * position & 0xF
        byte = (b << 32 | a) >> 8 * (nibble & 7) & 0xFF
        if nibble & 8:
            byte = 0xFF if byte & 0x80 else 0
        result |= byte << 8 * position
    return result


PERMUTE_MODES: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    "f4e": ((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 6)),
    "b4e": ((0, 7, 6, 5), (1, 0, 7, 6), (2, 1, 0, 7), (3, 2, 1, 0)),
    "rc8": ((0, 0, 0, 0), (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3)),
    "ecl": ((0, 1, 2, 3), (1, 1, 2, 3), (2, 2, 2, 3), (3, 3, 3, 3)),
    "ecr": ((0, 0, 0, 0), (0, 1, 1, 1), (0, 1, 2, 2), (0, 1, 2, 3)),
    "rc16": ((0, 1, 0, 1), (2, 3, 2, 3), (0, 1, 0, 1), (2, 3, 2, 3)),
}
"""Selectors of byte 0 to 3 by the low two bits of c (PTX ISA, table of `prmt`)."""


def _permutes() -> Iterator[LaneRow]:
    words = ("u32",) * 3
    yield LaneRow("prmt.b32", "u32", words, prmt, "prmt(a, b, c)", Pipe.ALU)
    for mode, selectors in PERMUTE_MODES.items():

        def chosen(a: int, b: int, c: int, selectors: tuple[tuple[int, int, int, int], ...] = selectors) -> int:
            first, second, third, fourth = selectors[c & 3]
            return prmt(a, b, first | second << 4 | third << 8 | fourth << 12)

        yield LaneRow(f"prmt.b32.{mode}", "u32", words, chosen, f"prmt_{mode}(a, b, c)", Pipe.ALU)


def _extract(a: int, position: int, length: int, kind: str) -> int:
    width = int(kind[1:])
    position, length = position & 0xFF, length & 0xFF
    fill = a >> min(position + length - 1, width - 1) & 1 if kind[0] == "s" and length else 0
    bits = [a >> (position + i) & 1 if i < length and position + i < width else fill for i in range(width)]
    return sum(bit << i for i, bit in enumerate(bits))


def _insert(a: int, b: int, position: int, length: int, width: int) -> int:
    position, length = position & 0xFF, length & 0xFF
    mask = wrap(((1 << length) - 1) << position, width)
    return b & ~mask | a << position & mask


def _bit_fields() -> Iterator[LaneRow]:
    for width in (32, 64):
        unsigned = f"u{width}"
        for kind in (unsigned, f"s{width}"):

            def extract(a: int, position: int, length: int, kind: str = kind) -> int:
                return _extract(a, position, length, kind)

            yield LaneRow(f"bfe.{kind}", kind, (kind, "u32", "u32"), extract, "bfe(a, b, c)", Pipe.ALU)

        def insert(a: int, b: int, position: int, length: int, width: int = width) -> int:
            return _insert(a, b, position, length, width)

        args = (unsigned, unsigned, "u32", "u32")
        yield LaneRow(f"bfi.b{width}", unsigned, args, insert, "bfi(a, b, c, d)", Pipe.ALU)


def _find_leading(a: int, kind: str) -> int:
    """Position of the most significant bit that differs from the sign; all ones where there is none."""
    value = integer_value(a, kind)
    magnitude = ~value if value < 0 else value
    return magnitude.bit_length() - 1 if magnitude else 0xFFFFFFFF


def _bit_counts() -> Iterator[LaneRow]:
    for width in (32, 64):
        unsigned = f"u{width}"

        def leading(a: int, width: int = width) -> int:
            return width - a.bit_length()

        def reverse(a: int, width: int = width) -> int:
            return int(f"{a:0{width}b}"[::-1], 2)

        yield LaneRow(f"clz.b{width}", "u32", (unsigned,), leading, "clz(a)", Pipe.ALU)
        yield LaneRow(f"popc.b{width}", "u32", (unsigned,), int.bit_count, "popc(a)", Pipe.ALU)
        yield LaneRow(f"brev.b{width}", unsigned, (unsigned,), reverse, "brev(a)", Pipe.ALU)
        for kind in (unsigned, f"s{width}"):

            def found(a: int, kind: str = kind) -> int:
                return _find_leading(a, kind)

            def shift(a: int, kind: str = kind, width: int = width) -> int:
                position = _find_leading(a, kind)
                return position if position == 0xFFFFFFFF else width - 1 - position

            yield LaneRow(f"bfind.{kind}", "u32", (kind,), found, "bfind(a)", Pipe.ALU)
            text = f"bfind_shift(bfind(a), {width - 1})"
            yield LaneRow(f"bfind.shiftamt.{kind}", "u32", (kind,), shift, text, Pipe.ALU)


def _logical_not() -> Iterator[LaneRow]:
    for width in (16, 32, 64):
        kind = f"u{width}"
        yield LaneRow(f"cnot.b{width}", kind, (kind,), lambda a: int(a == 0), "a == 0", Pipe.ALU)


ROWS: tuple[LaneRow, ...] = (
    *_logic("and", 2, lambda a, b: a & b, "a & b", "a & b"),
    *_logic("or", 2, lambda a, b: a | b, "a | b", "a | b"),
    *_logic("xor", 2, lambda a, b: a ^ b, "a ^ b", "a ^ b"),
    *_logic("not", 1, lambda a: ~a, "~a", "!a"),
    *_logical_not(),
    *_shifts(),
    *_funnel_shifts(),
    LaneRow("lop3.b32", "u32", ("u32",) * 4, lop3, "lop3(a, b, c, d)", Pipe.ALU),
    *_permutes(),
    *_bit_fields(),
    *_bit_counts(),
)
