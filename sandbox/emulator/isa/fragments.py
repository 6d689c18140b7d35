"""Where the elements of a warp's matrix fragments lie, and how their bits are read.

Layouts of `mma` are those of the PTX ISA's figures ("Matrix Fragments for mma"). `wmma` leaves them open; ours are what
the hardware has where an `mma` shape fits, and lane after lane elsewhere. `vm/fragments.h` has the same four.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from ..program import Instr, Operand
from .number import BF16, E4M3, E5M2, F16, F32, F64, integer_value, signed
from .state import LANES, Thread, Warp
from .warp_memory import items

Position = tuple[int, int]
"""(row, column) of a matrix."""


@dataclass(frozen=True, slots=True)
class Element:
    """How a matrix element's bits are read as a number."""

    code: int
    """Its number in `vm/fragments.h`."""
    bits: int
    number: Callable[[int], float | int]

    @property
    def per_register(self) -> int:
        return max(1, 32 // self.bits)

    @property
    def register_bits(self) -> int:
        return max(32, self.bits)


def _tf32(bits: int) -> float:
    return F32.to_float(bits & ~0x1FFF)


ELEMENTS: dict[str, Element] = {
    "f16": Element(0, 16, F16.to_float),
    "bf16": Element(1, 16, BF16.to_float),
    "tf32": Element(2, 32, _tf32),
    "e4m3": Element(3, 8, E4M3.to_float),
    "e5m2": Element(4, 8, E5M2.to_float),
    "f32": Element(5, 32, F32.to_float),
    "f64": Element(6, 64, F64.to_float),
    "s8": Element(7, 8, lambda bits: integer_value(bits, "s8")),
    "u8": Element(8, 8, lambda bits: bits),
    "s4": Element(9, 4, lambda bits: signed(bits, 4)),
    "u4": Element(10, 4, lambda bits: bits),
    "b1": Element(11, 1, lambda bits: bits),
    "s32": Element(12, 32, lambda bits: integer_value(bits, "s32")),
}


class Layout(IntEnum):
    LEFT = 0
    """A of mma: register r holds rows lane/4 + 8 (r % (rows/8))."""
    RIGHT = 1
    """B of mma: column lane/4."""
    SUMS = 2
    """C and D of mma: pairs of neighbours in a row; tiles of eight columns follow one another."""
    LINEAR = 3
    """Element i of lane l is number 32 i + l in row order."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """The part of a matrix that a warp holds in registers."""

    element: Element
    layout: Layout
    rows: int
    columns: int

    def positions(self, lane: int, slots: int) -> list[Position]:
        """Of the lane's elements in register order, low bits first; an element may lie in several slots."""
        return list(_positions(self.layout, self.rows, self.columns, self.element.per_register, lane, slots))


@cache
def _positions(layout: Layout, rows: int, columns: int, per: int, lane: int, slots: int) -> tuple[Position, ...]:
    total = rows * columns // LANES
    return tuple(_position(layout, rows, columns, per, lane, slot % total) for slot in range(slots))


def _position(layout: Layout, rows: int, columns: int, per: int, lane: int, slot: int) -> Position:
    register, e = divmod(slot, per)
    match layout:
        case Layout.LEFT:
            groups = rows // 8
            return lane // 4 + 8 * (register % groups), register // groups * 4 * per + lane % 4 * per + e
        case Layout.RIGHT:
            return register * 4 * per + lane % 4 * per + e, lane // 4
        case Layout.SUMS:
            tile, pair = divmod(slot // 2, rows // 8)
            return lane // 4 + 8 * pair, 8 * tile + lane % 4 * 2 + slot % 2
        case Layout.LINEAR:
            row, column = divmod(slot * LANES + lane, columns)
            return row, column


Matrix = dict[Position, float | int]


def slots_of(operand: Operand, element: Element) -> int:
    """Elements that a lane's registers have room for."""
    return len(items(operand)) * element.per_register


def bits_of(warp: Warp, instr: Instr, thread: Thread, operand: Operand, element: Element) -> list[int]:
    """A thread's fragment, one element after another."""
    found = []
    for register in items(operand):
        word = warp.block.read(thread, register, element.register_bits, instr)
        found += [word >> shift & (1 << element.bits) - 1 for shift in range(0, element.register_bits, element.bits)]
    return found


def gather(warp: Warp, instr: Instr, threads: list[Thread], operand: Operand, fragment: Fragment) -> Matrix:
    """The matrix that the warp's registers make up."""
    matrix: Matrix = {}
    for thread in threads:
        # Registers beyond the lane's share hold some elements again.
        found = bits_of(warp, instr, thread, operand, fragment.element)[: fragment.rows * fragment.columns // LANES]
        for position, bits in zip(fragment.positions(thread.lane, len(found)), found, strict=True):
            matrix[position] = fragment.element.number(bits)
    return matrix


def scatter(
    warp: Warp, threads: list[Thread], operand: Operand, fragment: Fragment, matrix: dict[Position, int]
) -> None:
    """Each lane's part of a matrix of bits into its registers."""
    element = fragment.element
    slots = slots_of(operand, element)
    for thread in threads:
        found = [matrix[position] for position in fragment.positions(thread.lane, slots)]
        for i, register in enumerate(items(operand)):
            part = found[i * element.per_register : (i + 1) * element.per_register]
            word = sum(value << element.bits * e for e, value in enumerate(part))
            warp.block.write(thread, register, word, f"b{element.register_bits}")
