"""Every number the time model assumes, in one place, until a GPU calibrates it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Constants that no counter and no datasheet gives; none is measured by us."""

    dram_sustained: float = 0.92
    """Fraction of peak DRAM bandwidth that a streaming kernel reaches (published BabelStream runs: 0.87 to 0.93)."""
    tensor_sustained: float = 0.85
    """Fraction of the tensor peak at the highest clock that random operands leave: power lowers the clock."""
    overlap_exponent: float = 4.0
    """p of the p-norm that joins stages: 1 adds them, infinity takes the largest. At 4, two equal stages cost 19 %
    more than one."""
    sfu_cycles: float = 20.0
    """Cycles from an instruction of the special-function units to the use of its result."""
    instruction_parallelism: float = 2.0
    """Independent instructions side by side in one warp's stream, where the data flow is not known."""
    tensor_parallelism: float = 4.0
    """Independent accumulators a warp feeds, likewise."""
    shared_parallelism: float = 4.0
    """Shared-memory loads in flight per warp, likewise."""
    barrier_cycles: float = 30.0
    """Cycles a warp loses at a block-wide barrier besides waiting for slower warps."""
    same_address_cycles: float = 2.0
    """L2 clocks between two atomics on one address."""
    warp_mma_flops: float = 8192.0
    """Most FLOPs one warp-level `mma.sync` does (m16n8k32 of 8-bit types); more in one instruction is a warpgroup's."""
    spill_static_instructions: float = 1000.0
    """Instructions of a kernel that spills; dynamic over static is how often a spill runs."""
    block_order_locality: float = 0.5
    """Part of the re-reads between waves that launch order saves: of two operands, neighbouring blocks share one."""
    resolution: float = 0.10
    """Relative difference below which two modelled times are not told apart."""


ASSUMPTIONS = Assumptions()
"""What every modelled time uses."""
