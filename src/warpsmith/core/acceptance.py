"""Whether a challenger beats the incumbent: a pure comparison of two profiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum
from math import hypot
from statistics import fmean
from types import MappingProxyType

from warpsmith.core.profile import Profile, WorkloadProfile
from warpsmith.core.quantity import Source
from warpsmith.core.record import Record

RESOLUTION: Mapping[Source, float] = MappingProxyType({Source.MODELLED: 0.10, Source.MEASURED: 0.02})
"""Smallest relative difference that a source can tell apart. Modelled: until the model is calibrated on a device.
Measured: what the timing rules of 2024-2026 harnesses take as the floor, 1-2 %."""

TRUSTED_SHARE = 0.5
"""Share of a modelled time that is believed even where no counted pipe or memory level explains it (latency)."""

NOT_A_LEVEL = frozenset({"latency", "launch"})
"""Limits that are waiting, not a pipe or memory level with work in it."""


class Standing(StrEnum):
    """How a challenger stands against the incumbent."""

    FASTER = "faster"
    SAME = "same"
    """The difference is within the resolution."""
    SLOWER = "slower"
    DOUBTFUL = "doubtful"
    """Faster on the whole, but not everywhere it must be."""
    INCOMPARABLE = "incomparable"


class Verdict(Record):
    """The comparison's answer, with its reason in words."""

    standing: Standing
    speedup: float | None
    """Geometric mean over workloads; None where the two have no ratio."""
    reason: str

    @property
    def accepted(self) -> bool:
        return self.standing is Standing.FASTER


def better(challenger: Profile, incumbent: Profile, resolution: float | None = None) -> Verdict:
    """Compare two profiles of one task.

    The challenger is better when its geometric-mean speedup exceeds 1 + `resolution` (of the source, where None) and
    what counting only some blocks leaves open, when
    no workload is slower by more than the resolution, and when no pipe or memory level became busier by more than it
    so far that this level, if the model misjudged everything else, could undo the win (`worse_level`). Of measured
    profiles, whose limits are no measurement, only the times count; what they accept, paired timing decides
    (`profiler/duel.py`).
    """
    refusal = _incomparable(challenger, incumbent)
    if refusal:
        return Verdict(standing=Standing.INCOMPARABLE, speedup=None, reason=refusal)
    margin = 1 + (RESOLUTION[challenger.source] if resolution is None else resolution)
    margin += sampling_margin(challenger, incumbent)
    speedup = challenger.speedup_over(incumbent)
    ratio = f"{speedup:.3g}x over {len(challenger.workloads)} workloads, {challenger.source.value}"
    if speedup <= margin:
        standing = Standing.SAME if speedup * margin >= 1 else Standing.SLOWER
        return Verdict(standing=standing, speedup=speedup, reason=f"{ratio}; {margin:.3g}x would be a win")
    doubt = _doubt(challenger, incumbent, margin)
    if doubt:
        return Verdict(standing=Standing.DOUBTFUL, speedup=speedup, reason=f"{ratio}, but {doubt}")
    return Verdict(standing=Standing.FASTER, speedup=speedup, reason=ratio)


def sampling_margin(challenger: Profile, incumbent: Profile) -> float:
    """Mean over workloads of how far a ratio of two times may be off because not all blocks were counted."""
    theirs = {item.workload: item.sampling_error for item in incumbent.workloads}
    return fmean(hypot(item.sampling_error, theirs[item.workload]) for item in challenger.workloads)


def _incomparable(challenger: Profile, incumbent: Profile) -> str:
    if challenger.target != incumbent.target:
        return f"{challenger.target} and {incumbent.target} are different targets"
    if challenger.source is not incumbent.source:
        return f"{challenger.source.value} and {incumbent.source.value} times share no ranking"
    if {item.workload for item in challenger.workloads} != {item.workload for item in incumbent.workloads}:
        return "they ran different workloads"
    return ""


def _doubt(challenger: Profile, incumbent: Profile, margin: float) -> str:
    theirs = {item.workload: item for item in incumbent.workloads}
    for mine in challenger.workloads:
        other = theirs[mine.workload]
        slowdown = mine.duration.us / other.duration.us
        if slowdown > margin:
            return f"{mine.workload} is {slowdown:.3g}x slower"
        level = worse_level(mine, other, margin) if challenger.source is Source.MODELLED else ""
        if level:
            return f"at {mine.workload} {level}"
    return ""


def worse_level(challenger: WorkloadProfile, incumbent: WorkloadProfile, margin: float) -> str:
    """Name the pipe or memory level whose growth could undo the win, or answer an empty text.

    A level counts as worse when its limit grew by more than the margin *and* now exceeds, by the margin, both the
    incumbent's busiest level and TRUSTED_SHARE of its whole time. Growth below these two cannot make the challenger
    the slower one: a tiled kernel may use shared memory that the naive one left idle.
    """
    mine, theirs = level_times(challenger), level_times(incumbent)
    floor = max([*theirs.values(), TRUSTED_SHARE * incumbent.duration.us])
    for name, busy in sorted(mine.items(), key=lambda item: -item[1]):
        before = theirs.get(name, 0.0)
        if busy > margin * max(before, floor):
            return f"{name} takes {busy:.4g} us where it took {before:.4g} us"
    return ""


def level_times(workload: WorkloadProfile) -> dict[str, float]:
    """Microseconds each pipe and memory level alone would take, summed over the workload's launches."""
    total: dict[str, float] = defaultdict(float)
    for launch in workload.launches:
        for name, busy in launch.limits.items():
            if name not in NOT_A_LEVEL:
                total[name] += busy
    return dict(total)
