"""Tensor-core instructions: mma.sync and wmma.

Fragment layouts are those of the PTX ISA's mma.m16n8k* figures; wmma, whose layout the ISA leaves open, uses them
too where the shape allows. Sums start from the accumulator and run over ascending k; each product and each sum is
rounded to fp32 (binary64 for f64), and an fp16 result is rounded once more. Hardware aligns and truncates the
products of one instruction instead, so the last bits differ.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..program import Instr, Operand, Vector
from .number import BF16, F16, F32, F64, clamp, integer_range, integer_value, wrap
from .row import Pipe, WarpRow
from .state import LANES, Thread, Warp
from .warp_memory import items, reached, space_in, stored

Position = tuple[int, int]
"""(row, column) of a matrix."""
Layout = list[list[Position]]
"""By lane, the positions of its fragment's elements in register order, low bits first."""


@dataclass(frozen=True, slots=True)
class Element:
    """How a matrix element's bits are read as a number."""

    bits: int
    number: Callable[[int], float | int]


def _tf32(bits: int) -> float:
    return F32.to_float(bits & ~0x1FFF)


ELEMENTS: dict[str, Element] = {
    "f16": Element(16, F16.to_float),
    "bf16": Element(16, BF16.to_float),
    "tf32": Element(32, _tf32),
    "f64": Element(64, F64.to_float),
    "s8": Element(8, lambda bits: integer_value(bits, "s8")),
    "u8": Element(8, lambda bits: bits),
}
ACCUMULATORS: dict[str, Element] = {
    "f16": Element(16, F16.to_float),
    "f32": Element(32, F32.to_float),
    "f64": Element(64, F64.to_float),
    "s32": Element(32, lambda bits: integer_value(bits, "s32")),
}


def left_layout(columns: int, bits: int, rows: int = 16) -> Layout:
    """A of mma: 16 x columns; register r holds rows lane/4 + 8(r % 2)."""
    per = max(1, 32 // bits)
    groups = rows // 8
    return [
        [
            (lane // 4 + 8 * (r % groups), r // groups * 4 * per + lane % 4 * per + e)
            for r in range(groups * columns // (4 * per))
            for e in range(per)
        ]
        for lane in range(LANES)
    ]


def right_layout(rows: int, bits: int) -> Layout:
    """B of mma: rows x 8."""
    per = max(1, 32 // bits)
    return [
        [(r * 4 * per + lane % 4 * per + e, lane // 4) for r in range(rows // (4 * per)) for e in range(per)]
        for lane in range(LANES)
    ]


def accumulator_layout(rows: int = 16, columns: int = 8) -> Layout:
    """C and D of mma: pairs of neighbours in a row; wider tiles follow one another."""
    return [
        [
            (lane // 4 + 8 * r, 8 * tile + lane % 4 * 2 + e)
            for tile in range(columns // 8)
            for r in range(rows // 8)
            for e in range(2)
        ]
        for lane in range(LANES)
    ]


def _elements(warp: Warp, instr: Instr, thread: Thread, operand: Operand, bits: int) -> list[int]:
    """A thread's fragment, one element after another."""
    found = []
    for register in items(operand):
        width = max(32, bits)
        word = warp.block.read(thread, register, width, instr)
        found += [word >> shift & (1 << bits) - 1 for shift in range(0, width, bits)]
    return found


def gather(
    warp: Warp, instr: Instr, threads: list[Thread], operand: Operand, layout: Layout, element: Element
) -> dict[Position, float | int]:
    """The matrix that the warp's fragments make up."""
    matrix: dict[Position, float | int] = {}
    for thread in threads:
        found = _elements(warp, instr, thread, operand, element.bits)
        for position, bits in zip(layout[thread.lane], found, strict=True):
            matrix[position] = element.number(bits)
    return matrix


def scatter(
    warp: Warp, threads: list[Thread], operand: Operand, layout: Layout, matrix: dict[Position, int], bits: int
) -> None:
    """Each lane's part of a matrix of bits into its fragment's registers."""
    per = max(1, 32 // bits)
    for thread in threads:
        found = [matrix[position] for position in layout[thread.lane]]
        for i, register in enumerate(items(operand)):
            word = sum(value << bits * e for e, value in enumerate(found[i * per : (i + 1) * per]))
            warp.block.write(thread, register, word, f"b{max(32, bits)}")


def single(value: float) -> float:
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


def product(
    a: dict[Position, float | int],
    b: dict[Position, float | int],
    c: dict[Position, float | int],
    depth: int,
    kind: str,
    *,
    saturate: bool,
) -> dict[Position, int]:
    """A x B + C, rounded."""
    result = {}
    held = single if kind in ("f16", "f32") else _unrounded
    for (row, column), start in c.items():
        total = start
        for k in range(depth):
            total = held(held(a[row, k] * b[k, column]) + total)
        result[row, column] = rounded(total, kind, saturate=saturate)
    return result


@dataclass(frozen=True, slots=True)
class Shape:
    m: int
    n: int
    k: int

    @classmethod
    def parse(cls, word: str) -> Shape:
        m, rest = word[1:].split("n")
        n, k = rest.split("k")
        return cls(int(m), int(n), int(k))


def multiply(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """mma.sync.aligned.shape.row.col[.satfinite].dtype.atype.btype.ctype d, a, b, c."""
    shape = Shape.parse(next(word for word in instr.modifiers if word[0] == "m" and word[1].isdigit()))
    d_kind, a_kind, b_kind, c_kind = instr.modifiers[-4:]
    d, a, b, c = instr.operands
    left, right = ELEMENTS[a_kind], ELEMENTS[b_kind]
    c_layout = accumulator_layout(shape.m)
    result = product(
        gather(warp, instr, threads, a, left_layout(shape.k, left.bits, shape.m), left),
        gather(warp, instr, threads, b, right_layout(shape.k, right.bits), right),
        gather(warp, instr, threads, c, c_layout, ACCUMULATORS[c_kind]),
        shape.k,
        d_kind,
        saturate="satfinite" in instr.modifiers,
    )
    scatter(warp, threads, d, c_layout, result, ACCUMULATORS[d_kind].bits)


def wmma_layout(part: str, shape: Shape, bits: int, slots: int) -> Layout:
    """Positions of a wmma fragment with `slots` elements a lane; an element may lie in several slots."""
    rows, columns = {"a": (shape.m, shape.k), "b": (shape.k, shape.n)}.get(part, (shape.m, shape.n))
    if part in ("c", "d") and shape.m == 16 and shape.n == 16:
        return accumulator_layout(16, 16)
    if part == "a" and shape.m == 16:
        base = left_layout(shape.k, bits)
        return [(base[lane] * (slots // len(base[lane])))[:slots] for lane in range(LANES)]
    total = rows * columns
    return [[divmod((i * LANES + lane) % total, columns) for i in range(slots)] for lane in range(LANES)]


def _wmma_words(instr: Instr) -> tuple[Shape, list[str]]:
    """Shape, and the layout words (row or col) in order."""
    shape = Shape.parse(next(w for w in instr.modifiers if w[0] == "m" and w[1:2].isdigit()))
    return shape, [word for word in instr.modifiers if word in ("row", "col")]


def _slots(operand: Operand, bits: int) -> int:
    return len(items(operand)) * max(1, 32 // bits)


def _wmma_addresses(
    warp: Warp, instr: Instr, thread: Thread, shape: Shape, part: str, order: str, bits: int
) -> Callable[[Position], int]:
    rows, columns = {"a": (shape.m, shape.k), "b": (shape.k, shape.n)}.get(part, (shape.m, shape.n))
    memory = next(operand for operand in instr.operands if not _is_fragment(operand))
    base = warp.block.address(thread, memory, instr)
    stride = columns if order == "row" else rows
    if not _is_fragment(instr.operands[-1]) and instr.operands[-1] is not memory:
        stride = warp.block.read(thread, instr.operands[-1], 32, instr)

    def address(position: Position) -> int:
        row, column = position
        return base + (row * stride + column if order == "row" else column * stride + row) * bits // 8

    return address


def _is_fragment(operand: Operand) -> bool:
    return isinstance(operand, Vector)


def wmma_load(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    shape, (order,) = _wmma_words(instr)
    part, kind, fragment = instr.modifiers[1], instr.modifiers[-1], instr.operands[0]
    bits = (ACCUMULATORS if part == "c" else ELEMENTS)[kind].bits
    layout = wmma_layout(part, shape, bits, _slots(fragment, bits))
    for thread in threads:
        address = _wmma_addresses(warp, instr, thread, shape, part, order, bits)
        matrix = {
            position: int.from_bytes(
                reached(warp, instr, thread, space_in(instr), address(position), bits // 8), "little"
            )
            for position in layout[thread.lane]
        }
        scatter(warp, [thread], fragment, layout, matrix, bits)


def wmma_store(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    shape, (order,) = _wmma_words(instr)
    kind, fragment = instr.modifiers[-1], instr.operands[1]
    bits = ACCUMULATORS[kind].bits
    layout = wmma_layout("d", shape, bits, _slots(fragment, bits))
    for thread in threads:
        address = _wmma_addresses(warp, instr, thread, shape, "d", order, bits)
        found = _elements(warp, instr, thread, fragment, bits)
        for position, value in zip(layout[thread.lane], found, strict=True):
            data = value.to_bytes(bits // 8, "little")
            stored(warp, instr, thread, space_in(instr), address(position), data)


def wmma_multiply(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """wmma.mma…shape.dtype.ctype is fp16; other operand types are named: …dtype.atype.btype.ctype."""
    shape, _ = _wmma_words(instr)
    at = next(i for i, w in enumerate(instr.modifiers) if w[0] == "m" and w[1:2].isdigit())
    kinds = [word for word in instr.modifiers[at + 1 :] if word != "satfinite"]
    d_kind, a_kind, b_kind, c_kind = kinds if len(kinds) == 4 else (kinds[0], "f16", "f16", kinds[1])
    d, a, b, c = instr.operands

    def fragment(operand: Operand, part: str, element: Element) -> dict[Position, float | int]:
        layout = wmma_layout(part, shape, element.bits, _slots(operand, element.bits))
        return gather(warp, instr, threads, operand, layout, element)

    result = product(
        fragment(a, "a", ELEMENTS[a_kind]),
        fragment(b, "b", ELEMENTS[b_kind]),
        fragment(c, "c", ACCUMULATORS[c_kind]),
        shape.k,
        d_kind,
        saturate="satfinite" in instr.modifiers,
    )
    bits = ACCUMULATORS[d_kind].bits
    scatter(warp, threads, d, wmma_layout("d", shape, bits, _slots(d, bits)), result, bits)


I8 = ("s8", "u8")
MMA_KINDS = (
    *((f"m16n8k{k}", kinds) for k in (8, 16) for kinds in ("f32.f16", "f16.f16", "f32.bf16")),
    *((f"m16n8k{k}", "f32.tf32") for k in (4, 8)),
    *((f"m16n8k{k}", f"s32.{a}.{b}{s}") for k in (16, 32) for a in I8 for b in I8 for s in ("", ".satfinite")),
    ("m8n8k4", "f64.f64"),
)
"""Shape; result and operand types. Both operands of a floating product have one type, and c has that of d."""
WMMA_SHAPES = ("m16n16k16", "m8n32k16", "m32n8k16")
WMMA_KINDS = ("f16", "bf16", "s8", "u8")


def _rows() -> Iterator[WarpRow]:
    for shape, kinds in MMA_KINDS:
        yield WarpRow(f"mma.{shape}.{kinds}", multiply, Pipe.TENSOR)
    for shape in WMMA_SHAPES:
        for kind in WMMA_KINDS:
            for part in "ab":
                yield WarpRow(f"wmma.load.{part}.{shape}.{kind}", wmma_load, Pipe.LSU)
        for kind in ("f16", "f32", "s32"):
            yield WarpRow(f"wmma.load.c.{shape}.{kind}", wmma_load, Pipe.LSU)
            yield WarpRow(f"wmma.store.d.{shape}.{kind}", wmma_store, Pipe.LSU)
        for d in ("f16", "f32"):
            for c in ("f16", "f32"):
                yield WarpRow(f"wmma.mma.{shape}.{d}.f16.{c}", wmma_multiply, Pipe.TENSOR)
        yield WarpRow(f"wmma.mma.{shape}.f32.bf16.f32", wmma_multiply, Pipe.TENSOR)
        for kind in I8:
            yield WarpRow(f"wmma.mma.{shape}.s32.{kind}.s32", wmma_multiply, Pipe.TENSOR)
    tf32 = "m16n16k8"
    for part in "ab":
        yield WarpRow(f"wmma.load.{part}.{tf32}.tf32", wmma_load, Pipe.LSU)
    yield WarpRow(f"wmma.load.c.{tf32}.f32", wmma_load, Pipe.LSU)
    yield WarpRow(f"wmma.store.d.{tf32}.f32", wmma_store, Pipe.LSU)
    yield WarpRow(f"wmma.mma.{tf32}.f32.tf32.f32", wmma_multiply, Pipe.TENSOR)


ROWS: tuple[WarpRow, ...] = tuple(_rows())
