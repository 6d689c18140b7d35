"""Counts and resources to time: how long each resource alone would take, and how long they take together.

The equations and what they leave out: docs/time-model.md. Every time is `modelled`, and none is below the bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from warpsmith.core.arch import Architecture
from warpsmith.core.artifact import Resources
from warpsmith.core.counters import LaunchCounters
from warpsmith.core.profile import LaunchProfile, Occupancy, WorkloadProfile
from warpsmith.core.quantity import Duration, Source
from warpsmith.core.task import Cost
from warpsmith.profiler.assumptions import ASSUMPTIONS, Assumptions
from warpsmith.profiler.latency import latency_limit
from warpsmith.profiler.occupancy import ResourceExceeded, occupancy
from warpsmith.profiler.placement import Placement, place
from warpsmith.profiler.roofline import speed_of_light
from warpsmith.profiler.sampling_error import STANDARD_ERRORS, shifted
from warpsmith.profiler.throughput import throughput_limits
from warpsmith.profiler.traffic import memory_limits, memory_traffic

STAGES = (
    ("issue", "fma", "alu", "half", "fp64", "sfu", "tensor"),
    ("lsu", "l1", "shared"),
    ("l2", "dram", "atomics"),
    ("latency",),
)
"""Limits of one stage pipeline perfectly: the slowest sets the stage. Stages overlap imperfectly."""

LIMITS = (*(name for stage in STAGES for name in stage), "launch")
"""Keys of `LaunchProfile.limits`, always all of them, so that two profiles compare key by key."""


class ModelledLaunch(NamedTuple):
    """One launch as counted, with what its entry compiled to."""

    counters: LaunchCounters
    resources: Resources
    dynamic_shared: int
    """Bytes per block."""


def model_launch(
    counters: LaunchCounters,
    resources: Resources,
    dynamic_shared: int,
    arch: Architecture,
    assumptions: Assumptions = ASSUMPTIONS,
) -> LaunchProfile:
    """Time one launch.

    Raises:
        ValueError: the launch does not fit the target (check that first), or the counters name a pipe or operand
            type that the model does not know.
    """
    placement = _placement(counters, resources, dynamic_shared, arch)

    def limits_of(counted: LaunchCounters) -> dict[str, float]:
        traffic = memory_traffic(counted, resources, dynamic_shared, placement, assumptions)
        return {
            **throughput_limits(counted, traffic.local, placement, assumptions),
            **memory_limits(counted, traffic, placement, assumptions),
            "latency": latency_limit(counted, traffic, placement, assumptions),
        }

    limits = limits_of(counters)
    us, low, high = (
        _time(limits_of(shifted(counters, errors)), assumptions) + arch.launch_us
        for errors in (0.0, -STANDARD_ERRORS, STANDARD_ERRORS)
    )
    limits["launch"] = arch.launch_us
    return LaunchProfile(
        kernel=counters.kernel,
        duration=_modelled(us, 0.0, assumptions, sampled=(low, high)),
        sampling_error=max(us - low, high - us, 0.0) / us,
        limits=limits,
        limiter=max(limits, key=lambda name: limits[name]),
        occupancy=_fits(resources, dynamic_shared, counters, arch, counters.grid_blocks),
        waves=placement.waves,
        resources=resources,
        counters=counters,
    )


def model_workload(
    workload: str,
    launches: Sequence[ModelledLaunch | tuple[LaunchCounters, Resources, int]],
    cost: Cost,
    arch: Architecture,
    *,
    fills: Sequence[float] = (),
    assumptions: Assumptions = ASSUMPTIONS,
) -> WorkloadProfile:
    """Time one call: its launches one after another, and its memsets.

    Args:
        workload: its name.
        launches: in plan order; prepare launches left out.
        cost: what any correct kernel must do, for the bound.
        arch: the target.
        fills: bytes of each memset inside the call: buffers with `init`, and `fill` steps.
        assumptions: constants of the model.

    Raises:
        ValueError: as for `model_launch`, or a call that does nothing.
    """
    if not launches and not fills:
        raise ValueError("a call with no launch and no memset has no time")
    bound = speed_of_light(cost, arch)
    profiles = tuple(model_launch(*ModelledLaunch(*launch), arch, assumptions) for launch in launches)
    total = sum(profile.duration.us for profile in profiles)
    total += sum(arch.launch_us + nbytes / (arch.dram_gbps * 1e3 * assumptions.dram_sustained) for nbytes in fills)
    # A kernel launched repeatedly has one note.
    notes = list(dict.fromkeys(_notes(profiles, arch)))
    if total < bound.us:
        notes.append(f"The model gave {total:.3g} us, less than the bound; the bound stands.")
    spread = sum(profile.sampling_error * profile.duration.us for profile in profiles)
    sampled = max(total - spread, bound.us), max(total + spread, bound.us)
    duration = _modelled(max(total, bound.us), bound.us, assumptions, sampled)
    return WorkloadProfile(workload=workload, duration=duration, bound=bound, launches=profiles, notes=tuple(notes))


def _time(limits: Mapping[str, float], assumptions: Assumptions) -> float:
    """Microseconds of the stages together."""
    return overlapped([max(limits[name] for name in stage) for stage in STAGES], assumptions.overlap_exponent)


def overlapped(times: Iterable[float], exponent: float) -> float:
    """The p-norm of times: near the largest where one dominates, above it where several are close."""
    values = tuple(times)
    longest = max(values, default=0.0)
    if longest == 0:
        return 0.0
    # Dividing first keeps the powers between 0 and 1.
    return float(longest * sum((value / longest) ** exponent for value in values) ** (1 / exponent))


def _placement(counters: LaunchCounters, resources: Resources, dynamic_shared: int, arch: Architecture) -> Placement:
    fitting = _fits(resources, dynamic_shared, counters, arch, None).blocks_per_sm
    return place(
        arch,
        blocks=counters.grid_blocks,
        block_threads=counters.block_threads,
        fitting=fitting,
        heaviest=counters.heaviest_block,
    )


def _fits(
    resources: Resources, dynamic_shared: int, counters: LaunchCounters, arch: Architecture, grid: int | None
) -> Occupancy:
    found = occupancy(resources, dynamic_shared, counters.block_threads, arch, grid_blocks=grid)
    if isinstance(found, ResourceExceeded):
        raise ValueError(f"{counters.kernel} does not fit {arch.name}: {found.reason}")
    return found


def _modelled(
    us: float, floor: float, assumptions: Assumptions, sampled: tuple[float, float] | None = None
) -> Duration:
    """A time with the interval it claims: what sampling leaves open, widened by the model's resolution."""
    low, high = sampled or (us, us)
    low, high = min(low, us) * (1 - assumptions.resolution), max(high, us) * (1 + assumptions.resolution)
    return Duration(us=us, source=Source.MODELLED, low_us=max(low, floor), high_us=high)


def _notes(profiles: Sequence[LaunchProfile], arch: Architecture) -> Iterable[str]:
    """What the numbers rest on that a reader may doubt."""
    for profile in profiles:
        counters, resources = profile.counters, profile.resources
        if resources.spill_loads or resources.spill_stores:
            yield f"{profile.kernel}: spill traffic is estimated from the compiler's static report."
        if counters.global_load.sectors and not counters.block_unique_load_bytes:
            yield f"{profile.kernel}: re-use in L1 was not counted, so none is assumed."
        if counters.atomic_lanes and not counters.atomic_hottest:
            yield f"{profile.kernel}: contention between blocks on one atomic address was not counted."
        if counters.blocks_counted < counters.grid_blocks:
            said = f"{profile.kernel}: {counters.blocks_counted} of {counters.grid_blocks} blocks counted"
            left_open = f"; \N{PLUS-MINUS SIGN} {100 * profile.sampling_error:.2g} % from sampling"
            yield f"{said}{left_open if counters.sampling_errors else ''}."
        if counters.l2 is not None and not counters.l2.simulated:
            yield f"{profile.kernel}: L2 is extrapolated from the blocks counted."
        if arch.warp_mma < 1 and counters.tensor_flops:
            yield f"{profile.kernel}: tensor rate is inferred from FLOPs per instruction."
