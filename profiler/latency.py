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
        _chain_cycles(counters, placement, assumptions)
        + counters.barriers * assumptions.barrier_cycles
        + _memory_cycles(counters, traffic, placement)
    )
    return placement.arch.microseconds(chain / placement.warps * placement.rounds)


def _chain_cycles(counters: LaunchCounters, placement: Placement, assumptions: Assumptions) -> float:
    """What is not memory in a warp's chain of dependent instructions; cycles summed over all warps.

    Read off the data flow where somebody looked; else so many instructions are taken to run side by side.
    """
    arch, steps, shared = placement.arch, counters.dependent_steps, counters.shared_load
    if steps:
        prices = {
            "issue": 1.0,
            "arithmetic": arch.arithmetic_latency,
            "sfu": assumptions.sfu_cycles,
            "tensor": arch.tensor_latency,
            "shared": arch.shared_latency,
            "global": 0.0,
        }
        conflicts = max(0.0, shared.wavefronts - shared.ideal_wavefronts)
        return sum(count * prices[kind] for kind, count in steps.items()) + conflicts
    return (
        issued(counters) * arch.arithmetic_latency / assumptions.instruction_parallelism
        + counters.warp_instructions.get("tensor", 0.0) * arch.tensor_latency / assumptions.tensor_parallelism
        + shared.requests * arch.shared_latency / assumptions.shared_parallelism
        + max(0.0, shared.wavefronts - shared.requests)
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
