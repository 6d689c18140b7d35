"""Values at a bench shape whose launches are too large to run whole: as much of each as hangs together.

Of every large launch the blocks along the axes through one point run, of every small one all. Scratch that nobody wrote
holds large values, of one sign in a first run and of the other in a second. What a sampled block of the last launch
wrote alike in both depends on written values alone, so it must be right; the rest is not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.counters import LaunchCounters
from warpsmith.core.plan import BoundLaunch, BoundPlan
from warpsmith.core.protocols import Launcher, RunReply, RunRequest

CHEAP_WARPS = 2e6
"""Warp instructions up to which a launch runs whole."""
PART_WARPS = 2e6
"""Warp instructions that the chosen blocks of a large launch may take."""
GROUP = 8

Grid = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Part:
    """What can be judged of a call."""

    reply: RunReply
    alike: Mapping[str, NDArray[np.bool_]]
    """By output, flat: elements that were written, and alike in both runs where there were two."""


def run_partly(
    launcher: Launcher, request: RunRequest, counters: Sequence[LaunchCounters], needed: Collection[int], seed: int
) -> Part | None:
    """Run what hangs together, twice; None where there is no such part or nothing comes of it.

    Args:
        launcher: Runs both.
        request: A sampled call.
        counters: What each launch issues in all, in plan order.
        needed: Positions in the plan of launches all of whose blocks run, however long that takes.
        seed: Draws the point.
    """
    chosen = _chosen(request.plan, counters, needed, seed)
    if chosen is None:
        return None
    whole, blocks = chosen
    part = replace(request, whole=whole, blocks=blocks, counters=False)
    first, second = (launcher.run(replace(part, junk=sign)) for sign in (1, -1))
    if first.failure is not None or second.failure is not None:
        return None
    alike = {
        name: _together(mask & second.changed[name] & (first.outputs[name].bits == second.outputs[name].bits))
        for name, mask in first.changed.items()
    }
    return Part(first, alike) if any(mask.any() for mask in alike.values()) else None


def _chosen(
    plan: BoundPlan, counters: Sequence[LaunchCounters], needed: Collection[int], seed: int
) -> tuple[frozenset[int], dict[int, tuple[int, ...]]] | None:
    """Steps to run whole, and the blocks of the others."""
    positions = [number for number, step in enumerate(plan.steps) if isinstance(step, BoundLaunch)]
    issued = [sum(item.warp_instructions.values()) for item in counters]
    whole: set[int] = set()
    large: list[tuple[int, BoundLaunch, float]] = []
    for number, step, warps in zip(positions, plan.launches, issued, strict=True):
        if number in needed or warps <= CHEAP_WARPS:
            whole.add(number)
        else:
            large.append((number, step, warps))
    point = Point.drawn([step.grid for _, step, _ in large], seed)
    blocks = {
        number: point.lines(step.grid, int(PART_WARPS * prod(step.grid) / warps)) for number, step, warps in large
    }
    fitting = {number: lines for number, lines in blocks.items() if lines is not None}
    return (frozenset(whole), fitting) if len(fitting) == len(blocks) else None


def _together(alike: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Elements all of whose group of GROUP in memory are alike: single ones of 16 bits are so by chance."""
    whole = alike[: alike.size // GROUP * GROUP].reshape(-1, GROUP).all(axis=1)
    kept = np.zeros_like(alike)
    kept[: whole.size * GROUP] = whole.repeat(GROUP)
    return kept


@dataclass(frozen=True, slots=True)
class Point:
    """A cell of the coarsest of some grids, axis by axis: the same share of every one of them.

    What one launch computes for a tile of rows is then there whole when the next asks for it.
    """

    cells: Grid
    """Extent of the coarsest grid along each axis, of those that have more than one block there."""
    at: Grid

    @classmethod
    def drawn(cls, grids: Sequence[Grid], seed: int) -> Point:
        """A random one."""
        x, y, z = (min((grid[axis] for grid in grids if grid[axis] > 1), default=1) for axis in range(3))
        random = np.random.default_rng(seed)
        return cls((x, y, z), (int(random.integers(x)), int(random.integers(y)), int(random.integers(z))))

    def lines(self, grid: Grid, most: int) -> tuple[int, ...] | None:
        """Linear indices of a grid's blocks along every axis through the cell, while they are `most` at most.

        Short lines come first; None where not even the shortest fits.
        """
        cell = [self._span(grid, axis) for axis in range(3)]
        lines = [{*_blocks(grid, [*cell[:axis], range(grid[axis]), *cell[axis + 1 :]])} for axis in range(3)]
        found: set[int] = set()
        for line in sorted(lines, key=len):
            if len(found | line) > most:
                break
            found |= line
        return tuple(sorted(found)) or None

    def _span(self, grid: Grid, axis: int) -> range:
        start = self.at[axis] * grid[axis] // self.cells[axis]
        return range(start, max(start + 1, (self.at[axis] + 1) * grid[axis] // self.cells[axis]))


def _blocks(grid: Grid, spans: Sequence[range]) -> Iterator[int]:
    x, y, _ = grid
    return (i + x * (j + y * k) for i in spans[0] for j in spans[1] for k in spans[2])
