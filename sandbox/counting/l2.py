"""From what the model of L2 saw of some blocks to what it would see of the whole grid.

Where every block ran the simulation stands as it is. Otherwise each sector's blocks are estimated from the sample, and
the cache from how much the blocks between two touches bring in (see docs/time-model.md, "L2").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.counters import L2Traffic
from warpsmith.sandbox.emulator.machine import L2Counts, Sharing

SECTOR = 32
NEIGHBOURS_SHARE = 0.5
"""Part of the misses between waves that launch order saves: of two operands, neighbouring blocks share one. Assumed."""

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class L2Estimate:
    """L2 over the whole grid."""

    traffic: L2Traffic
    footprint: float
    """Distinct sectors of global memory."""
    misses: dict[int, float]
    """By instruction index: sectors that move between L2 and DRAM for it; written ones for stores."""


@dataclass(frozen=True, slots=True)
class _Classes:
    """Sectors of one allocation by how many of the sampled blocks touch them; estimates for the grid."""

    distinct: Values
    visits: Values
    """Waves that touch a sector."""
    touches: Values


def estimate(counts: L2Counts, *, blocks: int, ran: int, asked: Mapping[int, tuple[str, float]]) -> L2Estimate:
    """Scale to `blocks` what `ran` of them asked.

    Args:
        counts: of the blocks that ran.
        blocks: of the grid.
        ran: of them.
        asked: by instruction index: `load`, `store` or `atomic`, and the sectors it asks L2 for over the whole grid.
    """
    if ran >= blocks:
        return _simulated(counts, asked)
    waves = max(1.0, blocks / counts.cache.wave)
    classes = [_classes(sharing, blocks, ran, waves) for sharing in counts.buffers]
    rates = _miss_rates(classes, counts.cache.bytes / SECTOR, waves)
    misses = {
        site: min(float(touches.touches @ rates[touches.allocation]) * blocks / ran, asked[site][1])
        for site, touches in counts.sites.items()
    }
    sums = {
        kind: sum(sectors for its, sectors in asked.values() if its == kind) for kind in ("load", "store", "atomic")
    }
    missed = {
        kind: sum(misses.get(site, 0.0) for site, (its, _) in asked.items() if its == kind)
        for kind in ("load", "store", "atomic")
    }
    traffic = L2Traffic(
        simulated=False,
        loads=sums["load"],
        load_hits=sums["load"] - missed["load"],
        stores=sums["store"],
        atomics=sums["atomic"],
        atomic_hits=sums["atomic"] - missed["atomic"],
        dram_reads=missed["load"] + missed["atomic"],
        dram_writes=missed["store"] + missed["atomic"],
    )
    return L2Estimate(traffic, sum(float(item.distinct.sum()) for item in classes), misses)


def _simulated(counts: L2Counts, asked: Mapping[int, tuple[str, float]]) -> L2Estimate:
    # Loads that bypass L1 ask again for what their block has asked before, and find it.
    loads = sum(sectors for kind, sectors in asked.values() if kind == "load")
    traffic = L2Traffic(
        simulated=True,
        loads=loads,
        load_hits=loads - (counts.loads - counts.load_hits),
        stores=counts.stores,
        atomics=counts.atomics,
        atomic_hits=counts.atomic_hits,
        dram_reads=counts.fills,
        dram_writes=counts.written + counts.left_dirty,
    )
    footprint = sum(sharing.distinct for sharing in counts.buffers)
    misses = {site: float(count) for site, count in counts.misses.items()}
    # Who stored what leaves later is not kept: each sector once, shared by those that store it.
    stores = {site: touches for site, touches in counts.sites.items() if asked[site][0] == "store"}
    misses |= {site: float((item.touches / np.arange(1, len(item.touches) + 1)).sum()) for site, item in stores.items()}
    return L2Estimate(traffic, float(footprint), misses)


def _classes(sharing: Sharing, blocks: int, ran: int, waves: float) -> _Classes:
    """What the sample says of an allocation.

    No allocation has more sectors than fit into it.
    """
    touches = sharing.touches * (blocks / ran)
    among = np.arange(1, len(touches) + 1, dtype=np.float64)
    seen = sharing.touches / among
    # The last class holds all that more blocks touch.
    if sharing.touches[-1]:
        among[-1] = sharing.touches[-1] / max(1.0, sharing.distinct - float(seen[:-1].sum()))
    sharers = _sharers(touches / among * (ran / blocks), among, blocks, ran)
    distinct = touches / sharers
    room = sharing.bytes / SECTOR + 1
    if distinct.sum() > room:
        sharers = sharers * (distinct.sum() / room)
        distinct = touches / sharers
    return _Classes(distinct, waves * (1 - (1 - 1 / waves) ** sharers), touches)


def _sharers(seen: Values, among: Values, blocks: int, ran: int) -> Values:
    """Blocks of the grid that touch a sector, by how many of the sampled ones do.

    One of those does for certain; any other block does with the share of the other sampled ones that do. Where few of
    the grid's blocks ran that share says nothing of sectors that one or two touched, but how many sectors three touched
    for each that two did does (Robbins 1956: of k sharers, drawn each with probability p, E[k - j | j] = (j + 1)
    n[j + 1] / n[j] x (1 - p) / p). Sectors with as many sharers account for some that one sampled block touched; the
    rest of these are taken to be a block's own.

    Args:
        seen: sectors by sampled blocks that touch them.
        among: those numbers of blocks.
        blocks: of the grid.
        ran: of them.
    """
    sharers: Values = 1 + (among - 1) / max(1, ran - 1) * (blocks - 1)
    if ran < 3 or not seen[1]:
        return sharers
    odds = (blocks - ran) / ran
    sharers[1] = min(blocks, 2 + 3 * seen[2] / seen[1] * odds)
    like_these = min(seen[0], 2 * seen[1] * odds / (sharers[1] - 1))
    if seen[0]:
        sharers[0] = seen[0] / (seen[0] - like_these + like_these / sharers[1])
    return sharers


def _miss_rates(classes: list[_Classes], room: float, waves: float) -> list[Values]:
    """Sectors that come from DRAM for each touch by a block, by allocation and class.

    The first wave that touches a sector fetches it. A later one finds it if what blocks bring in meanwhile fits L2, and
    with the probability that a random one of it is still there if not.
    """
    distinct = np.concatenate([item.distinct for item in classes] or [np.zeros(0)])
    visits = np.concatenate([item.visits for item in classes] or [np.zeros(0)])
    rates = []
    for item in classes:
        gaps = waves / np.maximum(item.visits, 1.0)
        # Distinct sectors that a share of the grid's waves touches, visits of each lying equally far apart.
        between = np.minimum(1.0, np.outer(gaps / waves, visits)) @ distinct
        lost = np.maximum(0.0, 1 - room / np.maximum(between, 1.0)) * NEIGHBOURS_SHARE
        fetched = item.distinct * (1 + np.maximum(item.visits - 1, 0.0) * lost)
        rates.append(np.divide(fetched, item.touches, out=np.zeros_like(fetched), where=item.touches > 0))
    return rates
