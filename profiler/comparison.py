"""Whether measured times show one kernel to be faster than another: paired blocks, processes as replicates.

Calls of one process share its clocks, memory placement and caches, so they repeat one observation; a fresh pair of
processes is a new one. Both kernels run in alternation (ABBA) inside a block, which cancels drift; times are compared
in clock cycles, which cancels a clock that moved. See `docs/acceptance.md`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from statistics import fmean, median, stdev

LOOKS = (4, 7, 12)
"""Process pairs after which a decision may be taken."""
ERROR = 0.05
"""Chance, over all looks, of calling a kernel faster that is faster by the margin or less."""
MARGIN = 0.01
"""A win is more than this, relative."""
CLOCK_SPREAD = 0.05
"""A block is left out where a sample's clock is this far below the median of all."""
LEAST_BLOCKS = 4
"""Blocks that a process pair needs to count."""


class Finding(StrEnum):
    FASTER = "faster"
    SAME = "same"
    """Not faster by more than the margin, with as much certainty as a win would need."""
    AMBIGUOUS = "ambiguous"
    """More pairs are needed; after the last look it is no win."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed call."""

    us: float
    clock_mhz: float
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class PairedBlock:
    """Alternating calls of incumbent and challenger in one pair of processes."""

    pair: int
    incumbent: tuple[Sample, ...]
    challenger: tuple[Sample, ...]
    workload: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    finding: Finding
    speedup: float
    """Geometric mean of incumbent over challenger."""
    low: float
    high: float
    """Interval of the speedup at the look's confidence."""
    pairs: int
    """Process pairs that counted."""
    discarded: int
    """Blocks left out by the rule fixed beforehand: throttled, or at another clock."""
    slower: tuple[str, ...] = ()
    """Workloads at which the challenger loses more than the margin, with the look's confidence."""


def compare_times(blocks: Sequence[PairedBlock], *, margin: float = MARGIN) -> Comparison:
    """Decide from all blocks so far; at a number of pairs that is no look the answer is `AMBIGUOUS`.

    A pair's speedup is the geometric mean over workloads; a pair that lacks blocks of one does not count.

    Raises:
        ValueError: fewer than two process pairs have enough blocks.
    """
    kept = _kept(blocks)
    workloads = sorted({block.workload for block in blocks})
    ratios: dict[int, dict[str, list[float]]] = defaultdict(lambda: {name: [] for name in workloads})
    for block in kept:
        ratios[block.pair][block.workload].append(math.log(_cycles(block.incumbent) / _cycles(block.challenger)))
    whole = [pair for pair in ratios.values() if all(len(pair[name]) >= LEAST_BLOCKS for name in workloads)]
    if len(whole) < 2:
        raise ValueError(f"{len(whole)} process pairs with {LEAST_BLOCKS} blocks each; a spread needs two")
    centre, reach = _interval([fmean(fmean(pair[name]) for name in workloads) for pair in whole])
    floor = -math.log1p(margin)
    parts = {name: _interval([fmean(pair[name]) for pair in whole]) for name in workloads}
    return Comparison(
        finding=_finding(centre, reach, math.log1p(margin), len(whole)),
        speedup=math.exp(centre),
        low=math.exp(centre - reach),
        high=math.exp(centre + reach),
        pairs=len(whole),
        discarded=len(blocks) - len(kept),
        slower=tuple(name for name, (middle, width) in parts.items() if middle + width < floor),
    )


def _interval(means: Sequence[float]) -> tuple[float, float]:
    """Centre and half-width of the t-interval at a look's confidence."""
    reach = t_quantile(1 - ERROR / len(LOOKS), len(means) - 1) * stdev(means) / math.sqrt(len(means))
    return fmean(means), reach


def _finding(centre: float, reach: float, margin: float, pairs: int) -> Finding:
    if pairs < LOOKS[0]:
        return Finding.AMBIGUOUS
    if centre - reach > margin:
        return Finding.FASTER
    return Finding.SAME if centre + reach < margin else Finding.AMBIGUOUS


def _kept(blocks: Sequence[PairedBlock]) -> list[PairedBlock]:
    """Blocks that pass the rule; a workload's clock is held against its own median, for loads draw different power."""
    clocks: dict[str, list[float]] = defaultdict(list)
    for block in blocks:
        clocks[block.workload] += [sample.clock_mhz for sample in (*block.incumbent, *block.challenger)]
    least = {name: (1 - CLOCK_SPREAD) * median(values) for name, values in clocks.items() if values}

    def sound(block: PairedBlock) -> bool:
        samples = (*block.incumbent, *block.challenger)
        return all(not sample.throttled and sample.clock_mhz >= least[block.workload] for sample in samples)

    return [block for block in blocks if block.incumbent and block.challenger and sound(block)]


def _cycles(samples: Sequence[Sample]) -> float:
    return median(sample.us * sample.clock_mhz for sample in samples)


@cache
def t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t, above one half, by bisection of the integrated density."""
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ValueError(f"no quantile {probability} of t with {freedom} degrees of freedom")
    low, high = 0.0, 1.0
    while _t_probability(high, freedom) < probability:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_probability(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def _t_probability(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0 by Simpson's rule in the angle atan(t / sqrt(freedom)), where the density is smooth."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    angle, steps = math.atan(t / math.sqrt(freedom)), 200
    width = angle / steps
    heights = [math.cos(i * width) ** (freedom - 1) for i in range(steps + 1)]
    inside = heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2])
    return 0.5 + scale * inside * width / 3
