"""Tensor-core products: mma.sync, mma.sp and wmma.mma.

Sums start from the accumulator and run over ascending k; each product and each sum is rounded to fp32 (binary64 for
f64), and an fp16 result is rounded once more. Hardware aligns and truncates the products of one instruction instead, so
the last bits differ (`docs/emulator-deviations.md`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from ..machine import UnsupportedInstruction
from ..program import Instr, Operand
from .fragments import ELEMENTS, Fragment, Layout, Matrix, Position, gather, scatter
from .number import F16, F32, F64, clamp, integer_range, wrap
from .product_words import MMA_PRODUCTS, WMMA_PRODUCTS, Product, product
from .row import Pipe, WarpRow
from .state import LANES, Thread, Warp

Indices = dict[Position, int]
"""(row, position among the kept elements) -> column of A."""


def _single(value: float) -> float:
    """Rounded to fp32."""
    return ctypes.c_float(value).value


def _unrounded(value: float) -> float:
    return value


def rounded(value: float, kind: str, *, saturate: bool) -> int:
    """A sum as bits of the accumulator type."""
    if kind == "s32":
        whole = int(value)
        return wrap(clamp(whole, *integer_range("s32")) if saturate else whole, 32)
    if kind == "f64":
        return F64.from_float(value)
    single = F32.from_float(value)
    return F32.convert(single, F16) if kind == "f16" else single


def fragments_of(words: Product, *, wmma: bool) -> dict[str, Fragment]:
    """The fragments of A, B, C and D."""
    shape = words.shape
    return {
        part: _fragment(kind, part, shape.m, shape.n, shape.k // 2 if part == "a" and words.sparse else shape.k, wmma)
        for part, kind in zip("abcd", (words.a, words.b, words.c, words.d), strict=True)
    }


def _fragment(kind: str, part: str, m: int, n: int, k: int, wmma: bool) -> Fragment:
    rows, columns = {"a": (m, k), "b": (k, n)}.get(part, (m, n))
    layout = {"a": Layout.LEFT, "b": Layout.RIGHT}.get(part, Layout.SUMS)
    if wmma and (m, n) not in ((16, 16), (8, 8)):
        # The hardware's are its own secret; no shape of mma has these fragments.
        layout = Layout.LINEAR
    if wmma and part == "b" and n == 16:
        layout = Layout.LINEAR
    return Fragment(ELEMENTS[kind], layout, rows, columns)


def wmma_fragment(part: str, kind: str, m: int, n: int, k: int) -> Fragment:
    """What wmma.load and wmma.store move."""
    return _fragment(kind, part, m, n, k, wmma=True)


SELECTED = 2
"""Bits of metadata for one index."""


def kept_columns(words: Product, metadata: list[int], selector: int) -> Indices:
    """Which columns of A the kept elements stand in; `metadata` is the operand of each lane.

    Every four elements keep two, named by two bits each; four-bit types keep two pairs of every eight, tf32 one of
    every two, named by four bits (0100: the first, 1110: the second). 16-bit types and tf32 have row g in the lower and
    row g + 8 in the upper half of a word, in lanes of quad g that follow one another along k; 8- and 4-bit types
    have a word for row g and the next for row g + 8.
    """
    pair = 2 if words.a in ("s4", "u4") else 1
    narrow = words.a not in ("f16", "bf16", "tf32")
    indices_a_row = words.shape.k // 2 // pair * (2 if words.a == "tf32" else 1)
    found: Indices = {}
    for row in range(words.shape.m):
        bits = _row_of_metadata(row, metadata, selector, indices_a_row * SELECTED, narrow=narrow)
        for j in range(words.shape.k // 2):
            if words.a == "tf32":
                found[row, j] = 2 * j + (bits >> 4 * j + 1 & 1)
            else:
                index = bits >> SELECTED * (j // pair) & 3
                found[row, j] = (j // pair // 2 * 4 + index) * pair + j % pair
    return found


def _row_of_metadata(row: int, metadata: list[int], selector: int, width: int, *, narrow: bool) -> int:
    quad, upper = row % 8 * 4, row // 8
    if narrow:
        count = width // 32
        first = quad + 2 * count * selector % 4
        return sum(metadata[first + 2 * i + upper] << 32 * i for i in range(count))
    count = width // 16
    first = quad + count * selector % 4
    return sum((metadata[first + i] >> 16 * upper & 0xFFFF) << 16 * i for i in range(count))


def _multiplied(words: Product, a: Matrix, b: Matrix, c: Matrix, kept: Indices | None) -> dict[Position, int]:
    """A x B + C, rounded."""
    depth = words.shape.k // 2 if kept is not None else words.shape.k
    held = _single if words.d in ("f16", "f32") else _unrounded
    result = {}
    for (row, column), start in c.items():
        total = start
        for k in range(depth):
            left, right = a[row, k], b[k if kept is None else kept[row, k], column]
            if words.bits:
                total += left ^ right if words.bits == "xor" else left & right  # type: ignore[operator]
            else:
                total = held(held(left * right) + total)
        result[row, column] = rounded(total, words.d, saturate=words.saturates)
    return result


def multiply(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """Mma d, a, b, c{, metadata, selector}, and wmma.mma d, a, b, c."""
    words = product(instr.modifiers)
    if words is None:
        raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)
    parts = fragments_of(words, wmma=instr.opcode == "wmma")
    d, a, b, c, *sparsity = instr.operands
    kept = None
    if words.sparse:
        kept = _kept(warp, instr, threads, words, sparsity)
    sums = _multiplied(
        words,
        gather(warp, instr, threads, a, parts["a"]),
        gather(warp, instr, threads, b, parts["b"]),
        gather(warp, instr, threads, c, parts["c"]),
        kept,
    )
    scatter(warp, threads, d, parts["d"], sums)


def _kept(warp: Warp, instr: Instr, threads: list[Thread], words: Product, sparsity: list[Operand]) -> Indices:
    metadata = [0] * LANES
    for thread in threads:
        metadata[thread.lane] = warp.block.read(thread, sparsity[0], 32, instr)
    return kept_columns(words, metadata, warp.block.read(threads[0], sparsity[1], 32, instr))


def _rows() -> Iterator[WarpRow]:
    for words in MMA_PRODUCTS:
        yield WarpRow(f"mma.{words.name}", multiply, Pipe.TENSOR)
    for words in WMMA_PRODUCTS:
        yield WarpRow(f"wmma.mma.{words.name}", multiply, Pipe.TENSOR)


ROWS: tuple[WarpRow, ...] = tuple(_rows())
