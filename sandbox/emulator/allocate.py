"""Places in the register file: values that are never live together share one.

PTX has a register for every result, so a warp's file would be far larger than the first-level cache. Liveness is
that of one lane's path; a place may hold different values in lanes that stand at different instructions, because
results are written for the active lanes alone. Method: Poletto and Sarkar, "Linear Scan Register Allocation" (1999).
"""

from __future__ import annotations

import heapq

from warpsmith.sandbox.emulator.bytecode import DraftBlock, DraftProgram, Value
from warpsmith.sandbox.emulator.definedness import mark_definedness

LANES = 32


def allocate(program: DraftProgram) -> int:
    """Set every value's `offset` and return the bytes of a warp's register file.

    4-byte and 8-byte values have places of their own: sharing between widths would let a result overlap a source's
    other lanes.
    """
    values, intervals, unwritten = _intervals(program)
    if unwritten and mark_definedness(program, unwritten):
        for value in values:
            value.number = -1
        values, intervals, _ = _intervals(program)
    end = 0
    for width in (8, 4):
        for value in program.constants:
            if value.width == width:
                value.offset = end
                end += width * LANES
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


def _intervals(program: DraftProgram) -> tuple[list[Value], list[list[int]], list[Value]]:
    """Values that are not constants, the first and last position each is live at, and those live at the entry, which
    some path reads before it writes them.

    Operation i reads at position 2i and writes at 2i + 1.
    """
    values: list[Value] = []
    accesses = [_accesses(block, values) for block in program.blocks]
    live_in, live_out = _live(program.blocks, [_uses(block) for block in accesses])
    first, last = [1 << 60] * len(values), [-1] * len(values)
    position = 0
    for index, block in enumerate(accesses):
        for i in _members(live_in[index]):
            first[i], last[i] = min(first[i], position), position
        # Positions grow, so the latest touch is the last.
        for read, written in block:
            for i in read:
                if first[i] > position:
                    first[i] = position
                last[i] = position
            position += 1
            for i in written:
                if first[i] > position:
                    first[i] = position
                last[i] = position
            position += 1
        for i in _members(live_out[index]):
            first[i], last[i] = min(first[i], position), position
    unwritten = [values[i] for i in _members(live_in[0])] if live_in else []
    return values, [[start, stop] for start, stop in zip(first, last, strict=True)], unwritten


_Accesses = list[tuple[list[int], list[int]]]
"""(read, written) of each operation, as positions in a list of values."""


def _accesses(block: DraftBlock, values: list[Value]) -> _Accesses:
    """Number what operations touch; values not met before join `values`."""
    found: _Accesses = []
    for draft in block.operations:
        touched: list[list[int]] = []
        for side in (draft.reads(), draft.writes()):
            numbers = []
            for value in side:
                if value.constant is not None:
                    continue
                if value.number < 0:
                    value.number = len(values)
                    values.append(value)
                numbers.append(value.number)
            touched.append(numbers)
        found.append((touched[0], touched[1]))
    return found


def _members(bits: int) -> list[int]:
    found = []
    while bits:
        low = bits & -bits
        found.append(low.bit_length() - 1)
        bits ^= low
    return found


def _uses(block: _Accesses) -> tuple[int, int]:
    """(read before written, written) of a block, as sets of bits."""
    before: set[int] = set()
    written: set[int] = set()
    for reads, writes in block:
        before.update(i for i in reads if i not in written)
        written.update(writes)
    return _bits(before), _bits(written)


def _bits(members: set[int]) -> int:
    """A set as an integer's bits, made at once: a long integer is copied at every change."""
    if not members:
        return 0
    octets = bytearray(max(members) // 8 + 1)
    for i in members:
        octets[i >> 3] |= 1 << (i & 7)
    return int.from_bytes(octets, "little")


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
