"""Whether a challenger is faster than the incumbent on a GPU: paired measurements, looked at three times at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from warpsmith.core.acceptance import Standing, Verdict
from warpsmith.core.candidate import Candidate
from warpsmith.profiler.comparison import LOOKS, MARGIN, Comparison, Finding, PairedBlock, compare_times


class Duel(Protocol):
    """Times two candidates in alternation."""

    def fight(self, incumbent: Candidate, challenger: Candidate, pair: int) -> Sequence[PairedBlock]:
        """Blocks of one fresh pair of processes, at every bench workload.

        Raises:
            MachineError: our side failed, or one of them, verified before, no longer runs.
        """
        ...


def decide(duel: Duel, incumbent: Candidate, challenger: Candidate) -> Verdict:
    """Measure until a look decides, or the last one does not."""
    blocks: list[PairedBlock] = []
    found: Comparison | None = None
    done = 0
    for look in LOOKS:
        while done < look:
            blocks += duel.fight(incumbent, challenger, done)
            done += 1
        try:
            found = compare_times(blocks)
        except ValueError:
            # Too much was throttled; the next look has more pairs.
            continue
        if found.finding is not Finding.AMBIGUOUS:
            break
    return _verdict(found, len(blocks))


def _verdict(found: Comparison | None, blocks: int) -> Verdict:
    if found is None:
        reason = f"of {blocks} paired blocks too few ran at a steady clock: the GPU throttles or is shared"
        return Verdict(standing=Standing.INCOMPARABLE, speedup=None, reason=reason)
    interval = f"{found.speedup:.4g}x, between {found.low:.4g}x and {found.high:.4g}x over {found.pairs} process pairs"
    told = f"{interval}, measured" + (f"; {found.discarded} blocks left out" if found.discarded else "")
    if found.finding is Finding.FASTER and found.slower:
        standing, told = Standing.DOUBTFUL, f"{told}; slower at {', '.join(found.slower)}"
    elif found.finding is Finding.FASTER:
        standing = Standing.FASTER
    elif found.high < 1 / (1 + MARGIN):
        standing = Standing.SLOWER
    elif found.finding is Finding.SAME:
        standing, told = Standing.SAME, f"{told}; a win is more than {1 + MARGIN:.4g}x"
    else:
        standing, told = Standing.DOUBTFUL, f"{told}; that decides nothing"
    return Verdict(standing=standing, speedup=found.speedup, reason=told)
