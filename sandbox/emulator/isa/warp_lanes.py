"""Exchanges among the lanes of a warp: shfl, vote, match, redux, activemask, elect.

The executor calls a row once every live lane of the member mask is there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from ..program import Instr, Operand, Pair
from .number import signed, wrap
from .row import Pipe, WarpRow
from .state import Thread, Warp


def _targets(operand: Operand) -> tuple[Operand, Operand | None]:
    return (operand.first, operand.second) if isinstance(operand, Pair) else (operand, None)


def source_lane(mode: str, lane: int, b: int, c: int) -> tuple[int, bool]:
    """Lane a shuffle reads and whether it is in range (PTX ISA, `shfl.sync`); out of range it is the lane itself."""
    amount, segment = b & 31, c >> 8 & 31
    limit = lane & segment | c & 31 & ~segment
    if mode == "up":
        source, inside = lane - amount, lane - amount >= limit
    elif mode == "down":
        source, inside = lane + amount, lane + amount <= limit
    elif mode == "bfly":
        source, inside = lane ^ amount, lane ^ amount <= limit
    else:
        source = lane & segment | amount & ~segment
        inside = source <= limit
    return (source if inside else lane), inside


def foreign_value(seed: int) -> int:
    """What a shuffle brings from a lane that takes no part: not defined, so a number that spoils sums and maxima.

    As binary32 it is the largest finite number, positive or negative by seed; as halves not a number.
    """
    return 0xFF7FFFFF if seed & 1 else 0x7F7FFFFF


def shuffle(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    block, mode = warp.block, instr.modifiers[1]
    value, amount, control, mask = instr.operands[1:5]
    given = {t.lane: block.read(t, value, 32, instr) for t in threads}
    target, in_range = _targets(instr.operands[0])
    for thread in threads:
        b, c = (block.read(thread, operand, 32, instr) for operand in (amount, control))
        lane, inside = source_lane(mode, thread.lane, b, c)
        member = block.read(thread, mask, 32, instr) >> lane & 1
        taken = given[lane] if member and lane in given else foreign_value(block.options.seed)
        block.write(thread, target, taken, "b32")
        if in_range is not None:
            block.write(thread, in_range, int(inside), "pred")


def vote(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    block, mode = warp.block, instr.modifiers[1]
    holds = {t.lane: block.read(t, instr.operands[1], 1, instr) for t in threads}
    ballot = sum(bit << lane for lane, bit in holds.items())
    results = {
        "ballot": ballot,
        "all": int(all(holds.values())),
        "any": int(any(holds.values())),
        "uni": int(len(set(holds.values())) == 1),
    }
    for thread in threads:
        block.write(thread, instr.operands[0], results[mode], instr.modifiers[-1])


def match(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    block, width = warp.block, int(instr.modifiers[-1][1:])
    values = {t.lane: block.read(t, instr.operands[1], width, instr) for t in threads}
    everyone = sum(1 << lane for lane in values)
    target, agreed = _targets(instr.operands[0])
    same = len(set(values.values())) == 1
    for thread in threads:
        if instr.modifiers[0] == "all":
            mask = everyone if same else 0
        else:
            mask = sum(1 << lane for lane, value in values.items() if value == values[thread.lane])
        block.write(thread, target, mask, "b32")
        if agreed is not None:
            block.write(thread, agreed, int(same), "pred")


REDUCTIONS: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "min": min,
    "max": max,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
}


def reduce_lanes(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    block, kind = warp.block, instr.modifiers[-1]
    values = [block.read(t, instr.operands[1], 32, instr) for t in threads]
    if kind == "s32":
        values = [signed(value, 32) for value in values]
    result = wrap(reduce(REDUCTIONS[instr.modifiers[1]], values), 32)
    for thread in threads:
        block.write(thread, instr.operands[0], result, "b32")


def active_mask(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    mask = sum(1 << thread.lane for thread in threads)
    for thread in threads:
        warp.block.write(thread, instr.operands[0], mask, "b32")


def elect(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """The lowest lane of the mask is the leader."""
    leader = min(thread.lane for thread in threads)
    target, elected = _targets(instr.operands[0])
    for thread in threads:
        warp.block.write(thread, target, leader, "b32")
        if elected is not None:
            warp.block.write(thread, elected, int(thread.lane == leader), "pred")


def transpose(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """Movmatrix d, a: the 8x8 matrix of halves of which lane l holds (l/4, 2(l%4)) and its neighbour, transposed."""
    held = [warp.block.read(thread, instr.operands[1], 32, instr) for thread in threads]
    for thread in threads:
        row, column = thread.lane // 4, thread.lane % 4 * 2
        halves = [held[(column + e) * 4 + row // 2] >> 16 * (row % 2) & 0xFFFF for e in range(2)]
        warp.block.write(thread, instr.operands[0], halves[0] | halves[1] << 16, "b32")


ROWS: tuple[WarpRow, ...] = (
    *(WarpRow(f"shfl.{mode}", shuffle, Pipe.LSU) for mode in ("up", "down", "bfly", "idx")),
    *(WarpRow(f"vote.{mode}", vote, Pipe.LSU) for mode in ("all", "any", "uni", "ballot")),
    *(WarpRow(f"match.{mode}.b{width}", match, Pipe.LSU) for mode in ("any", "all") for width in (32, 64)),
    *(WarpRow(f"redux.{op}.{kind}", reduce_lanes, Pipe.LSU) for op in ("add", "min", "max") for kind in ("u32", "s32")),
    *(WarpRow(f"redux.{op}.b32", reduce_lanes, Pipe.LSU) for op in ("and", "or", "xor")),
    WarpRow("activemask", active_mask, Pipe.LSU),
    WarpRow("elect", elect, Pipe.LSU),
    WarpRow("movmatrix", transpose, Pipe.LSU),
)
