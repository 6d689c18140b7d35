"""How far results are used from where they are made, and what a warp alone would wait for.

Both look at basic blocks and at the block before, or the next one, that control most often goes through.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.emulator.dataflow import Kind, is_global_load, kind_of, read_registers, written_registers
from warpsmith.sandbox.emulator.isa.row import Pipe
from warpsmith.sandbox.emulator.isa.table import lookup
from warpsmith.sandbox.emulator.program import Entry

NOMINAL: Mapping[Kind, int] = MappingProxyType(
    {Kind.ARITHMETIC: 4, Kind.SFU: 20, Kind.TENSOR: 33, Kind.SHARED: 29, Kind.GLOBAL: 400}
)
"""Cycles by which the longest chain is found; the time model prices its steps with the target's own."""
Counts = Sequence[float] | NDArray[np.floating[Any]]
"""Times a warp entered each basic block."""
ISSUE = "issue"
FARTHEST = 256
"""Instructions after which a use is no longer looked for."""


@dataclass(slots=True)
class Uses:
    """Distances to first uses, weighted by executions."""

    results: float = 0
    total: float = 0
    histogram: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, distance: int, times: float) -> None:
        self.results += times
        self.total += distance * times
        self.histogram[bucket(distance)] += times


def bucket(distance: int) -> str:
    """`1`, `2-3`, `4-7`, `8-15`, `16-31` or `32+`."""
    if distance >= 32:
        return "32+"
    low = 1 << (distance.bit_length() - 1)
    return str(low) if low == 1 else f"{low}-{2 * low - 1}"


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction, as far as data flow goes."""

    position: int
    kind: Kind
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    issues: bool
    """It takes an issue slot."""
    loads: bool = False
    """It loads from global memory."""
    copies: bool = False
    """It starts an asynchronous copy."""
    pending: int = -1
    """It waits until only so many groups of copies are in flight; -1 for any other instruction."""


Steps = tuple[tuple[Step, ...], ...]
"""Of an entry, by basic block."""


def steps_of(entry: Entry) -> Steps:
    """An entry's instructions as far as data flow goes."""
    return tuple(tuple(_step(entry, position) for position in range(block.start, block.stop)) for block in entry.blocks)


def _step(entry: Entry, position: int) -> Step:
    instr = entry.instructions[position]
    waits = instr.opcode == "cp" and {"wait_group", "wait_all"} & set(instr.modifiers)
    groups = [operand.bits for operand in instr.operands if hasattr(operand, "bits")] if waits else []
    return Step(
        position,
        kind_of(instr),
        tuple(register.index for register in read_registers(instr)),
        tuple(register.index for register in written_registers(instr)),
        lookup(instr).pipe is not Pipe.NONE,
        is_global_load(instr),
        instr.opcode == "cp" and is_global_load(instr),
        (groups[0] if groups else 0) if waits else -1,
    )


def distances(entry: Entry, blocks: Steps, block_warps: Counts) -> Iterator[tuple[int, Kind, int, float]]:
    """(instruction, kind, issue slots to the first use of its result, executions) of each result that is used.

    Beyond its basic block a use is looked for along the successors most often entered.
    """
    for index, steps in enumerate(blocks):
        times = float(block_warps[index])
        if times:
            after = islice(_following(entry, blocks, block_warps, index), FARTHEST)
            for step, distance in _first_uses(steps, after):
                yield step.position, step.kind, distance, times


def _following(entry: Entry, blocks: Steps, block_warps: Counts, index: int) -> Iterator[Step]:
    """Steps behind a block along the path most often taken; a loop has no end."""
    while entry.blocks[index].successors:
        index = max(entry.blocks[index].successors, key=lambda successor: float(block_warps[successor]))
        yield from blocks[index]


def _first_uses(steps: Sequence[Step], after: Iterator[Step]) -> Iterator[tuple[Step, int]]:
    """Steps whose result is used, with the issue slots to the first use; at least 1."""
    waiting: dict[int, tuple[Step, int]] = {}
    slot = 0
    for number, step in enumerate(chain(steps, after)):
        used = {waiting[register] for register in step.reads if register in waiting}
        for made, then in used:
            yield made, max(1, slot - then)
            for register in made.writes:
                waiting.pop(register, None)
        for register in step.writes:
            waiting.pop(register, None)
            if number < len(steps) and step.issues:
                waiting[register] = step, slot
        slot += step.issues


def dependent_steps(entry: Entry, blocks: Steps, block_warps: Counts) -> dict[str, float]:
    """Latencies on the longest chain of each basic block, by kind, summed over its executions.

    A warp issues in order, so a block begins when the one before has issued its last instruction; inside, ptxas is
    taken to find the best order. What is still under way from the block before (the last iteration of a loop) is waited
    for where it is used. Where issuing takes longer than waiting, the difference counts as `issue` steps.
    """
    total: dict[str, float] = defaultdict(float)
    before = _hottest_predecessors(entry, block_warps)
    for index, steps in enumerate(blocks):
        times = float(block_warps[index])
        if not times:
            continue
        timeline = _Timeline()
        previous = before[index]
        if previous is not None:
            timeline.run(blocks[previous])
        for kind, count in timeline.run(steps).items():
            total[kind] += count * times
    return dict(total)


def loads_in_flight(blocks: Steps, block_warps: Counts, dependent: Mapping[str, float]) -> float:
    """Global loads of one warp for each time that it waits for memory; at least 1."""
    loads = sum(
        float(times) * sum(step.loads for step in steps) for steps, times in zip(blocks, block_warps, strict=True)
    )
    waits = dependent.get(Kind.GLOBAL, 0.0)
    return max(1.0, loads / waits) if waits else max(1.0, loads / max(1.0, float(max(block_warps, default=1.0))))


def _hottest_predecessors(entry: Entry, block_warps: Counts) -> list[int | None]:
    found: list[int | None] = [None] * len(entry.blocks)
    for index, block in enumerate(entry.blocks):
        for successor in block.successors:
            rival = found[successor]
            if block_warps[index] and (rival is None or block_warps[index] > block_warps[rival]):
                found[successor] = index
    return found


@dataclass(slots=True)
class _Made:
    """A result: when it is there, and what its chain waited for since the block began."""

    ready: float
    waited: dict[str, float]


@dataclass(slots=True)
class _Timeline:
    """Issue times of blocks that follow each other."""

    start: float = 0.0
    made: dict[int, _Made] = field(default_factory=dict)
    copies: _Made | None = None

    def run(self, steps: Sequence[Step]) -> dict[str, float]:
        """Latencies waited for between the block's start and its last issue."""
        last = self.start
        waited: dict[str, float] = {}
        for step in steps:
            sources = [self.made[register] for register in step.reads if register in self.made]
            cause = max(sources, key=lambda made: made.ready, default=None)
            ready, path = (cause.ready, cause.waited) if cause and cause.ready > self.start else (self.start, {})
            if step.pending >= 0 and self.copies and self.copies.ready > ready:
                ready, path = self._arrived(step.pending, ready, path)
            self._make(step, ready, path)
            if ready > last:
                last, waited = ready, path
        slots = sum(step.issues for step in steps)
        spent = last - self.start
        self._begin_next(max(last, self.start + slots))
        return {**waited, ISSUE: slots - spent} if slots > spent else waited

    def _arrived(self, pending: int, ready: float, path: dict[str, float]) -> tuple[float, dict[str, float]]:
        """When copies have arrived: with groups left in flight each has had as many turns of the loop to come."""
        assert self.copies is not None
        share = 1 / (pending + 1)
        arrival = self.start + (self.copies.ready - self.start) * share
        if arrival <= ready:
            return ready, path
        return arrival, {kind: count * share for kind, count in self.copies.waited.items()}

    def _make(self, step: Step, ready: float, path: dict[str, float]) -> None:
        latency = NOMINAL[Kind.GLOBAL if step.copies else step.kind] if step.issues else 0
        kind = Kind.GLOBAL if step.copies else step.kind
        made = _Made(ready + latency, {**path, kind: path.get(kind, 0.0) + 1} if latency else path)
        for register in step.writes:
            self.made[register] = made
        if step.copies:
            self.copies = made

    def _begin_next(self, start: float) -> None:
        """Of what is under way, only the rest of its last latency is still to wait for."""
        left = {register: made for register, made in self.made.items() if made.ready > start}
        self.made = {register: _rest(made, start) for register, made in left.items()}
        if self.copies:
            self.copies = _rest(self.copies, start) if self.copies.ready > start else None
        self.start = start


def _rest(made: _Made, start: float) -> _Made:
    """What of a result is left to wait for once another block begins, as a part of its last steps."""
    whole = sum(NOMINAL[Kind(kind)] * count for kind, count in made.waited.items())
    share = (made.ready - start) / whole if whole else 0.0
    return _Made(made.ready, {kind: count * share for kind, count in made.waited.items()})
