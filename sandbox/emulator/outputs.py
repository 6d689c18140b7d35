"""The arrays that a launch on the VM fills in, and the records made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.emulator.machine import (
    L2,
    Allocation,
    L2Counts,
    Options,
    Samples,
    Sharing,
    SiteCounters,
    Touches,
)
from warpsmith.sandbox.emulator.packing import Program
from warpsmith.sandbox.emulator.vm import bindings

PRINT_CAPACITY = 4096
FIELDS = bindings.COUNTERS.names or ()


@dataclass(slots=True)
class Outputs:
    """What a launch fills in."""

    program: Program
    block_warps: NDArray[np.uint64]
    block_threads: NDArray[np.uint64]
    guarded_warps: NDArray[np.uint64]
    guarded_lanes: NDArray[np.uint64]
    divergent: NDArray[np.uint64]
    counters: NDArray[np.void]
    rows: NDArray[np.uint64]
    """(group, value): warps and lanes by basic block, guarded lanes and divergent branches by instruction, counters by
    port."""
    row_of: NDArray[np.uint32]
    """By position in the order that blocks run."""
    allocation_sharing: NDArray[np.uint64]
    port_sharing: NDArray[np.uint64]
    distinct: NDArray[np.uint64]
    port_allocation: NDArray[np.uint32]
    port_misses: NDArray[np.uint64]
    printed: NDArray[np.void]
    waiting: NDArray[np.void]

    @classmethod
    def of(
        cls,
        program: Program,
        options: Options,
        blocks: Sequence[int] | None,
        run: NDArray[np.int64],
        allocations: int,
    ) -> Outputs:
        """Arrays of zeros for a launch that runs the blocks `run` in this order; `blocks` are those of its spec."""
        count, sites, ports = len(program.blocks), len(program.entry.instructions), len(program.ports)
        groups = dict(zip(blocks or (), options.groups or (), strict=False)) if options.counters else {}
        height = max(groups.values()) + 1 if groups else 0
        traced = ports if options.counters and options.l2 else 0
        return cls(
            program,
            np.zeros(count, np.uint64),
            np.zeros(count, np.uint64),
            np.zeros(sites, np.uint64),
            np.zeros(sites, np.uint64),
            np.zeros(sites, np.uint64),
            np.zeros(ports + 1, bindings.COUNTERS),
            np.zeros((height, 2 * count + 2 * sites + len(FIELDS) * ports), np.uint64),
            np.array([groups[int(block)] for block in run] if groups else [0], np.uint32),
            np.zeros((allocations + 1, bindings.SHARING), np.uint64),
            np.zeros((traced + 1, bindings.SHARING), np.uint64),
            np.zeros(allocations + 1, np.uint64),
            np.zeros(traced + 1, np.uint32),
            np.zeros(traced + 1, np.uint64),
            np.zeros(PRINT_CAPACITY if program.prints else 1, bindings.PRINTED),
            np.empty(bindings.MOST_WAITING, bindings.WAITING),
        )

    def filled(self) -> dict[str, NDArray[Any]]:
        """What the VM writes, by field of the launch record."""
        names = (
            *("block_warps", "block_threads", "guarded_warps", "guarded_lanes", "divergent", "counters", "rows"),
            *("allocation_sharing", "port_sharing", "distinct", "port_allocation", "port_misses", "printed"),
            "waiting",
        )
        return {name: getattr(self, name) for name in names}

    def sites(self) -> dict[int, SiteCounters]:
        """By instruction index."""
        counted = self.counters.tolist()
        # Many instructions count the same, and where nothing is counted all do: a short launch is short.
        found = {row: SiteCounters(**dict(zip(FIELDS, row, strict=True))) for row in set(counted)}
        return {site: found[row] for site, row in zip(self.program.ports, counted, strict=False)}

    def samples(self) -> Samples | None:
        """What each group of blocks counted; None where blocks were not told apart."""
        if not len(self.rows):
            return None
        blocks, sites = len(self.block_warps), len(self.guarded_lanes)
        starts = np.cumsum([0, blocks, blocks, sites, sites])
        warps, lanes, guarded, divergent = (self.rows[:, start:stop] for start, stop in pairwise(starts))
        ports = self.rows[:, starts[-1] :].reshape(len(self.rows), -1, len(FIELDS))
        found = {site: ports[:, port] for port, site in enumerate(self.program.ports)}
        return Samples(warps, lanes, guarded, divergent, found)

    def l2(self, record: bindings.LaunchRecord, cache: L2 | None, allocations: Sequence[Allocation]) -> L2Counts | None:
        """What the model of L2 found; None where it did not run."""
        counts = record.l2
        if cache is None or not counts.simulated:
            return None
        names = ("loads", "load_hits", "stores", "atomics", "atomic_hits", "fills", "written", "left_dirty")
        sites = list(enumerate(self.program.ports))
        return L2Counts(
            cache=cache,
            **{name: int(getattr(counts, name)) for name in names},
            misses={site: int(self.port_misses[port]) for port, site in sites if self.port_misses[port]},
            sites={
                site: Touches(int(self.port_allocation[port]), self.port_sharing[port])
                for port, site in sites
                if self.port_sharing[port].any()
            },
            buffers=tuple(
                Sharing(item.data.size, int(distinct), touches)
                for item, distinct, touches in zip(allocations, self.distinct, self.allocation_sharing, strict=False)
            ),
        )
