"""mma.m8n8k4 with fp16 factors: four products of 8 x 4 by 4 x 8 at once.

Lanes 4q to 4q + 3 and 16 + 4q to 16 + 4q + 3 hold the matrices of product q, in layouts of their own. Sums are rounded
as in `matrix.py`. `vm/quads.h` has the same.
Source: PTX ISA 9.0, "Matrix Fragments for mma.m8n8k4 with .f16 floating point type".
"""

from __future__ import annotations

from ..program import Instr
from .fragments import ELEMENTS, Matrix, Position, bits_of
from .matrix import rounded
from .number import F32
from .product_words import QUAD_KINDS, QUADS
from .row import Pipe, WarpRow
from .state import Thread, Warp
from .warp_memory import items

PRODUCTS = range(4)
DEPTH = 4


def product_of(lane: int) -> int:
    return lane % 16 // 4


def left(lane: int, i: int, layout: str) -> Position:
    """Row and column in A of a lane's element i."""
    low = lane // 16 * 4
    return (lane % 4 + low, i) if layout == "row" else (i + low, lane % 4)


def right(lane: int, i: int, layout: str) -> Position:
    low = lane // 16 * 4
    return (lane % 4, i + low) if layout == "row" else (i, lane % 4 + low)


def sums(lane: int, i: int, kind: str) -> Position:
    low = lane // 16 * 4
    if kind == "f16":
        return lane % 4 + low, i
    return (lane & 1) + (i & 2) + low, (i & 4) + (lane & 2) + (i & 1)


def multiply_quads(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """Mma d, a, b, c."""
    words = instr.modifiers
    a_layout, b_layout, d_kind, c_kind = words[3], words[4], words[5], words[8]
    d, a, b, c = instr.operands
    factors: list[tuple[Matrix, Matrix]] = [({}, {}) for _ in PRODUCTS]
    totals: list[Matrix] = [{} for _ in PRODUCTS]
    for thread in threads:
        lane, number = thread.lane, product_of(thread.lane)
        for i, bits in enumerate(bits_of(warp, instr, thread, a, ELEMENTS["f16"])):
            factors[number][0][left(lane, i, a_layout)] = ELEMENTS["f16"].number(bits)
        for i, bits in enumerate(bits_of(warp, instr, thread, b, ELEMENTS["f16"])):
            factors[number][1][right(lane, i, b_layout)] = ELEMENTS["f16"].number(bits)
        for i, bits in enumerate(bits_of(warp, instr, thread, c, ELEMENTS[c_kind])):
            totals[number][sums(lane, i, c_kind)] = ELEMENTS[c_kind].number(bits)
    for number in PRODUCTS:
        for (row, column), start in totals[number].items():
            total = float(start)
            for k in range(DEPTH):
                part = _single(factors[number][0][row, k] * factors[number][1][k, column])
                total = _single(part + total)
            totals[number][row, column] = total
    for thread in threads:
        found = [
            rounded(totals[product_of(thread.lane)][sums(thread.lane, i, d_kind)], d_kind, saturate=False)
            for i in range(8)
        ]
        targets = items(d)
        per = 8 // len(targets)
        for r, target in enumerate(targets):
            word = sum(value << 16 * e for e, value in enumerate(found[r * per : (r + 1) * per]))
            warp.block.write(thread, target, word, "b32")


def _single(value: float) -> float:
    return F32.to_float(F32.from_float(value))


ROWS: tuple[WarpRow, ...] = tuple(
    WarpRow(f"mma.{QUADS}.{d}.f16.f16.{c}", multiply_quads, Pipe.TENSOR) for d, c in QUAD_KINDS
)
