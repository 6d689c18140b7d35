"""A candidate's numbers beside its parent's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from warpsmith.leaderboard.site.profiles import COUNTED, ProfileShown, WorkloadShown


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


def deltas(before: ProfileShown, after: ProfileShown) -> tuple[Delta, ...]:
    """Time of each workload both have, then what both counted over all of them."""
    if (before.target, before.source) != (after.target, after.source):
        return ()
    theirs = {item.workload: item for item in before.workloads}
    both = [(theirs[item.workload], item) for item in after.workloads if item.workload in theirs]
    times = [Delta(f"time, {b.workload}", a.time_us, b.time_us, "us", after.source) for a, b in both]
    counted = [Delta(name, *_summed(both, name), unit, "emulated") for name, (unit, _) in COUNTED.items()]
    registers = Delta("registers, largest launch", _registers(before), _registers(after), "1", "compiler")
    return (*times, *(it for it in counted if it.before or it.after), registers)


def _summed(both: Sequence[tuple[WorkloadShown, WorkloadShown]], name: str) -> tuple[float, float]:
    """One count over all launches of all workloads, of the parent and of the child."""
    before, after = (sum(it.counts[name] for pair in both for it in pair[side].launches) for side in (0, 1))
    return before, after


def _registers(profile: ProfileShown) -> float:
    return max(launch.registers for item in profile.workloads for launch in item.launches)
