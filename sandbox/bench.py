"""Counters from sampled blocks at bench shapes, and the time they stand for."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from warpsmith.core.candidate import Candidate
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.outcome import Failure, Outcome
from warpsmith.core.plan import BoundFill, BoundPlan
from warpsmith.core.profile import Profile, WorkloadProfile
from warpsmith.core.protocols import Launcher, RunRequest
from warpsmith.core.quantity import Source
from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.profiler.time_model import ModelledLaunch, model_workload
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.trials import static_inputs
from warpsmith.tasks.sample import empty_outputs, make_inputs

SAMPLED_BLOCKS = 16
"""Blocks counted of each launch, corners included; a launch that feeds indices to a later one runs whole."""
_KEPT_BYTES = 1 << 30
"""Bench inputs kept between candidates, in bytes; the oldest are dropped beyond it."""


@dataclass(slots=True)
class InputCache:
    """Bench inputs by task digest and workload: their values steer no verdict, only counts."""

    entries: OrderedDict[tuple[str, str], dict[str, HostTensor]] = field(default_factory=OrderedDict)

    def get(self, task: Task, workload: Workload) -> dict[str, HostTensor]:
        """Mint once, keep while there is room."""
        key = (task.source_digest, workload.name)
        if key not in self.entries:
            self.entries[key] = make_inputs(task, workload, seed=0)
        self.entries.move_to_end(key)
        while len(self.entries) > 1 and self._bytes() > _KEPT_BYTES:
            self.entries.popitem(last=False)
        return self.entries[key]

    def _bytes(self) -> int:
        return sum(tensor.nbytes for inputs in self.entries.values() for tensor in inputs.values())


_INPUTS = InputCache()


def profile_candidate(
    task: Task, builds: Builds, launcher: Launcher, candidate: Candidate, seed: int
) -> Profile | Outcome:
    """Count and model every bench workload; a Failure where a sampled block faults."""
    profiles: list[WorkloadProfile] = []
    for workload in task.bench:
        found = _profile_workload(task, builds, launcher, workload, seed)
        if not isinstance(found, WorkloadProfile):
            return found
        profiles.append(found)
    return Profile(
        candidate=candidate.identity, target=builds.arch.name, source=Source.MODELLED, workloads=tuple(profiles)
    )


def _profile_workload(
    task: Task, builds: Builds, launcher: Launcher, workload: Workload, seed: int
) -> WorkloadProfile | Outcome:
    plan, artifact = builds.plan(workload), builds.artifact(workload)
    reply = launcher.run(
        RunRequest(
            artifact=artifact,
            plan=plan,
            inputs=_INPUTS.get(task, workload),
            outputs=empty_outputs(task, workload),
            static=static_inputs(task),
            seed=seed,
            checks=False,
            sample_blocks=SAMPLED_BLOCKS,
        )
    )
    if reply.failure is not None:
        failure = reply.failure
        return failure.model_copy(update={"workload": workload.name}) if isinstance(failure, Failure) else failure
    launches = [
        ModelledLaunch(counters, artifact.resources[artifact.entries[step.kernel]], step.shared)
        for step, counters in zip(plan.launches, reply.counters, strict=True)
        if not step.prepare
    ]
    cost = task.cost(dims_of(task, workload))
    return model_workload(workload.name, launches, cost, builds.arch, fills=memset_bytes(plan, task, workload))


def memset_bytes(plan: BoundPlan, task: Task, workload: Workload) -> list[int]:
    """Bytes of each memset inside the timed call: buffers with `init`, and `fill` steps."""
    outputs = empty_outputs(task, workload)
    return [buffer.nbytes for buffer in plan.buffers if buffer.init is not None] + [
        outputs[step.tensor].nbytes for step in plan.steps if isinstance(step, BoundFill)
    ]
