"""Limits outside the multiprocessors: L2, DRAM and atomics; and the local memory that spills add."""

from __future__ import annotations

import math
from dataclasses import dataclass

from warpsmith.core.artifact import Resources
from warpsmith.core.counters import LaunchCounters, Traffic
from warpsmith.profiler.assumptions import Assumptions
from warpsmith.profiler.placement import Placement
from warpsmith.profiler.throughput import issued

SECTOR = 32
"""Bytes of the smallest piece a cache moves."""


@dataclass(frozen=True, slots=True)
class MemoryTraffic:
    """Bytes of a launch at each level."""

    local: Traffic
    """Local memory with the spills in it."""
    load_l2: float
    """Bytes that loads ask of L2."""
    l2: float
    """Bytes between multiprocessors and L2, both ways."""
    dram: float
    """Bytes between L2 and DRAM, both ways."""


def memory_traffic(
    counters: LaunchCounters,
    resources: Resources,
    dynamic_shared: int,
    placement: Placement,
    assumptions: Assumptions,
) -> MemoryTraffic:
    """Follow the counted requests through the caches."""
    local = _local_with_spills(counters, resources, assumptions)
    load_l2 = _load_l2(counters)
    global_l2 = load_l2 + (counters.global_store.sectors + counters.global_atomic.sectors) * SECTOR
    local_l2 = local.sectors * SECTOR * _local_miss(resources, dynamic_shared, placement)
    dram = _dram_bytes(counters, global_l2, placement, assumptions)
    return MemoryTraffic(local=local, load_l2=load_l2, l2=global_l2 + local_l2, dram=dram)


def _load_l2(counters: LaunchCounters) -> float:
    """What an ideal L1 still asks of L2: each sector once a block.

    Where nobody counted that, L1 is taken to catch only what a block asks for beyond all there is.
    """
    asked = counters.global_load.sectors * SECTOR
    if counters.block_unique_load_bytes:
        return min(counters.block_unique_load_bytes, asked)
    if counters.footprint_bytes:
        return min(counters.footprint_bytes * counters.grid_blocks, asked)
    return asked


def memory_limits(
    counters: LaunchCounters, traffic: MemoryTraffic, placement: Placement, assumptions: Assumptions
) -> dict[str, float]:
    """Microseconds that L2, DRAM and the atomic units would each take alone."""
    arch = placement.arch
    return {
        # The chip's L2, or the port of the busiest multiprocessor: a small grid cannot use all of L2.
        "l2": max(traffic.l2 / (arch.l2_gbps * 1e3), placement.per_sm_us(traffic.l2, arch.l2_per_sm)),
        "dram": traffic.dram / (arch.dram_gbps * 1e3 * assumptions.dram_sustained),
        "atomics": _atomics_us(counters, placement, assumptions),
    }


def _atomics_us(counters: LaunchCounters, placement: Placement, assumptions: Assumptions) -> float:
    """Lanes over what all slices retire together, or one address's queue, whichever is longer."""
    arch = placement.arch
    spread = max(counters.atomic_lanes, counters.atomic_serial) / arch.l2_atomics
    queued = counters.atomic_hottest * assumptions.same_address_cycles
    return arch.microseconds(max(spread, queued))


def _dram_bytes(counters: LaunchCounters, requested: float, placement: Placement, assumptions: Assumptions) -> float:
    """What the model of L2 says; else each distinct byte once, and once more for every later wave that finds it gone.

    A byte asked for R times is touched by W (1 - (1 - 1/W)^R) of W waves if the requests fall anywhere; blocks of
    one wave run together and share what L2 holds. Of what the later waves re-read, L2 keeps l2 / footprint.
    """
    if counters.l2 is not None:
        return (counters.l2.dram_reads + counters.l2.dram_writes) * SECTOR
    footprint = counters.footprint_bytes or requested
    if footprint <= placement.arch.l2_bytes:
        return footprint
    waves = max(1.0, placement.waves)
    repeats = max(1.0, requested / footprint)
    visits = waves * (1.0 - math.pow(1.0 - 1.0 / waves, repeats))
    evicted = 1.0 - placement.arch.l2_bytes / footprint
    return footprint * (1.0 + assumptions.block_order_locality * max(0.0, visits - 1.0) * evicted)


def _local_with_spills(counters: LaunchCounters, resources: Resources, assumptions: Assumptions) -> Traffic:
    """PTX shows arrays in local memory; what the register allocator spills shows only in its report.

    The report is in static bytes a thread. A spill runs as often as the average instruction, at least once.
    """
    spilled = float(resources.spill_loads + resources.spill_stores)
    if spilled == 0:
        return counters.local
    threads = counters.grid_blocks * counters.block_threads
    times = max(1.0, issued(counters) * 32 / threads / assumptions.spill_static_instructions)
    moved = spilled * threads * times
    return Traffic(
        requests=counters.local.requests + moved / (4 * 32),
        sectors=counters.local.sectors + moved / SECTOR,
        bytes=counters.local.bytes + moved,
    )


def _local_miss(resources: Resources, dynamic_shared: int, placement: Placement) -> float:
    """Part of local memory traffic that L1 cannot hold: resident threads' stacks against what shared memory leaves."""
    arch = placement.arch
    resident = min(placement.fitting, -(-placement.blocks // arch.sms))
    shared = resident * (resources.static_shared + dynamic_shared + arch.shared_reserved)
    room = max(0, arch.l1_bytes - shared)
    stack = max(resources.stack, resources.spill_stores)
    stacks = resident * placement.warps_per_block * 32 * stack
    return max(0.0, 1.0 - room / stacks) if stacks else 0.0
