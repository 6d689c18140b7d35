"""16-bit integers in pairs, `.relu` of integers, and bit instructions of 32 bits: szext, bmsk, fns, cvt.pack."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .number import clamp, integer_range, packed, signed, wrap
from .row import LaneRow, Pipe

Meaning = Callable[..., int]


def _choice(choose: Callable[[int, int], int], kind: str, *, relu: bool) -> Meaning:
    """Min or max of integers of `kind`; with `.relu` at least 0."""
    width = int(kind[1:])

    def chosen(a: int, b: int) -> int:
        x, y = (signed(v, width) if kind[0] == "s" else v for v in (a, b))
        value = choose(x, y)
        return wrap(max(value, 0) if relu else value, width)

    return chosen


def _pairs() -> Iterator[LaneRow]:
    add = packed(lambda a, b: wrap(a + b, 16))
    yield LaneRow("add.b16x2", "u32", ("u32", "u32"), add, "pack16(u16(lo(a) + lo(b)), u16(hi(a) + hi(b)))", Pipe.ALU)
    for name, choose, operator in (("min", min, "<"), ("max", max, ">")):
        for kind in ("u16", "s16"):
            for relu in ("", ".relu") if kind == "s16" else ("",):
                one = f"pick_{name}({kind}({{0}}(a)), {kind}({{0}}(b)))"
                one = f"at_least_0({one})" if relu else one
                text = f"pack16(u16({one.format('lo')}), u16({one.format('hi')}))"
                meaning = packed(_choice(choose, kind, relu=bool(relu)))
                yield LaneRow(f"{name}{relu}.{kind}x2", "u32", ("u32", "u32"), meaning, text, Pipe.ALU)
        meaning = _choice(choose, "s32", relu=True)
        text = f"at_least_0(a {operator} b ? a : b)"
        yield LaneRow(f"{name}.relu.s32", "s32", ("s32", "s32"), meaning, text, Pipe.ALU)


def _sign_extension(kind: str, mode: str) -> Meaning:
    def extended(a: int, bits: int) -> int:
        bits = bits & 31 if mode == "wrap" else min(bits, 32)
        if bits == 0:
            return 0
        value = wrap(a, bits)
        return wrap(signed(value, bits), 32) if kind == "s32" else value

    return extended


def _mask(mode: str) -> Meaning:
    def mask(position: int, width: int) -> int:
        if mode == "wrap":
            position, width = position & 31, width & 31
        return wrap(((1 << min(width, 32)) - 1) << min(position, 32), 32)

    return mask


def find_nth_set(mask: int, base: int, offset: int) -> int:
    """Position of the n-th set bit from `base` on (upwards where n > 0); n = 0 is the bit at `base` itself."""
    count = signed(offset, 32)
    if base > 31:
        return 0xFFFFFFFF
    if count == 0:
        return base if mask >> base & 1 else 0xFFFFFFFF
    positions = range(base, 32) if count > 0 else range(base, -1, -1)
    found = [position for position in positions if mask >> position & 1]
    return found[abs(count) - 1] if abs(count) <= len(found) else 0xFFFFFFFF


def _bits() -> Iterator[LaneRow]:
    for mode in ("wrap", "clamp"):
        amount = "b & 31" if mode == "wrap" else "at_most_32(b)"
        for kind in ("u32", "s32"):
            meaning = _sign_extension(kind, mode)
            text = f"szext({kind}(a), {amount})"
            yield LaneRow(f"szext.{mode}.{kind}", kind, (kind, "u32"), meaning, text, Pipe.ALU)
        args = "a & 31, b & 31" if mode == "wrap" else "at_most_32(a), at_most_32(b)"
        yield LaneRow(f"bmsk.{mode}.b32", "u32", ("u32", "u32"), _mask(mode), f"bit_mask({args})", Pipe.ALU)
    yield LaneRow("fns.b32", "u32", ("u32", "u32", "s32"), find_nth_set, "find_nth_set(a, b, c)", Pipe.ALU)


def _saturating_packs() -> Iterator[LaneRow]:
    """cvt.pack.sat.u8.s32.b32 d, a, b, c: {c's low part, a, b}, b lowest."""
    for bits in (16, 8, 4, 2):
        for sign in "us":
            low, high = integer_range(f"{sign}{bits}")

            def pack(a: int, b: int, c: int = 0, bits: int = bits, low: int = low, high: int = high) -> int:
                x, y = (wrap(clamp(signed(v, 32), low, high), bits) for v in (a, b))
                return wrap(c << 2 * bits, 32) | x << bits | y

            text = f"pack_sat<{bits}, {str(sign == 's').lower()}>(a, b, {'0' if bits == 16 else 'c'})"
            if bits == 16:
                yield LaneRow(f"cvt.pack.sat.{sign}16.s32", "u32", ("s32", "s32"), pack, text, Pipe.ALU)
            else:
                args = ("s32", "s32", "u32")
                yield LaneRow(f"cvt.pack.sat.{sign}{bits}.s32.b32", "u32", args, pack, text, Pipe.ALU)


ROWS: tuple[LaneRow, ...] = (*_pairs(), *_bits(), *_saturating_packs())
