"""Limits inside a multiprocessor: issue slots, arithmetic pipes, tensor cores, the load/store path."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from warpsmith.core.arch import WARP, Architecture
from warpsmith.core.counters import LaunchCounters, Traffic
from warpsmith.profiler.assumptions import Assumptions
from warpsmith.profiler.placement import Placement

ARITHMETIC_PIPES = ("fma", "alu", "half", "fp64", "sfu")
UNLIMITED_PIPES = frozenset({"control", "tensor"})
"""Pipes that take issue slots and whose own rate is not what limits: tensor cores are priced by FLOPs."""
FREE_PIPES = frozenset({"none"})
"""Instructions that disappear when PTX becomes machine code."""

TENSOR_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "f16": "fp16",
        "fp16": "fp16",
        "bf16": "bf16",
        "tf32": "tf32",
        "f64": "fp64",
        "fp64": "fp64",
        "e4m3": "fp8",
        "e5m2": "fp8",
        "fp8": "fp8",
        "f8": "fp8",
        "s8": "int8",
        "u8": "int8",
        "s4": "int8",
        "u4": "int8",
        "b1": "int8",
        "int8": "int8",
    }
)
"""Operand type in a PTX opcode -> unit in `Architecture.tensor`; 4-bit and 1-bit types count as no faster than int8."""


def issued(counters: LaunchCounters) -> float:
    """Warp instructions that take an issue slot, over the grid.

    Raises:
        ValueError: a pipe we do not know; its cost would be hidden.
    """
    known = {*ARITHMETIC_PIPES, *UNLIMITED_PIPES, *FREE_PIPES, "lsu"}
    unknown = sorted(counters.warp_instructions.keys() - known)
    if unknown:
        raise ValueError(f"counters name pipes the time model does not know: {', '.join(unknown)}")
    return sum(count for pipe, count in counters.warp_instructions.items() if pipe not in FREE_PIPES)


def throughput_limits(
    counters: LaunchCounters, local: Traffic, placement: Placement, assumptions: Assumptions
) -> dict[str, float]:
    """Microseconds the busiest multiprocessor's issue slots, pipes, L1 and shared memory would each take alone.

    `local` is local-memory traffic with spills in it.
    """
    arch = placement.arch
    partitions = placement.partitions
    # The counted instructions hold every access that PTX shows; spills come on top.
    spills = max(0.0, local.requests - counters.local.requests)
    limits = {"issue": placement.per_sm_us(issued(counters) + spills, arch.issue_per_sm * partitions)}
    for pipe in ARITHMETIC_PIPES:
        warps = counters.warp_instructions.get(pipe, 0.0)
        limits[pipe] = placement.per_sm_us(warps * WARP, arch.lanes[pipe] * partitions)
    limits["tensor"] = _tensor(counters, placement, assumptions)
    limits["lsu"] = placement.per_sm_us((counters.warp_instructions.get("lsu", 0.0) + spills) * WARP, arch.lanes["lsu"])
    passes = sum(_l1_passes(traffic, arch) for traffic in _l1_traffic(counters, local))
    limits["l1"] = placement.per_sm_us(passes, 1.0)
    limits["shared"] = placement.per_sm_us(_wavefronts(counters), 1.0)
    return limits


def _l1_traffic(counters: LaunchCounters, local: Traffic) -> tuple[Traffic, ...]:
    return counters.global_load, counters.global_store, counters.global_atomic, local


def _wavefronts(counters: LaunchCounters) -> float:
    return sum(kind.wavefronts for kind in (counters.shared_load, counters.shared_store, counters.shared_atomic))


def _l1_passes(traffic: Traffic, arch: Architecture) -> float:
    """Clocks in L1: one a request, or as many as its sectors fill the 128-byte path."""
    return max(traffic.requests, traffic.sectors * 32 / arch.l1_per_sm)


def _tensor(counters: LaunchCounters, placement: Placement, assumptions: Assumptions) -> float:
    """Tensor cores: each type at its own rate, what fits into warp-level instructions at theirs.

    A warp-level `mma.sync` of a Hopper or Blackwell part reaches a fraction of the peak. No counter says which
    instruction did the FLOPs, but one `mma.sync` does few and a warpgroup's does many.
    """
    arch = placement.arch
    by_warp = counters.warp_instructions.get("tensor", 0.0) * assumptions.warp_mma_flops
    us = 0.0
    for operand, flops in counters.tensor_flops.items():
        rate = _tensor_rate(operand, arch) * assumptions.tensor_sustained * placement.partitions
        us += placement.per_sm_us(max(flops, min(flops, by_warp) / arch.warp_mma), rate)
    return us


def _tensor_rate(operand: str, arch: Architecture) -> float:
    """FLOPs a clock and multiprocessor with fp32 accumulation."""
    if operand not in TENSOR_UNITS:
        raise ValueError(f"counters name a tensor-core operand type the time model does not know: {operand}")
    unit = TENSOR_UNITS[operand]
    if unit == "fp64" and unit not in arch.tensor:
        # The instruction exists everywhere; without tensor cores for it the fp64 lanes do the work.
        return 2 * arch.lanes["fp64"]
    if unit not in arch.tensor:
        raise ValueError(f"{arch.name} has no tensor cores for {operand}")
    return arch.tensor[unit] * arch.float32_accumulation.get(unit, 1.0)
