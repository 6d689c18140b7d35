"""Numbers a reader of Nsight Compute knows, derived from one launch's counters and modelled limits.

A share of modelled time is `modelled`; a ratio of counts is whatever the counts are.
"""

from __future__ import annotations

from dataclasses import dataclass

from warpsmith.core.arch import WARP
from warpsmith.core.counters import LineCounters, SharedTraffic, Traffic
from warpsmith.core.profile import LaunchProfile, Metric
from warpsmith.profiler.traffic import SECTOR

BUSY = ("issue", "fma", "alu", "half", "fp64", "sfu", "tensor", "lsu", "l1", "shared", "l2", "dram")
"""Limits whose share of the launch's time is a utilisation."""


def metrics(profile: LaunchProfile) -> dict[str, Metric]:
    """Every metric of a launch by name; ratios whose denominator is 0 are left out."""
    counted = _counted(profile)
    modelled = _modelled(profile)
    source, time_source = profile.counters.source, profile.duration.source
    found = {name: Metric(name=name, value=value, unit=unit, source=source) for name, (value, unit) in counted.items()}
    found |= {
        name: Metric(name=name, value=value, unit=unit, source=time_source) for name, (value, unit) in modelled.items()
    }
    return found


@dataclass(frozen=True, slots=True)
class HotLine:
    """A source line and the most it costs at any one resource."""

    line: int
    """Of the kernel file; 0 collects what has none."""
    us: float
    """Microseconds of `resource` that it takes."""
    resource: str
    """A limit: `issue`, a pipe, `l1`, `l2`, `dram`, `latency`, `shared` or `atomics`."""
    counters: LineCounters


def hot_lines(profile: LaunchProfile, most: int) -> tuple[HotLine, ...]:
    """The most expensive source lines, dearest first.

    A line takes its share of each limit: of `issue` and each pipe by instructions, of `l1` by sectors, of `l2` by
    those that L1 misses, of `dram` by those that L2 misses, of `latency` by load requests, of `shared` by wavefronts,
    of `atomics` by lanes. Its price is the dearest share.
    """
    lines = profile.counters.lines
    totals = {resource: sum(_part(line, resource) for line in lines) for resource in _RESOURCES}
    priced = []
    for line in lines:
        shares = {
            resource: profile.limits.get(resource, 0.0) * _part(line, resource) / total
            for resource, total in totals.items()
            if total
        }
        if shares:
            resource = max(shares, key=lambda name: shares[name])
            priced.append(HotLine(line.line, shares[resource], resource, line))
    return tuple(sorted(priced, key=lambda hot: hot.us, reverse=True)[:most])


_PIPES = ("fma", "alu", "half", "fp64", "sfu", "tensor")
_RESOURCES = ("issue", *_PIPES, "l1", "l2", "dram", "latency", "shared", "atomics")


def _part(line: LineCounters, resource: str) -> float:
    match resource:
        case "issue":
            return line.warp_instructions
        case "latency":
            return line.global_load.requests
        case "shared":
            return line.shared.wavefronts
        case "atomics":
            return line.atomics
        case "l1":
            return sum(kind.sectors for kind in (*_global(line), line.local))
        case "l2":
            return sum(kind.sectors for kind in _global(line)[1:]) + _l1_misses(line.global_load)
        case "dram":
            return sum(kind.dram_sectors for kind in _global(line)) or sum(kind.sectors for kind in _global(line))
        case _:
            return line.pipes.get(resource, 0.0)


def _global(line: LineCounters) -> tuple[Traffic, Traffic, Traffic]:
    return line.global_load, line.global_store, line.global_atomic


def _l1_misses(load: Traffic) -> float:
    return load.l1_misses or load.sectors


def _counted(profile: LaunchProfile) -> dict[str, tuple[float, str]]:
    """Ratios of counts."""
    counters = profile.counters
    loads, stores = counters.global_load, counters.global_store
    ratios = {
        "sectors per load request": (loads.sectors, loads.requests, "sectors"),
        "sectors per store request": (stores.sectors, stores.requests, "sectors"),
        "bytes per load request": (loads.bytes, loads.requests, "B"),
        "load sector use": (100 * _used(loads), loads.sectors * SECTOR, "%"),
        "store sector use": (100 * _used(stores), stores.sectors * SECTOR, "%"),
        "shared bank conflict ratio": (*_conflicts(counters.shared_load, counters.shared_store), "1"),
        "active threads per warp": (counters.thread_instructions, counters.issued, "threads"),
        "same-address passes per atomic request": (counters.atomic_serial, counters.atomic_lanes / WARP, "1"),
        "loads over footprint": (loads.sectors * SECTOR, counters.footprint_bytes, "1"),
        "arithmetic intensity": (_flops(profile), counters.footprint_bytes, "FLOP/B"),
        "branch efficiency": (100 * counters.branches.efficiency, float(counters.branches.executed > 0), "%"),
        "lanes with their guard holding": (counters.active_instructions, counters.issued, "threads"),
        "passes per shared atomic": (counters.shared_atomic.wavefronts, counters.shared_atomic.requests, "1"),
    }
    found = {name: (over / under, unit) for name, (over, under, unit) in ratios.items() if under}
    if counters.block_unique_load_bytes and loads.sectors:
        hit = max(0.0, 1 - counters.block_unique_load_bytes / (loads.sectors * SECTOR))
        found["L1 hit rate, ideal"] = (100 * hit, "%")
    for pipe, count in sorted(counters.warp_instructions.items()):
        if counters.issued:
            found[f"{pipe} share of instructions"] = (100 * count / counters.issued, "%")
    for kind, uses in sorted(counters.distances.items()):
        found[f"instructions from {kind} to use"] = (uses.mean, "1")
    found["loads in flight per warp"] = (counters.outstanding_loads, "1")
    found["heaviest block over mean"] = (counters.heaviest_block, "1")
    return found


def _modelled(profile: LaunchProfile) -> dict[str, tuple[float, str]]:
    """Shares of modelled time, and what the compiler's report implies."""
    time, resources = profile.duration.us, profile.resources
    found = {f"{name} busy": (100 * profile.limits[name] / time, "%") for name in BUSY if name in profile.limits}
    found["latency exposed"] = (100 * profile.limits.get("latency", 0.0) / time, "%")
    found["launch overhead"] = (100 * profile.limits.get("launch", 0.0) / time, "%")
    found["occupancy"] = (100 * profile.occupancy.fraction, "%")
    found["waves"] = (profile.waves, "1")
    l2 = profile.counters.l2
    if l2 is not None:
        found["L2 hit rate"] = (100 * l2.hit_rate, "%")
        found["DRAM read"] = (l2.dram_reads * SECTOR, "B")
        found["DRAM written"] = (l2.dram_writes * SECTOR, "B")
    found["sampling error of the time"] = (100 * profile.sampling_error, "%")
    found["registers per thread"] = (float(resources.registers), "1")
    found["static shared memory per block"] = (float(resources.static_shared), "B")
    found["spilled per thread"] = (float(resources.spill_loads + resources.spill_stores), "B")
    return found


def _used(traffic: Traffic) -> float:
    """Bytes lanes asked for, at most what was moved: lanes that read one word share it."""
    return min(traffic.bytes, traffic.sectors * SECTOR)


def _conflicts(*kinds: SharedTraffic) -> tuple[float, float]:
    return sum(kind.wavefronts for kind in kinds), sum(kind.ideal_wavefronts for kind in kinds)


def _flops(profile: LaunchProfile) -> float:
    """Multiply-adds of the floating-point pipes x 2, and the tensor cores'; address arithmetic on `fma` counts too."""
    counters = profile.counters
    per_lane = {"fma": 2, "half": 4, "fp64": 2}
    lanes = sum(counters.warp_instructions.get(pipe, 0.0) * flops for pipe, flops in per_lane.items())
    return lanes * WARP + sum(counters.tensor_flops.values())
