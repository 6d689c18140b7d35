"""Finds the bottleneck of a profile and the numbers around it."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from warpsmith.core.counters import SharedTraffic, Traffic
from warpsmith.core.profile import LaunchProfile, Metric, Profile, WorkloadProfile
from warpsmith.core.quantity import Source

SECTOR = 32
"""Bytes: the unit in which the memory system moves data."""
LANES = 32
"""Threads of a warp."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The launch that keeps a kernel farthest from its bound, and the workload that shows it best."""

    workload: WorkloadProfile
    launch: LaunchProfile
    limiter: str
    source: Source
    """Of the profile's times."""

    @property
    def load_efficiency(self) -> float:
        """Share of the loaded sectors' bytes that a lane asked for; at most 1, as lanes may share a word."""
        return _efficiency(self.launch.counters.global_load)

    @property
    def store_efficiency(self) -> float:
        return _efficiency(self.launch.counters.global_store)

    @property
    def bytes_per_lane(self) -> float:
        """Mean width of a global load per lane, counting every lane of the warp; 16 is the widest."""
        load = self.launch.counters.global_load
        return load.bytes / load.requests / LANES if load.requests else 0.0

    @property
    def reload_factor(self) -> float:
        """Bytes in the sectors asked for over the distinct bytes touched: how often data is fetched again."""
        counters = self.launch.counters
        return counters.global_load.sectors * SECTOR / counters.footprint_bytes if counters.footprint_bytes else 0.0

    @property
    def bank_conflict(self) -> float:
        """Shared-memory wavefronts over their ideal; 1 is free of conflicts, 0 where shared memory is unused."""
        return _conflict(self.launch.counters.shared_load, self.launch.counters.shared_store)

    @property
    def uses_tensor_cores(self) -> bool:
        counters = self.launch.counters
        return sum(counters.tensor_flops.values()) > 0 or counters.warp_instructions.get("tensor", 0) > 0

    @property
    def spilled_bytes(self) -> int:
        """Per thread."""
        return self.launch.resources.spill_loads + self.launch.resources.spill_stores

    @property
    def atomic_passes(self) -> float:
        """Serial passes per 32 lanes that execute an atomic: 32 where all hit one address."""
        counters = self.launch.counters
        return counters.atomic_serial / (counters.atomic_lanes / LANES) if counters.atomic_lanes else 0.0

    @property
    def active_lanes(self) -> float:
        """Lanes of a warp that take part in an instruction, on average."""
        counters = self.launch.counters
        return counters.thread_instructions / counters.issued if counters.issued else float(LANES)

    @property
    def diverges(self) -> bool:
        """Whether branches split warps often enough to leave a quarter of the lanes idle."""
        return self.launch.counters.branches.efficiency < 0.95 and self.active_lanes < 0.75 * LANES

    def share(self, pipe: str) -> float:
        """Share of the issued warp instructions that go to a pipe."""
        counters = self.launch.counters
        return counters.warp_instructions.get(pipe, 0.0) / counters.issued if counters.issued else 0.0

    def metric(self, name: str) -> Metric:
        """A number of this reading as evidence, with its unit and source.

        Raises:
            KeyError: no such number.
        """
        value, unit, modelled = self._numbers()[name]
        return Metric(
            name=name, value=value, unit=unit, source=self.source if modelled else self.launch.counters.source
        )

    def metrics(self) -> tuple[Metric, ...]:
        """Every number, by the names `metric` takes."""
        return tuple(self.metric(name) for name in self._numbers())

    def _numbers(self) -> dict[str, tuple[float, str, bool]]:
        """Name -> value, unit, and whether the value comes from the times rather than from the counters."""
        launch, counters, limit = self.launch, self.launch.counters, self.launch.limits.get(self.limiter, 0.0)
        return {
            "time": (self.workload.duration.us, "us", True),
            "bound": (self.workload.bound.us, "us", True),
            "fraction of bound": (self.workload.fraction, "1", True),
            f"{self.limiter} limit": (limit, "us", True),
            "occupancy": (launch.occupancy.fraction, "1", True),
            "waves": (launch.waves, "1", True),
            "registers per thread": (launch.resources.registers, "1", True),
            "spilled bytes per thread": (self.spilled_bytes, "B", True),
            "sectors per load request": (counters.global_load.sectors_per_request, "sectors", False),
            "load efficiency": (self.load_efficiency, "1", False),
            "store efficiency": (self.store_efficiency, "1", False),
            "bytes per lane and load": (self.bytes_per_lane, "B", False),
            "reload factor": (self.reload_factor, "1", False),
            "bank conflict factor": (self.bank_conflict, "1", False),
            "warp instructions": (counters.issued, "1", False),
            "alu share": (self.share("alu"), "1", False),
            "loads in flight": (counters.outstanding_loads, "1", False),
            "barriers": (counters.barriers, "1", False),
            "serial passes per atomic": (self.atomic_passes, "1", False),
            "heaviest block over mean": (counters.heaviest_block, "1", False),
            "grid blocks": (counters.grid_blocks, "1", False),
            "branch efficiency": (counters.branches.efficiency, "1", False),
            "active lanes per warp instruction": (self.active_lanes, "threads", False),
            "L2 hit rate": (counters.l2.hit_rate if counters.l2 else 0.0, "1", True),
        }


def _efficiency(traffic: Traffic) -> float:
    return min(1.0, traffic.bytes / (traffic.sectors * SECTOR)) if traffic.sectors else 1.0


def _conflict(*kinds: SharedTraffic) -> float:
    ideal = sum(kind.ideal_wavefronts for kind in kinds)
    return sum(kind.wavefronts for kind in kinds) / ideal if ideal else 0.0


def read(profile: Profile) -> Reading | None:
    """Find the (kernel, limiter) with the largest share of the distance to the bound, over all workloads.

    The distance of a workload is ln(time / bound), as speedups multiply; it is shared among its launches by their
    time. None where no workload has a launch.
    """
    weights: dict[tuple[str, str], float] = defaultdict(float)
    shown_by: dict[tuple[str, str], tuple[float, WorkloadProfile, LaunchProfile]] = {}
    for workload in profile.workloads:
        distance = max(0.0, -math.log(workload.fraction))
        whole = sum(launch.duration.us for launch in workload.launches)
        for launch in workload.launches:
            key = launch.kernel, launch.limiter
            weight = distance * launch.duration.us / whole
            weights[key] += weight
            if key not in shown_by or weight > shown_by[key][0]:
                shown_by[key] = weight, workload, launch
    if not weights:
        return None
    key = max(weights, key=lambda it: weights[it])
    _, workload, launch = shown_by[key]
    return Reading(workload, launch, launch.limiter, profile.source)


def read_like(profile: Profile, other: Reading) -> Reading | None:
    """The same place in another profile: the workload of `other`, and its kernel where there is one of that name.

    Else the launch that takes longest there; None where the workload has no launch.
    """
    workload = next((it for it in profile.workloads if it.workload == other.workload.workload), None)
    if workload is None or not workload.launches:
        return None
    named = [launch for launch in workload.launches if launch.kernel == other.launch.kernel]
    launch = max(named or workload.launches, key=lambda it: it.duration.us)
    return Reading(workload, launch, launch.limiter, profile.source)
