"""Places in the register file: values that are never live together share one.

PTX has a register for every result, so a warp's file would be far larger than the first-level cache. Liveness is
that of one lane's path; a place may hold different values in lanes that stand at different instructions, because
results are written for the active lanes alone. Method: Poletto and Sarkar, "Linear Scan Register Allocation" (1999).
"""

from __future__ import annotations

import heapq

from warpsmith.sandbox.emulator.bytecode import DraftBlock, DraftProgram, Value

LANES = 32


def allocate(program: DraftProgram) -> int:
    """Set every value's `offset` and return the bytes of a warp's register file.

    4-byte and 8-byte values have places of their own: sharing between widths would let a result overlap a source's
    other lanes.
    """
    end = 0
    for width in (8, 4):
        for value in program.constants:
            if value.width == width:
                value.offset = end
                end += width * LANES
    values, intervals = _intervals(program)
    for width in (8, 4):
        chosen = [i for i, value in enumerate(values) if value.width == width]
        end = _scan(values, intervals, chosen, end, width * LANES)
    return end


def _scan(values: list[Value], intervals: list[list[int]], chosen: list[int], end: int, size: int) -> int:
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    for i in sorted(chosen, key=lambda i: intervals[i][0]):
        start, stop = intervals[i]
        while busy and busy[0][0] < start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if not free:
            free.append(end)
            end += size
        values[i].offset = heapq.heappop(free)
        heapq.heappush(busy, (stop, values[i].offset))
    return end


def _intervals(program: DraftProgram) -> tuple[list[Value], list[list[int]]]:
    """Values that are not constants, and the first and last position each is live at.

    Operation i reads at position 2i and writes at 2i + 1.
    """
    values: list[Value] = []
    number: dict[int, int] = {}
    for block in program.blocks:
        for draft in block.operations:
            for value in (*draft.reads(), *draft.writes()):
                if value.constant is None and id(value) not in number:
                    number[id(value)] = len(values)
                    values.append(value)
    uses = [_uses(block, number) for block in program.blocks]
    live_in, live_out = _live(program.blocks, uses)
    intervals = [[1 << 60, -1] for _ in values]

    def touch(i: int, at: int) -> None:
        interval = intervals[i]
        interval[0] = min(interval[0], at)
        interval[1] = max(interval[1], at)

    position = 0
    for index, block in enumerate(program.blocks):
        for i in _members(live_in[index]):
            touch(i, position)
        for draft in block.operations:
            for value in draft.reads():
                if value.constant is None:
                    touch(number[id(value)], position)
            for value in draft.writes():
                touch(number[id(value)], position + 1)
            position += 2
        for i in _members(live_out[index]):
            touch(i, position)
    return values, intervals


def _members(bits: int) -> list[int]:
    found = []
    while bits:
        low = bits & -bits
        found.append(low.bit_length() - 1)
        bits ^= low
    return found


def _uses(block: DraftBlock, number: dict[int, int]) -> tuple[int, int]:
    """(read before written, written) of a block, as sets of bits."""
    read = written = 0
    for draft in block.operations:
        for value in draft.reads():
            if value.constant is None:
                read |= 1 << number[id(value)] & ~written
        for value in draft.writes():
            written |= 1 << number[id(value)]
    return read, written


def _live(blocks: list[DraftBlock], uses: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    live_in = [read for read, _ in uses]
    live_out = [0] * len(blocks)
    changed = True
    while changed:
        changed = False
        for index in range(len(blocks) - 1, -1, -1):
            out = 0
            for successor in blocks[index].successors:
                out |= live_in[successor]
            read, written = uses[index]
            into = read | (out & ~written)
            if out != live_out[index] or into != live_in[index]:
                live_out[index], live_in[index] = out, into
                changed = True
    return live_in, live_out
