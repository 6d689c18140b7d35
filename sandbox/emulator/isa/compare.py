"""Comparison and selection: setp, set, selp, slct.

What is compound in PTX is several rows, which `steps.py` strings together: `setp` with a boolean
(`setp.lt.and.s32`) or two results (`p|q`), comparison of packed halves, `set` (a comparison, then a spread).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .number import BF16, F16, F32, F64, Format, integer_value
from .row import LaneRow, Pipe


@dataclass(frozen=True, slots=True)
class FloatKind:
    """How a floating format appears in rows: its C++ type and how the text reads it as a number."""

    format: Format
    cpp_type: str
    read: str
    """`{}` is the operand; a number C++ can compare."""


FLOAT_KINDS = (
    FloatKind(F32, "f32", "{}"),
    FloatKind(F64, "f64", "{}"),
    FloatKind(F16, "u16", "f16({})"),
    FloatKind(BF16, "u16", "bf16({})"),
)

ORDERS: dict[str, tuple[str, Callable[[int], bool]]] = {
    "eq": ("==", lambda order: order == 0),
    "ne": ("!=", lambda order: order != 0),
    "lt": ("<", lambda order: order < 0),
    "le": ("<=", lambda order: order <= 0),
    "gt": (">", lambda order: order > 0),
    "ge": (">=", lambda order: order >= 0),
}
"""C++ operator and meaning on the sign of a - b."""

FLOAT_COMPARISONS = (*ORDERS, *(f"{name}u" for name in ORDERS), "num", "nan")


def _integer_compares() -> Iterator[LaneRow]:
    for name, (operator, holds) in ORDERS.items():
        signless = name in ("eq", "ne")
        for width in (16, 32, 64):
            for kind in (f"u{width}",) if signless else (f"u{width}", f"s{width}"):

                def compare(a: int, b: int, kind: str = kind, holds: Callable[[int], bool] = holds) -> int:
                    left, right = integer_value(a, kind), integer_value(b, kind)
                    return int(holds((left > right) - (left < right)))

                spelling = f"b{width}" if signless else kind
                yield LaneRow(f"setp.{name}.{spelling}", "pred", (kind, kind), compare, f"a {operator} b", Pipe.ALU)


def float_holds(name: str, order: int | None) -> int:
    """Whether a float comparison holds, given `Format.compare`'s answer (None: unordered)."""
    if name == "num":
        return int(order is not None)
    if name == "nan":
        return int(order is None)
    if name in ORDERS:
        return int(order is not None and ORDERS[name][1](order))
    return int(order is None or ORDERS[name[:-1]][1](order))


def float_text(name: str, a: str, b: str) -> str:
    """The comparison as C++; an ordered `ne` is false for NaN, unlike C++'s."""
    unordered = f"(({a} != {a}) | ({b} != {b}))"
    if name == "num":
        return f"!{unordered}"
    if name == "nan":
        return unordered
    if name == "ne":
        return f"(({a} < {b}) | ({a} > {b}))"
    if name in ORDERS:
        return f"({a} {ORDERS[name][0]} {b})"
    if name == "neu":
        return f"({a} != {b})"
    return f"(({a} {ORDERS[name[:-1]][0]} {b}) | {unordered})"


def _float_compares() -> Iterator[LaneRow]:
    for kind in FLOAT_KINDS:
        for name in FLOAT_COMPARISONS:
            form = kind.format

            def compare(a: int, b: int, form: Format = form, name: str = name) -> int:
                return float_holds(name, form.compare(a, b))

            text = float_text(name, kind.read.format("a"), kind.read.format("b"))
            args = (kind.cpp_type, kind.cpp_type)
            yield LaneRow(f"setp.{name}.{form.name}", "pred", args, compare, text, Pipe.ALU)
            if form in (F32, F16):

                def flushed(a: int, b: int, form: Format = form, name: str = name) -> int:
                    return float_holds(name, form.compare(form.flushed(a), form.flushed(b)))

                flush = "ftz({})" if form is F32 else "f16(ftz_f16({}))"
                text = float_text(name, flush.format("a"), flush.format("b"))
                yield LaneRow(f"setp.{name}.ftz.{form.name}", "pred", args, flushed, text, Pipe.ALU)


def _pair(yes: int) -> Callable[[int, int], int]:
    return lambda low, high: low * yes | high * yes << 16


def _spreads() -> Iterator[LaneRow]:
    """Second half of `set`: predicates become all ones (integer results) or 1.0 (floating results)."""
    kinds: tuple[tuple[str, str, int], ...] = (
        ("word", "u32", 0xFFFFFFFF),
        ("f32", "u32", F32.one),
        ("f16", "u16", F16.one),
        ("bf16", "u16", BF16.one),
    )
    for name, kind, yes in kinds:

        def spread(p: int, yes: int = yes) -> int:
            return p * yes

        yield LaneRow(f"set.{name}", kind, ("pred",), spread, f"a ? {yes:#x}u : 0u", Pipe.ALU)
    for name, yes in (("words", 0xFFFF), ("f16x2", F16.one), ("bf16x2", BF16.one)):
        text = f"(a ? {yes:#x}u : 0u) | (b ? {yes << 16:#x}u : 0u)"
        yield LaneRow(f"set.{name}", "u32", ("pred", "pred"), _pair(yes), text, Pipe.HALF)


def _selects() -> Iterator[LaneRow]:
    for width in (16, 32, 64):
        kind = f"u{width}"

        def select(a: int, b: int, chosen: int) -> int:
            return a if chosen else b

        def by_sign(a: int, b: int, c: int) -> int:
            return b if c >> 31 else a

        def by_float(a: int, b: int, c: int) -> int:
            return b if F32.is_nan(c) or (F32.negative(c) and not F32.is_zero(c)) else a

        yield LaneRow(f"selp.b{width}", kind, (kind, kind, "pred"), select, "c ? a : b", Pipe.ALU)
        args = (kind, kind, "s32")
        yield LaneRow(f"slct.b{width}.s32", kind, args, by_sign, "c >= 0 ? a : b", Pipe.ALU)
        args = (kind, kind, "f32")
        yield LaneRow(f"slct.b{width}.f32", kind, args, by_float, "c >= 0.0f ? a : b", Pipe.ALU)

        def by_flushed(a: int, b: int, c: int) -> int:
            return a if F32.is_subnormal(c) else by_float(a, b, c)

        text = "ftz(c) >= 0.0f ? a : b"
        yield LaneRow(f"slct.ftz.b{width}.f32", kind, args, by_flushed, text, Pipe.ALU)


ROWS: tuple[LaneRow, ...] = (
    *_integer_compares(),
    *_float_compares(),
    *_selects(),
    *_spreads(),
)
