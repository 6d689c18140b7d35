"""Where a grid's blocks land: how many share the busiest multiprocessor, and in how many rounds they run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from warpsmith.core.arch import PARTITIONS, WARP, Architecture


@dataclass(frozen=True, slots=True)
class Placement:
    """A grid dealt out over a chip, blocks handed to whichever multiprocessor has room first."""

    arch: Architecture
    blocks: int
    warps_per_block: int
    fitting: int
    """Blocks that fit on one multiprocessor at a time."""
    heaviest: float
    """Work of the heaviest block over the mean; at least 1."""

    @property
    def warps(self) -> float:
        """Warps of the whole grid."""
        return float(self.blocks * self.warps_per_block)

    @property
    def waves(self) -> float:
        """Blocks of the grid over blocks the chip holds at a time."""
        return self.blocks / (self.fitting * self.arch.sms)

    @property
    def busiest(self) -> float:
        """Mean-sized blocks' worth of work on the busiest multiprocessor: what every throughput limit waits for.

        A grid of one block more than there are multiprocessors takes twice as long; a heavy block that starts
        late sticks out by what it is above the mean.
        """
        mean = self.blocks / self.arch.sms
        return max(math.ceil(mean), mean + self.heaviest - 1)

    @property
    def rounds(self) -> float:
        """Block lifetimes that follow each other in one slot: what the latency limit waits for."""
        return max(math.ceil(self.waves), self.waves + self.heaviest - 1)

    @property
    def tail(self) -> float:
        """Busiest multiprocessor over a perfectly even share; 1 where the grid divides evenly or is endless."""
        return self.busiest / (self.blocks / self.arch.sms)

    @property
    def partitions(self) -> float:
        """Part of a multiprocessor's schedulers that have a warp at all: 1/4 for one lone warp."""
        resident = min(self.fitting, math.ceil(self.blocks / self.arch.sms)) * self.warps_per_block
        return min(1.0, resident / PARTITIONS)

    def per_sm_us(self, work: float, rate: float) -> float:
        """Microseconds for `work`, summed over the grid, at `rate` a clock on each multiprocessor."""
        return self.arch.microseconds(work / self.blocks * self.busiest / rate)


def place(arch: Architecture, *, blocks: int, block_threads: int, fitting: int, heaviest: float) -> Placement:
    """Deal a grid out; a `heaviest` below 1 counts as 1."""
    return Placement(arch, blocks, -(-block_threads // WARP), fitting, max(1.0, heaviest))
