"""From what the emulator counted per instruction to what a launch did: by pipe, by memory level, by source line."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.counters import Branches, LaunchCounters
from warpsmith.core.quantity import Source
from warpsmith.sandbox.counting.bill import BRANCHES, Bill, accounts, bypasses_l1, distances_of
from warpsmith.sandbox.counting.estimate import FIELDS, GridCounts, relative_errors, scale_up
from warpsmith.sandbox.counting.l2 import L2Estimate, estimate
from warpsmith.sandbox.counting.sampling import group_blocks
from warpsmith.sandbox.emulator.dependencies import Steps, Uses, dependent_steps, distances, loads_in_flight, steps_of
from warpsmith.sandbox.emulator.isa.row import Pipe
from warpsmith.sandbox.emulator.isa.table import lookup
from warpsmith.sandbox.emulator.machine import LaunchResult, LaunchSpec
from warpsmith.sandbox.emulator.program import Entry, Instr

SECTOR = 32
_TILE = re.compile(r"m(\d+)n(\d+)k(\d+)$")
_ASKS = {"global_load": "load", "global_store": "store", "global_atomic": "atomic"}


def count_launch(
    kernel: str,
    entry: Entry,
    spec: LaunchSpec,
    result: LaunchResult,
    buffer_bytes: int,
    steps: Steps | None = None,
) -> LaunchCounters:
    """Scale one launch's counts from the blocks that ran to the whole grid.

    Args:
        kernel: the plan's name expression.
        entry: the program that ran.
        spec: its grid and the blocks asked for.
        result: a result without a fault.
        buffer_bytes: size of all buffers the launch was given, in bytes: no footprint is larger.
        steps: the entry's data flow, where somebody has it already.
    """
    return _Count(kernel, entry, spec, result, buffer_bytes, steps or steps_of(entry)).counters()


@dataclass(slots=True)
class _Count:
    """One launch on its way to counters."""

    kernel: str
    entry: Entry
    spec: LaunchSpec
    result: LaunchResult
    buffer_bytes: int
    steps: Steps
    grid: GridCounts = field(init=False)
    l2: L2Estimate | None = field(init=False)
    whole: Bill = field(default_factory=Bill)
    lines: dict[int, Bill] = field(default_factory=lambda: defaultdict(Bill))
    flops: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    barriers: float = 0
    uses: dict[str, Uses] = field(default_factory=lambda: defaultdict(Uses))

    def __post_init__(self) -> None:
        self.grid = scale_up(self.spec, self.result)
        for position, site in self.grid.sites.items():
            if bypasses_l1(self.entry.instructions[position]):
                site["fresh_sectors"] = site["sectors"]
        self.l2 = self._l2()

    def counters(self) -> LaunchCounters:
        for index, block in enumerate(self.entry.blocks):
            warps, threads = float(self.grid.block_warps[index]), float(self.grid.block_threads[index])
            if warps:
                for position in range(block.start, block.stop):
                    self._charge(position, warps, threads)
        steps = self.steps
        chain = dependent_steps(self.entry, steps, self.grid.block_warps)
        for position, kind, distance, times in distances(self.entry, steps, self.grid.block_warps):
            for uses in (self.uses[kind.value], self.lines[self.entry.instructions[position].line].uses):
                uses.add(distance, times)
        result, whole, blocks = self.result, self.whole, prod(self.spec.grid)
        return LaunchCounters(
            source=Source.EMULATED,
            kernel=self.kernel,
            grid_blocks=blocks,
            block_threads=prod(self.spec.block),
            blocks_counted=result.blocks_run,
            warp_instructions=dict(whole.pipes),
            thread_instructions=whole.threads,
            active_instructions=whole.active if self.grid.guarded_lanes is not None else 0,
            tensor_flops=dict(self.flops),
            **whole.traffic,
            **whole.shared,
            branches=Branches(executed=whole.branches, divergent=whole.divergent),
            l2=self.l2.traffic if self.l2 else None,
            atomic_lanes=whole.atomics,
            atomic_serial=whole.serial,
            atomic_hottest=_hottest(result, blocks),
            barriers=self.barriers,
            block_unique_load_bytes=whole.traffic["global_load"].l1_misses * SECTOR,
            footprint_bytes=self._footprint(),
            heaviest_block=_heaviest(result),
            outstanding_loads=loads_in_flight(steps, self.grid.block_warps, chain),
            distances={kind: distances_of(uses) for kind, uses in self.uses.items()},
            dependent_steps=chain,
            sampling_errors=sampling_errors(self.entry, self.spec, result),
            lines=tuple(bill.line(number) for number, bill in sorted(self.lines.items())),
        )

    def _charge(self, position: int, warps: float, threads: float) -> None:
        instr = self.entry.instructions[position]
        pipe = lookup(instr).pipe
        if pipe is Pipe.NONE:
            return
        guarded = self.grid.guarded_lanes
        active = threads if instr.guard is None or guarded is None else float(guarded[position])
        site = self.grid.sites.get(position)
        dram = self.l2.misses.get(position, 0.0) if self.l2 else 0.0
        for bill in (self.whole, self.lines[instr.line]):
            bill.pipes[pipe.value] += warps
            bill.threads += threads
            bill.active += active
            if instr.opcode in BRANCHES:
                bill.branches += warps
                bill.divergent += float(self.grid.divergent[position])
            if site is not None and site["requests"]:
                bill.memory(instr, site, dram)
        if pipe is Pipe.TENSOR:
            kind, amount = tensor_flops(instr)
            self.flops[kind] += amount * warps
        if instr.opcode in ("bar", "barrier"):
            self.barriers += warps

    def _l2(self) -> L2Estimate | None:
        if self.result.l2 is None:
            return None
        asked = {
            position: (_ASKS[kind], site["fresh_sectors" if kind == "global_load" else "sectors"])
            for position, site in self.grid.sites.items()
            for kind in accounts(self.entry.instructions[position], site)
            if kind in _ASKS
        }
        blocks, ran = prod(self.spec.grid), self.result.blocks_run
        return estimate(self.result.l2, blocks=blocks, ran=ran, asked=asked)

    def _footprint(self) -> float:
        if self.l2 is not None:
            return self.l2.footprint * SECTOR
        moved = sum(self.whole.traffic[name].sectors for name in _ASKS) * SECTOR
        return min(moved, float(self.buffer_bytes))


def sampling_errors(entry: Entry, spec: LaunchSpec, result: LaunchResult) -> dict[str, float]:
    """Relative standard errors of the totals that were scaled from sampled blocks; empty where every block ran."""
    samples = result.samples
    if samples is None or spec.blocks is None or result.blocks_run >= prod(spec.grid):
        return {}
    amounts: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(len(samples.block_warps)))
    for index, block in enumerate(entry.blocks):
        warps = samples.block_warps[:, index].astype(np.float64)
        if not warps.any():
            continue
        pipes = [lookup(entry.instructions[position]).pipe for position in range(block.start, block.stop)]
        for pipe in {pipe for pipe in pipes if pipe is not Pipe.NONE}:
            amounts[f"warp_instructions.{pipe.value}"] += warps * pipes.count(pipe)
        issued = len(pipes) - pipes.count(Pipe.NONE)
        amounts["warp_instructions"] += warps * issued
        amounts["thread_instructions"] += samples.block_threads[:, index] * float(issued)
    for position, rows in samples.sites.items():
        if not rows[:, 0].any():
            continue
        instr = entry.instructions[position]
        site = dict(zip(FIELDS, rows.sum(axis=0), strict=True))
        for kind in accounts(instr, site):
            for name in ("wavefronts",) if kind.startswith("shared") else ("requests", "sectors"):
                amounts[f"{kind}.{name}"] += rows[:, FIELDS.index(name)]
        amounts["block_unique_load_bytes"] += rows[:, FIELDS.index("fresh_sectors")] * float(SECTOR)
        if instr.opcode in ("atom", "red"):
            amounts["atomic_lanes"] += rows[:, FIELDS.index("lanes")]
    return relative_errors(group_blocks(spec.grid, spec.blocks), amounts)


def _heaviest(result: LaunchResult) -> float:
    if not result.heaviest_block or not result.warp_instructions:
        return 1.0
    return max(1.0, result.heaviest_block * result.blocks_run / result.warp_instructions)


def _hottest(result: LaunchResult, blocks: int) -> float:
    """Passes on the busiest address over the whole grid.

    Of n counted blocks b update it. One of them does for certain; any other block does with probability
    (b - 1) / (n - 1), so that an address of one block's own does not grow with the grid.
    """
    if not result.busiest_lanes or not result.busiest_blocks:
        return 0.0
    counted, updating = result.blocks_run, result.busiest_blocks
    shared = (updating - 1) / (counted - 1) if counted > 1 else 1.0
    return result.busiest_lanes / updating * (1 + shared * (blocks - 1))


def tensor_flops(instr: Instr) -> tuple[str, float]:
    """(operand type, multiply-adds x 2) of one warp-level matrix instruction; zero for fragment loads."""
    tile = next((found for word in instr.modifiers if (found := _TILE.match(word))), None)
    if tile is None or (instr.opcode == "wmma" and "mma" not in instr.modifiers):
        return "f16", 0.0
    types = [word for word in instr.modifiers if word in ("f16", "bf16", "tf32", "f64", "s8", "u8", "s4", "u4", "b1")]
    kind = next((word for word in types if word != "f16"), "f16")
    return kind, 2.0 * prod(int(extent) for extent in tile.groups())
