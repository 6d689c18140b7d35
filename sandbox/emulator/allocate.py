"""Places in the register file: values that are never live together share one.

PTX has a register for every result, so a warp's file would be far larger than the first-level cache. Liveness is
that of one lane's path; a place may hold different values in lanes that stand at different instructions, because
results are written for the active lanes alone. Method: Poletto and Sarkar, "Linear Scan Register Allocation" (1999).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

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
    touched = _Touched()
    uses, starts = [], [0]
    for block in program.blocks:
        uses.append(touched.block(block))
        starts.append(touched.position)
    live_in, live_out = _live(program.blocks, uses)
    spans = touched.spans
    borders = []
    for index in range(len(program.blocks)):
        borders += [(live_in[index], starts[index]), (live_out[index], starts[index + 1])]
    for i, position in _first_members(borders):
        spans[i][0] = min(spans[i][0], position)
    for i, position in _first_members(borders[::-1]):
        spans[i][1] = max(spans[i][1], position)
    unwritten = [touched.values[i] for i in _members(live_in[0])] if live_in else []
    return touched.values, spans, unwritten


def _first_members(borders: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Each member of the (set, position) once, with the position of the first set that has it."""
    seen = 0
    for members, position in borders:
        for i in _members(members & ~seen):
            yield i, position
        seen |= members


class _Touched:
    """What operations read and write, in their order."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        """In the order they are met in."""
        self.spans: list[list[int]] = []
        """The first and last position that touches each."""
        self.position = 0

    def block(self, block: DraftBlock) -> tuple[int, int]:
        """Number what the block touches: (read before written, written), as sets of bits."""
        before: set[int] = set()
        written: set[int] = set()
        position = self.position
        for draft in block.operations:
            # Few operations have a list, or leave lanes out.
            plain = not draft.items and not draft.partial
            for value in (draft.a, draft.b, draft.c, draft.e) if plain else draft.reads():
                if type(value) is Value and value.constant is None:
                    number = self._touch(value, position)
                    if number not in written:
                        before.add(number)
            position += 1
            for value in (draft.d,) if plain else draft.writes():
                if value is not None and value.constant is None:
                    written.add(self._touch(value, position))
            position += 1
        self.position = position
        return _bits(before), _bits(written)

    def _touch(self, value: Value, position: int) -> int:
        number = value.number
        if number < 0:
            number = value.number = len(self.values)
            self.values.append(value)
            self.spans.append([position, position])
        else:
            # Positions grow, so the latest touch is the last.
            self.spans[number][1] = position
        return number


def _members(bits: int) -> list[int]:
    found = []
    while bits:
        low = bits & -bits
        found.append(low.bit_length() - 1)
        bits ^= low
    return found


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
