"""From the blocks that ran to the whole grid: weighted sums of what they counted, and how far those may be off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.counting.sampling import Grouping, Stratum, group_blocks
from warpsmith.sandbox.emulator.machine import LaunchResult, LaunchSpec, SiteCounters
from warpsmith.sandbox.emulator.vm import bindings

Values = NDArray[np.floating[Any]]
FIELDS = bindings.COUNTERS.names or ()


@dataclass(frozen=True, slots=True)
class GridCounts:
    """What a launch counted, scaled to the whole grid; indexed as in `LaunchResult`."""

    block_warps: Values
    block_threads: Values
    guarded_lanes: Values | None
    """None where it was not counted."""
    divergent: Values
    sites: dict[int, dict[str, float]]
    """By instruction index, then by field of SiteCounters."""
    share: float
    """Blocks of the grid over blocks that ran: scales what is not told apart by block."""


def grid_warps(spec: LaunchSpec, result: LaunchResult) -> Values:
    """Warps of the grid that enter each basic block."""
    if result.samples is None or spec.blocks is None:
        return result.block_warps * (prod(spec.grid) / result.blocks_run)
    return group_weights(group_blocks(spec.grid, spec.blocks)) @ result.samples.block_warps


def scale_up(spec: LaunchSpec, result: LaunchResult) -> GridCounts:
    """Weigh each group of blocks by how many of the grid it stands for; all alike where they are not told apart."""
    share = prod(spec.grid) / result.blocks_run
    samples = result.samples
    if samples is None or spec.blocks is None:
        guarded = None if result.guarded_lanes is None else result.guarded_lanes * share
        divergent = np.zeros(len(result.guarded_warps)) if result.divergent is None else result.divergent * share
        sites = {site: _site(counts, share) for site, counts in result.sites.items()}
        return GridCounts(grid_warps(spec, result), result.block_threads * share, guarded, divergent, sites, share)
    weights = group_weights(group_blocks(spec.grid, spec.blocks))
    return GridCounts(
        grid_warps(spec, result),
        weights @ samples.block_threads,
        weights @ samples.guarded_lanes,
        weights @ samples.divergent,
        {site: dict(zip(FIELDS, map(float, weights @ rows), strict=True)) for site, rows in samples.sites.items()},
        share,
    )


def _site(counts: SiteCounters, share: float) -> dict[str, float]:
    return {name: getattr(counts, name) * share for name in FIELDS}


def group_weights(grouping: Grouping) -> Values:
    """Blocks of the grid that a block of each group stands for."""
    weights = np.zeros(1 + max(group for stratum in grouping.strata for group in stratum.groups))
    for stratum in grouping.strata:
        weights[list(stratum.groups)] = stratum.size / stratum.sampled
    return weights


def relative_errors(grouping: Grouping, amounts: Mapping[str, Values]) -> dict[str, float]:
    """Relative standard error of each estimated total.

    Blocks are drawn one from each equal stretch of the launch order, so the spread within a stratum is taken from
    differences between neighbours (Wolter, Introduction to Variance Estimation, 2007, section 8.2): a trend along the
    order, which such a sample follows, is no error. What was counted whole has none.

    Args:
        grouping: of the sample.
        amounts: name -> what each group counted.
    """
    weights = group_weights(grouping)
    found = {}
    for name, values in amounts.items():
        total = float(weights @ values)
        if total > 0:
            found[name] = sqrt(sum(_variance(stratum, values) for stratum in grouping.strata)) / total
    return found


def _variance(stratum: Stratum, values: Values) -> float:
    """Of a stratum's estimated total."""
    if stratum.sampled >= stratum.size or len(stratum.groups) < 2:
        return 0.0
    means = values[list(stratum.groups)] / np.array(stratum.counts)
    spread = float((np.diff(means) ** 2).sum()) / (2 * (len(means) - 1))
    return (1 - stratum.sampled / stratum.size) * stratum.size**2 * spread / len(means)
