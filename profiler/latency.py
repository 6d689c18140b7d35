"""The latency limit: how long a warp takes when nobody is in its way, times the rounds of blocks that follow it.

This is Little's law seen from one warp: with W warps resident and L bytes in flight in each, a chip moves at most
W x L bytes a latency. Half the occupancy means twice the rounds and twice the time.
"""

from __future__ import annotations

from warpsmith.core.counters import LaunchCounters
from warpsmith.profiler.assumptions import Assumptions
from warpsmith.profiler.placement import Placement
from warpsmith.profiler.throughput import issued
from warpsmith.profiler.traffic import SECTOR, MemoryTraffic


def latency_limit(
    counters: LaunchCounters, traffic: MemoryTraffic, placement: Placement, assumptions: Assumptions
) -> float:
    """Microseconds of one warp's dependent chain, times the rounds of blocks."""
    chain = (
        _arithmetic_cycles(counters, placement, assumptions)
        + _memory_cycles(counters, traffic, placement)
        + _shared_cycles(counters, placement, assumptions)
    )
    return placement.arch.microseconds(chain / placement.warps * placement.rounds)


def _arithmetic_cycles(counters: LaunchCounters, placement: Placement, assumptions: Assumptions) -> float:
    """Dependent instructions, mma's own latency, and barriers; cycles summed over all warps."""
    arch = placement.arch
    tensor = counters.warp_instructions.get("tensor", 0.0)
    return (
        issued(counters) * arch.arithmetic_latency / assumptions.instruction_parallelism
        + tensor * arch.tensor_latency / assumptions.tensor_parallelism
        + counters.barriers * assumptions.barrier_cycles
    )


def _memory_cycles(counters: LaunchCounters, traffic: MemoryTraffic, placement: Placement) -> float:
    """Loads from the nearest level that has the data; cycles summed over all warps.

    A request that first touches a sector waits for L2, and for DRAM where the sector comes from there; requests
    of other warps that arrive meanwhile wait as long, so first touches are counted in sectors.
    """
    arch = placement.arch
    requests = counters.global_load.requests
    from_l2 = min(requests, traffic.load_l2 / SECTOR)
    from_dram = min(from_l2, traffic.dram / SECTOR)
    cycles = (
        (requests + traffic.local.requests) * arch.l1_latency
        + from_l2 * (arch.l2_latency - arch.l1_latency)
        + from_dram * (arch.dram_latency - arch.l2_latency)
    )
    return cycles / max(1.0, counters.outstanding_loads)


def _shared_cycles(counters: LaunchCounters, placement: Placement, assumptions: Assumptions) -> float:
    """Loads from shared memory, and the extra passes of those whose banks conflict."""
    load = counters.shared_load
    latency = load.requests * placement.arch.shared_latency / assumptions.shared_parallelism
    return latency + max(0.0, load.wavefronts - load.requests)
