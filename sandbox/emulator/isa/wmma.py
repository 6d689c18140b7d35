"""wmma.load and wmma.store: fragments to and from memory.

A lane moves its elements one after another; elements of less than a byte as whole registers, which PTX keeps together
in memory (`a` by rows, `b` by columns).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..program import Instr, Operand, Vector
from .fragments import Fragment, Position, bits_of, scatter, slots_of
from .matrix import wmma_fragment
from .product_words import WMMA_PRODUCTS, Shape
from .row import Pipe, WarpRow
from .state import Thread, Warp
from .warp_memory import items, reached, space_in, stored


def _words(instr: Instr) -> tuple[Fragment, bool]:
    """The fragment and whether memory has it by rows: wmma.load.PART.sync.aligned.ORDER.SHAPE{.space}.TYPE."""
    words = instr.modifiers
    shape = Shape.parse(words[5])
    return wmma_fragment(words[1], words[-1], shape.m, shape.n, shape.k), words[4] == "row"


def _addresses(
    warp: Warp, instr: Instr, thread: Thread, fragment: Fragment, *, by_row: bool
) -> Callable[[Position], int]:
    memory = next(operand for operand in instr.operands if not isinstance(operand, Vector))
    base = warp.block.address(thread, memory, instr)
    stride = fragment.columns if by_row else fragment.rows
    last = instr.operands[-1]
    if not isinstance(last, Vector) and last is not memory:
        stride = warp.block.read(thread, last, 32, instr)

    def address(position: Position) -> int:
        row, column = position
        index = row * stride + column if by_row else column * stride + row
        return base + index * fragment.element.bits // 8

    return address


def load(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    fragment, by_row = _words(instr)
    target, element = instr.operands[0], fragment.element
    for thread in threads:
        address = _addresses(warp, instr, thread, fragment, by_row=by_row)
        positions = fragment.positions(thread.lane, slots_of(target, element))
        if element.bits < 8:
            for i, register in enumerate(items(target)):
                where = address(positions[i * element.per_register])
                data = reached(warp, instr, thread, space_in(instr), where, 4)
                warp.block.write(thread, register, int.from_bytes(data, "little"), "b32")
            continue
        matrix = {p: _loaded(warp, instr, thread, address(p), element.bits // 8) for p in positions}
        scatter(warp, [thread], target, fragment, matrix)


def _loaded(warp: Warp, instr: Instr, thread: Thread, address: int, size: int) -> int:
    return int.from_bytes(reached(warp, instr, thread, space_in(instr), address, size), "little")


def store(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    fragment, by_row = _words(instr)
    source: Operand = instr.operands[1]
    size = fragment.element.bits // 8
    for thread in threads:
        address = _addresses(warp, instr, thread, fragment, by_row=by_row)
        found = bits_of(warp, instr, thread, source, fragment.element)
        for position, value in zip(fragment.positions(thread.lane, len(found)), found, strict=True):
            stored(warp, instr, thread, space_in(instr), address(position), value.to_bytes(size, "little"))


def _rows() -> Iterator[WarpRow]:
    names: dict[str, None] = {}
    for words in WMMA_PRODUCTS:
        names |= {f"wmma.load.a.{words.shape}.{words.a}": None, f"wmma.load.b.{words.shape}.{words.b}": None}
        names |= {f"wmma.load.c.{words.shape}.{words.c}": None, f"wmma.store.d.{words.shape}.{words.d}": None}
    for name in names:
        yield WarpRow(name, load if ".load." in name else store, Pipe.LSU)


ROWS: tuple[WarpRow, ...] = tuple(_rows())
