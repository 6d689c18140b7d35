"""Integer arithmetic: add to sad, multiplication in its widths, division, min and max, dot products.

Wrapping operations do not see signedness, so their rows are spelled `b16 b32 b64`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .number import clamp, integer_range, integer_value, signed, wrap
from .row import LaneRow, Pipe

WIDTHS = (16, 32, 64)


def _wrapping(name: str, arity: int, meaning: Callable[..., int], cpp: str, pipe: Pipe) -> Iterator[LaneRow]:
    for width in WIDTHS:
        kind = f"u{width}"
        # u16 operands promote to signed int in C++; through u32 their products cannot overflow.
        text = cpp.replace("a *", "u32(a) *") if width == 16 else cpp

        def wrapped(*operands: int, width: int = width) -> int:
            return wrap(meaning(*operands), width)

        yield LaneRow(f"{name}.b{width}", kind, (kind,) * arity, wrapped, text, pipe)


def _typed(
    name: str, arity: int, meaning: Callable[..., int], cpp: str, *, kinds: str = "us", pipe: Pipe = Pipe.ALU
) -> Iterator[LaneRow]:
    """Rows whose operands and result are values of one type, `meaning` on those values."""
    for sign in kinds:
        for width in WIDTHS:
            kind = f"{sign}{width}"

            def on_values(*operands: int, kind: str = kind, width: int = width) -> int:
                return wrap(meaning(*(integer_value(bits, kind) for bits in operands)), width)

            yield LaneRow(f"{name}.{kind}", kind, (kind,) * arity, on_values, cpp, pipe)


def _high(name: str, arity: int, cpp: str) -> Iterator[LaneRow]:
    for sign in "us":
        for width in WIDTHS:
            kind = f"{sign}{width}"

            def high(a: int, b: int, c: int = 0, kind: str = kind, width: int = width) -> int:
                return wrap((integer_value(a, kind) * integer_value(b, kind) >> width) + c, width)

            text = cpp.replace("U", f"u{width}")
            yield LaneRow(f"{name}.{kind}", kind, (kind,) * arity, high, text, Pipe.FMA)


def _wide() -> Iterator[LaneRow]:
    for sign in "us":
        for width in (16, 32):
            narrow, wide = f"{sign}{width}", f"{sign}{2 * width}"

            def product(a: int, b: int, c: int = 0, narrow: str = narrow, width: int = width) -> int:
                return wrap(integer_value(a, narrow) * integer_value(b, narrow) + c, 2 * width)

            multiplied = f"{wide}(a) * {wide}(b)"
            unsigned = f"u{2 * width}"
            yield LaneRow(f"mul.wide.{narrow}", wide, (narrow, narrow), product, multiplied, Pipe.FMA)
            yield LaneRow(
                f"mad.wide.{narrow}",
                wide,
                (narrow, narrow, wide),
                product,
                f"{wide}({unsigned}({multiplied}) + {unsigned}(c))",
                Pipe.FMA,
            )


def _twenty_four_bits() -> Iterator[LaneRow]:
    """mul24 and mad24: the product of the operands' low 24 bits, its low or high 32 of 48 bits."""
    for kind in ("u32", "s32"):
        for part, shift in (("lo", 0), ("hi", 16)):

            def product(a: int, b: int, c: int = 0, kind: str = kind, shift: int = shift) -> int:
                low = [wrap(x, 24) if kind == "u32" else signed(wrap(x, 24), 24) for x in (a, b)]
                return wrap((low[0] * low[1] >> shift) + c, 32)

            low = "s64(s32(u32({}) << 8) >> 8)" if kind == "s32" else "s64({} & 0xFFFFFF)"
            text = f"u32(({low.format('a')} * {low.format('b')}) >> {shift})"
            yield LaneRow(f"mul24.{part}.{kind}", kind, (kind, kind), product, text, Pipe.ALU)
            yield LaneRow(f"mad24.{part}.{kind}", kind, (kind,) * 3, product, f"{text} + u32(c)", Pipe.ALU)


def _divide(a: int, b: int) -> int:
    """Toward zero; by zero all ones, which the ISA leaves open."""
    if b == 0:
        return -1
    quotient = abs(a) // abs(b)
    return -quotient if (a < 0) != (b < 0) else quotient


def _remainder(a: int, b: int) -> int:
    return a if b == 0 else a - b * _divide(a, b)


def _saturating() -> Iterator[LaneRow]:
    low, high = integer_range("s32")
    for name, sign in (("add", 1), ("sub", -1)):

        def clamped(a: int, b: int, sign: int = sign) -> int:
            return wrap(clamp(signed(a, 32) + sign * signed(b, 32), low, high), 32)

        operator = "+" if sign > 0 else "-"
        text = f"clamp_s32(s64(a) {operator} s64(b))"
        yield LaneRow(f"{name}.sat.s32", "s32", ("s32", "s32"), clamped, text, Pipe.ALU)

    def high_product(a: int, b: int, c: int) -> int:
        return wrap(clamp((signed(a, 32) * signed(b, 32) >> 32) + signed(c, 32), low, high), 32)

    text = "clamp_s32(s64(mul_hi(a, b)) + s64(c))"
    yield LaneRow("mad.hi.sat.s32", "s32", ("s32",) * 3, high_product, text, Pipe.FMA)

    def high_of_24(a: int, b: int, c: int) -> int:
        product = signed(wrap(a, 24), 24) * signed(wrap(b, 24), 24) >> 16
        return wrap(clamp(product + signed(c, 32), low, high), 32)

    text = "clamp_s32((s64(s32(u32(a) << 8) >> 8) * s64(s32(u32(b) << 8) >> 8) >> 16) + s64(c))"
    yield LaneRow("mad24.hi.sat.s32", "s32", ("s32",) * 3, high_of_24, text, Pipe.ALU)


def _bytes(bits: int, kind: str, width: int) -> list[int]:
    parts = [wrap(bits >> shift, width) for shift in range(0, 32, width)]
    return [signed(part, width) if kind == "s32" else part for part in parts]


def _dot_products() -> Iterator[LaneRow]:
    for left in ("u32", "s32"):
        for right in ("u32", "s32"):

            def four(a: int, b: int, c: int, left: str = left, right: str = right) -> int:
                pairs = zip(_bytes(a, left, 8), _bytes(b, right, 8), strict=True)
                return wrap(c + sum(x * y for x, y in pairs), 32)

            small = f"{left[0]}8, {right[0]}8"
            kinds = ("u32",) * 3
            yield LaneRow(f"dp4a.{left}.{right}", "u32", kinds, four, f"dot4<{small}>(a, b, c)", Pipe.ALU)
            for half, first in (("lo", 0), ("hi", 2)):

                def two(a: int, b: int, c: int, left: str = left, right: str = right, first: int = first) -> int:
                    words, chosen = _bytes(a, left, 16), _bytes(b, right, 8)[first : first + 2]
                    return wrap(c + sum(x * y for x, y in zip(words, chosen, strict=True)), 32)

                text = f"dot2<{left[0]}16, {right[0]}8>(a, b, c, {first})"
                yield LaneRow(f"dp2a.{half}.{left}.{right}", "u32", kinds, two, text, Pipe.ALU)


def _sums_of_differences() -> Iterator[LaneRow]:
    for sign in "us":
        for width in WIDTHS:
            kind = f"{sign}{width}"

            def sad(a: int, b: int, c: int, kind: str = kind, width: int = width) -> int:
                return wrap(abs(integer_value(a, kind) - integer_value(b, kind)) + c, width)

            unsigned = f"u{width}"
            text = f"distance(a, b) + {unsigned}(c)"
            yield LaneRow(f"sad.{kind}", unsigned, (kind,) * 3, sad, text, Pipe.ALU)


ROWS: tuple[LaneRow, ...] = (
    *_wrapping("add", 2, lambda a, b: a + b, "a + b", Pipe.ALU),
    *_wrapping("sub", 2, lambda a, b: a - b, "a - b", Pipe.ALU),
    *_wrapping("mul.lo", 2, lambda a, b: a * b, "a * b", Pipe.FMA),
    *_wrapping("mad.lo", 3, lambda a, b, c: a * b + c, "a * b + c", Pipe.FMA),
    *_wrapping("neg", 1, lambda a: -a, "0 - a", Pipe.ALU),
    *_high("mul.hi", 2, "mul_hi(a, b)"),
    *_high("mad.hi", 3, "U(U(mul_hi(a, b)) + U(c))"),
    *_wide(),
    *_twenty_four_bits(),
    *_typed("div", 2, _divide, "div_int(a, b)"),
    *_typed("rem", 2, _remainder, "rem_int(a, b)"),
    *_typed("min", 2, min, "a < b ? a : b"),
    *_typed("max", 2, max, "a > b ? a : b"),
    *_typed("abs", 1, abs, "abs_int(a)", kinds="s"),
    *_saturating(),
    *_sums_of_differences(),
    *_dot_products(),
)
