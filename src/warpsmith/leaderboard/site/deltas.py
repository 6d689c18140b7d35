"""A candidate's numbers beside its parent's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from warpsmith.core.counters import LaunchCounters
from warpsmith.core.profile import Profile, WorkloadProfile


@dataclass(frozen=True, slots=True)
class Delta:
    """One number of a candidate beside its parent's."""

    name: str
    before: float
    after: float
    unit: str
    source: str

    @property
    def ratio(self) -> float | None:
        return self.after / self.before if self.before else None


def deltas(before: Profile, after: Profile) -> tuple[Delta, ...]:
    """Time of each workload both have, then what both counted over all of them."""
    if (before.target, before.source) != (after.target, after.source):
        return ()
    theirs = {item.workload: item for item in before.workloads}
    both = [(theirs[item.workload], item) for item in after.workloads if item.workload in theirs]
    times = [Delta(f"time, {b.workload}", a.duration.us, b.duration.us, "us", after.source.value) for a, b in both]
    counted = [Delta(name, *_summed(both, what), unit, "emulated") for name, unit, what in _COUNTED]
    registers = Delta("registers, largest launch", _registers(before), _registers(after), "1", "compiler")
    return (*times, *(it for it in counted if it.before or it.after), registers)


_COUNTED: tuple[tuple[str, str, Callable[[LaunchCounters], float]], ...] = (
    ("warp instructions", "1", lambda it: it.issued),
    ("global load sectors", "32 B", lambda it: it.global_load.sectors),
    ("global store sectors", "32 B", lambda it: it.global_store.sectors),
    ("barrier arrivals", "warps", lambda it: it.barriers),
)


def _summed(
    both: Sequence[tuple[WorkloadProfile, WorkloadProfile]], what: Callable[[LaunchCounters], float]
) -> tuple[float, float]:
    """One count over all launches of all workloads, of the parent and of the child."""
    before, after = (sum(what(it.counters) for pair in both for it in pair[side].launches) for side in (0, 1))
    return before, after


def _registers(profile: Profile) -> float:
    return max(launch.resources.registers for item in profile.workloads for launch in item.launches)
