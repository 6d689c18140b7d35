"""Kernels in a library, with evidence as the gate would give it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from warpsmith.core.artifact import Resources
from warpsmith.core.candidate import Candidate
from warpsmith.core.counters import LaunchCounters
from warpsmith.core.outcome import Verified, WorkloadCheck
from warpsmith.core.profile import LaunchProfile, Occupancy, Profile, WorkloadProfile
from warpsmith.core.protocols import Circumstances, Evaluation
from warpsmith.core.quantity import Bound, Duration, Source
from warpsmith.core.task import Task
from warpsmith.kernels_generated.accept import write_kernel
from warpsmith.kernels_generated.library import Entry, read_entry
from warpsmith.kernels_generated.manifest import Lineage
from warpsmith.sandbox.compile.present import present_compiler
from warpsmith.sandbox.edition import EDITION

MODELLED = Source.MODELLED
LINEAGE = Lineage(run="r", coder="builtin", judge="builtin", strategy="refine", rounds=1)


def evaluation(
    of: Candidate, toolchain: str = "", gate: str = EDITION, at: Mapping[str, float] | None = None
) -> Evaluation:
    """Evidence as the gate would give it, at one workload or at those named, in microseconds."""
    launch = LaunchProfile(
        kernel="gemm",
        duration=Duration(us=4.0, source=MODELLED),
        limits={"dram": 4.0},
        limiter="dram",
        occupancy=Occupancy(blocks_per_sm=1, warps_per_sm=8, max_warps=64, limiter="grid"),
        waves=1.0,
        resources=Resources(registers=32, static_shared=0),
        counters=LaunchCounters(
            source=Source.EMULATED,
            kernel="gemm",
            grid_blocks=1,
            block_threads=256,
            blocks_counted=1,
            warp_instructions={"fma": 1.0},
            thread_instructions=32.0,
        ),
    )
    workloads = tuple(
        WorkloadProfile(
            workload=name,
            duration=Duration(us=us, source=MODELLED),
            bound=Bound(us=2.0, limit="dram", flops=1.0, bytes=1.0),
            launches=(launch,),
        )
        for name, us in (at or {"one": 4.0}).items()
    )
    return Evaluation(
        candidate=of.identity,
        outcome=Verified(
            checks=(WorkloadCheck(workload="one", seed=1, error=0.5, relative_l2=0.0, largest=0.0),), schedules=2
        ),
        stages=(),
        profile=Profile(candidate=of.identity, target="h200", source=MODELLED, workloads=workloads),
        toolchain=toolchain or present_compiler(of.language),
        circumstances=Circumstances(gate=gate),
    )


def accept(library: Path, task: Task, of: Candidate, at: Mapping[str, float] | None = None) -> Entry:
    """Put a candidate into the library."""
    return read_entry(write_kernel(library, of, evaluation(of, at=at), task=task, lineage=LINEAGE))
