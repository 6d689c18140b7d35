"""What pages show of a profile, read from an evaluation's JSON.

A profile holds counters for each source line at each workload. Checking every one of them as a record takes ten times
as long as reading it, and was done when it was written.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Shares: TypeAlias = Mapping[int, float]
"""Line -> its share of the whole, 0 to 1."""


@dataclass(frozen=True, slots=True)
class LaunchShown:
    """One launch at one workload."""

    kernel: str
    time_us: float
    limiter: str
    limits: tuple[tuple[str, float], ...]
    """Resource and microseconds, the largest first."""
    occupancy: float
    registers: int
    waves: float
    counts: Mapping[str, float]
    """By the names of `COUNTED`."""


@dataclass(frozen=True, slots=True)
class WorkloadShown:
    """One bench workload."""

    workload: str
    time_us: float
    bound_us: float
    flops: float
    bytes: float
    launches: tuple[LaunchShown, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProfileShown:
    """A profile as pages have it."""

    target: str
    source: str
    workloads: tuple[WorkloadShown, ...]
    issued: Shares
    """Line -> share of warp instructions, mean over workloads."""
    moved: Shares
    """Line -> share of global memory sectors, likewise."""


COUNTED: Mapping[str, tuple[str, Callable[[dict[str, Any]], float]]] = {
    "warp instructions": ("1", lambda it: sum(it["warp_instructions"].values())),
    "global load sectors": ("32 B", lambda it: it["global_load"]["sectors"]),
    "global store sectors": ("32 B", lambda it: it["global_store"]["sectors"]),
    "barrier arrivals": ("warps", lambda it: it["barriers"]),
}
"""Name of a count -> its unit, and how it is read from a launch's counters."""


def shown(evaluation: str | bytes) -> ProfileShown | None:
    """What pages show of an evaluation's JSON; None where it holds no profile."""
    profile = json.loads(evaluation)["profile"]
    if profile is None:
        return None
    workloads = profile["workloads"]
    return ProfileShown(
        target=profile["target"],
        source=profile["source"],
        workloads=tuple(_workload(item) for item in workloads),
        issued=_shares(workloads, lambda line: line["warp_instructions"]),
        moved=_shares(workloads, _sectors),
    )


def _workload(item: dict[str, Any]) -> WorkloadShown:
    bound = item["bound"]
    return WorkloadShown(
        workload=item["workload"],
        time_us=item["duration"]["us"],
        bound_us=bound["us"],
        flops=bound["flops"],
        bytes=bound["bytes"],
        launches=tuple(_launch(launch) for launch in item["launches"]),
        notes=tuple(item["notes"]),
    )


def _launch(item: dict[str, Any]) -> LaunchShown:
    occupancy, counters = item["occupancy"], item["counters"]
    return LaunchShown(
        kernel=item["kernel"],
        time_us=item["duration"]["us"],
        limiter=item["limiter"],
        limits=tuple(sorted(item["limits"].items(), key=lambda limit: -limit[1])),
        occupancy=occupancy["warps_per_sm"] / occupancy["max_warps"],
        registers=item["resources"]["registers"],
        waves=item["waves"],
        counts={name: read(counters) for name, (_, read) in COUNTED.items()},
    )


def _sectors(line: dict[str, Any]) -> float:
    return float(sum(line[kind]["sectors"] for kind in ("global_load", "global_store", "global_atomic")))


def _shares(workloads: list[dict[str, Any]], count: Callable[[dict[str, Any]], float]) -> Shares:
    shares: dict[int, float] = defaultdict(float)
    for workload in workloads:
        counts: dict[int, float] = defaultdict(float)
        for launch in workload["launches"]:
            for line in launch["counters"]["lines"]:
                counts[line["line"]] += count(line)
        total = sum(counts.values())
        for number, found in counts.items():
            shares[number] += found / total / len(workloads) if total else 0.0
    return shares
