"""A kernel's text beside what each line cost, and beside its parent's text."""

from __future__ import annotations

import difflib
from collections import defaultdict
from dataclasses import dataclass

from warpsmith.core.profile import Profile

MOST_LINES = 3000
"""Lines of one text that a page shows."""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One line of a kernel file."""

    number: int
    text: str
    share: float
    """Of all warp instructions, 0 to 1: the mean over bench workloads."""
    sectors: float
    """Share of global memory sectors, likewise."""

    @property
    def heat(self) -> int:
        """0 to 5, for the style sheet."""
        return min(5, int(max(self.share, self.sectors) * 25))


def annotated(text: str, profile: Profile | None) -> tuple[SourceLine, ...]:
    """Each line with its share of what the kernel executes at the bench workloads."""
    issued, moved = (_shares(profile, what) for what in ("issued", "sectors"))
    return tuple(
        SourceLine(number, line, issued.get(number, 0.0), moved.get(number, 0.0))
        for number, line in enumerate(text.splitlines()[:MOST_LINES], 1)
    )


def _shares(profile: Profile | None, what: str) -> dict[int, float]:
    shares: dict[int, float] = defaultdict(float)
    for workload in profile.workloads if profile else ():
        counts: dict[int, float] = defaultdict(float)
        for launch in workload.launches:
            for line in launch.counters.lines:
                traffic = line.global_load.sectors + line.global_store.sectors + line.global_atomic.sectors
                counts[line.line] += line.warp_instructions if what == "issued" else traffic
        total = sum(counts.values())
        for number, count in counts.items():
            shares[number] += count / total / len(profile.workloads) if total and profile else 0.0
    return shares


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a difference."""

    kind: str
    """`same`, `added`, `removed` or `place`."""
    text: str


_KINDS = {"+": "added", "-": "removed", "@": "place"}


def difference(before: str, after: str) -> tuple[DiffLine, ...]:
    """What changed between two texts, with three lines around each change; empty where nothing did."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3))[2:]
    return tuple(
        DiffLine(_KINDS.get(line[:1], "same"), line if line[:1] == "@" else line[1:]) for line in lines[:MOST_LINES]
    )
