"""An Evaluator that plays a table: for rehearsing a search, a strategy or a Judge without compiling anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from warpsmith.core.artifact import Resources
from warpsmith.core.candidate import Candidate
from warpsmith.core.counters import LaunchCounters
from warpsmith.core.outcome import Failure, Outcome, Stage, Verified, WorkloadCheck
from warpsmith.core.profile import LaunchProfile, Occupancy, Profile, WorkloadProfile
from warpsmith.core.protocols import Evaluation, StageReport
from warpsmith.core.quantity import Bound, Duration, Source

Answer: TypeAlias = float | Failure | tuple[WorkloadProfile, ...]
"""Microseconds of one workload, a failure, or whole profiles."""


class ScriptedEvaluator:
    """Answers what `script` says of each candidate, and remembers who was asked with which seed."""

    def __init__(self, script: Callable[[Candidate], Answer], *, target: str = "h200") -> None:
        self._script = script
        self._target = target
        self.asked: list[tuple[str, int]] = []
        """(candidate's identity, seed), in order."""

    def evaluate(self, candidate: Candidate, *, seed: int) -> Evaluation:
        """Look the candidate up."""
        self.asked.append((candidate.identity, seed))
        answer = self._script(candidate)
        if isinstance(answer, Failure):
            return self._say(candidate, answer, passed=False)  # type: ignore[arg-type]  # only its subclasses are built
        workloads = answer if isinstance(answer, tuple) else (scripted_workload(answer),)
        profile = Profile(
            candidate=candidate.identity, target=self._target, source=Source.MODELLED, workloads=workloads
        )
        check = WorkloadCheck(workload="scripted", seed=seed, error=0, relative_l2=0, largest=0)
        return self._say(candidate, Verified(checks=(check,), schedules=1), profile)

    def _say(
        self, candidate: Candidate, outcome: Outcome, profile: Profile | None = None, *, passed: bool = True
    ) -> Evaluation:
        stage = StageReport(stage=Stage.PROFILE, passed=passed, seconds=0)
        return Evaluation(
            candidate=candidate.identity, outcome=outcome, stages=(stage,), profile=profile, toolchain="scripted"
        )


def scripted_workload(
    us: float, *, name: str = "scripted", bound_us: float = 1.0, limiter: str = "latency"
) -> WorkloadProfile:
    """A workload of one launch that takes `us` microseconds, all of them spent on one limiter."""
    duration = Duration(us=us, source=Source.MODELLED)
    launch = LaunchProfile(
        kernel="scripted",
        duration=duration,
        limits={limiter: us},
        limiter=limiter,
        occupancy=Occupancy(blocks_per_sm=1, warps_per_sm=8, max_warps=64, limiter="grid"),
        waves=0.5,
        resources=Resources(registers=32, static_shared=0),
        counters=LaunchCounters(
            source=Source.EMULATED,
            kernel="scripted",
            grid_blocks=66,
            block_threads=256,
            blocks_counted=66,
            warp_instructions={"fma": 1e4, "lsu": 1e3},
            thread_instructions=3.52e5,
        ),
    )
    bound = Bound(us=bound_us, limit="dram", flops=1, bytes=1)
    return WorkloadProfile(workload=name, duration=duration, bound=bound, launches=(launch,))
