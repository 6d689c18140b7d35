"""Bench shapes: counters from sampled blocks and the time they stand for, what ran, and whether it was right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from warpsmith.core.candidate import Candidate
from warpsmith.core.counters import LaunchCounters
from warpsmith.core.outcome import Failure, Inconclusive, Outcome, Stage
from warpsmith.core.plan import BoundFill, BoundLaunch, BoundPlan
from warpsmith.core.profile import Profile, WorkloadProfile
from warpsmith.core.protocols import Launcher, RunReply, RunRequest
from warpsmith.core.quantity import Source
from warpsmith.core.task import Cost, Task, Workload
from warpsmith.profiler.time_model import ModelledLaunch, model_workload
from warpsmith.sandbox.analysis.stores import feeds_indices
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.counting.sampling import choose_blocks
from warpsmith.sandbox.gate.bench_partly import Kind, run_partly
from warpsmith.sandbox.gate.trials import written_tensors
from warpsmith.sandbox.verify.bench_values import BenchCache, check_written
from warpsmith.tasks.oracle import exact_cost
from warpsmith.tasks.sample import empty_outputs

SAMPLED_BLOCKS = 16
"""Blocks counted of each launch, corners included; a launch that feeds indices to a later one runs whole."""
WHOLE_WARPS = 8e6
"""Warp instructions that earlier launches of a call may take to run whole, so that the last one finds what it reads."""
ONCE_WHOLE_WARPS = 24e6
"""The same for one workload of every evaluation, drawn at random; and what all launches of its call may take to run
whole, so that every element is looked at."""
ALL_WHOLE_WARPS = 16e6
"""What calls of the other workloads may take together to run whole."""
MORE_BLOCKS = (256, 4096)
"""Blocks counted instead where those cannot stand for the others."""
MOST_ERROR = 0.05
"""Relative standard error of a counter from which the first of these is tried."""
LEAST_FLOPS = 0.5
"""Share of the task's arithmetic that sampled blocks, scaled to the grid, must account for."""
LEAST_WRITTEN = 0.9
"""Share of an output of one launch that they must; of several launches' outputs `LEAST_FLOPS`."""
LOOK_WARPS = 1e6
"""Warp instructions of each launch that a second look at other blocks may take."""
MOST_OFF = 0.15
"""Relative difference between both looks from which the second one is counted instead."""
MOST_FLOPS = 8
"""Operations that one instruction of one thread can do without tensor cores: a dot product of four bytes."""
_SHARE_OUT = "The rest is done by few other blocks: share the work out evenly, so that a sample can be modelled."

CACHE = BenchCache()
"""Of this process: evaluations of one task share their bench inputs and what they should give."""


@dataclass(slots=True)
class Bench:
    """The bench workloads of one candidate."""

    task: Task
    builds: Builds
    launcher: Launcher
    seed: int
    replies: list[tuple[Workload, RunReply]] = field(default_factory=list)
    """What ran, for the coverage of the verdict."""
    whole: list[str] = field(default_factory=list)
    """Workloads of which every element was compared."""
    _left: float = ALL_WHOLE_WARPS
    unseen: list[str] = field(default_factory=list)
    """Workloads whose values could not be compared."""

    def profile(self, candidate: Candidate) -> Profile | Outcome:
        """Count and model every bench workload; a Failure where a sampled block faults or writes wrong values."""
        profiles: list[WorkloadProfile] = []
        for workload in self.task.bench:
            found = self._workload(workload)
            if not isinstance(found, WorkloadProfile):
                return found
            profiles.append(found)
        return Profile(
            candidate=candidate.identity,
            target=self.builds.arch.name,
            source=Source.MODELLED,
            workloads=tuple(profiles),
        )

    def _workload(self, workload: Workload) -> WorkloadProfile | Outcome:
        plan, artifact = self.builds.plan(workload), self.builds.artifact(workload)
        inputs = CACHE.inputs_of(self.task, workload)
        request = RunRequest(
            artifact=artifact,
            plan=plan,
            inputs=inputs,
            outputs=written_tensors(self.task, workload, inputs),
            static=self.task.static_inputs,
            seed=self.seed,
            checks=False,
            sample_blocks=SAMPLED_BLOCKS,
        )
        reply = self.launcher.run(request)
        cost = exact_cost(self.task, workload, inputs)
        written = self._written(plan, workload)
        for blocks in MORE_BLOCKS:
            doubt = uneven(reply) if blocks == MORE_BLOCKS[0] else False
            if reply.failure is not None or not (doubt or unlikely(plan, reply, cost, written)):
                break
            reply = self.launcher.run(replace(request, sample_blocks=blocks))
        if reply.failure is not None:
            return _at(reply.failure, workload)
        if why := unlikely(plan, reply, cost, written):
            return Inconclusive(stage=Stage.PROFILE, message=f"{why} {_SHARE_OUT}", workload=workload.name)
        checked = self._check(request, workload, reply)
        if not isinstance(checked, RunReply):
            return checked
        if why := unlikely(plan, checked, cost, written):
            return Inconclusive(stage=Stage.PROFILE, message=f"{why} {_SHARE_OUT}", workload=workload.name)
        reply = checked
        launches = [
            ModelledLaunch(counters, artifact.resources[artifact.entries[step.kernel]], step.shared)
            for step, counters in zip(plan.launches, reply.counters, strict=True)
            if not step.prepare
        ]
        return model_workload(
            workload.name, launches, cost, self.builds.arch, fills=memset_bytes(plan, self.task, workload)
        )

    def _written(self, plan: BoundPlan, workload: Workload) -> dict[str, float]:
        """The share of each output that sampled blocks must account for; those left out are not written whole."""
        steps = [self.builds.writes(workload, step) for step in plan.launches if not step.prepare]
        filled = {step.tensor for step in plan.steps if isinstance(step, BoundFill)}
        return {
            output.name: LEAST_WRITTEN if sum(output.name in names for names in steps) == 1 else LEAST_FLOPS
            for output in self.task.outputs
            if self.task.dtype_of(output, workload).is_floating and not output.valid and output.name not in filled
        }

    def _check(self, request: RunRequest, workload: Workload, reply: RunReply) -> RunReply | Outcome:
        """Look again, at more and other blocks, once the launches before them have run whole: at values, and at whether
        those blocks do as much as was counted. The reply to count by, or what is wrong.
        """
        whole = self._every(request.plan, workload, reply.counters)
        every = whole is not None
        if whole is None:
            whole = self._whole(request.plan, workload, reply.counters)
        blocks = self._others(request.plan, reply)
        some = {number: chosen for number, chosen in blocks.items() if chosen is not None}
        look = replace(
            request, whole=(whole or frozenset()) | (blocks.keys() - some.keys()), blocks=some, counters=False
        )
        seen = self.launcher.run(look)
        if seen.failure is not None:
            return _at(seen.failure, workload)
        self.replies.append((workload, seen))
        if whole is None:
            wrong = self._check_part(request, workload, reply)
        else:
            written = seen.changed
            if every:
                # What still holds poison counts, too.
                self.whole.append(workload.name)
                written = {name: np.ones_like(changed) for name, changed in written.items()}
            wrong = check_written(self.task, workload, seen.outputs, written, CACHE, self.seed)
        if wrong is not None:
            return wrong
        return self.launcher.run(replace(look, counters=True)) if differ(reply, seen) else reply

    def _others(self, plan: BoundPlan, reply: RunReply) -> dict[int, tuple[int, ...] | None]:
        """Blocks of each launch for a second look, by position in the plan: as many as it has time for; None: all."""
        positions = [number for number, step in enumerate(plan.steps) if isinstance(step, BoundLaunch)]
        found = {}
        for number, step, item in zip(positions, plan.launches, reply.coverage, strict=True):
            most = int(LOOK_WARPS * prod(step.grid) / max(item.issued, 1.0))
            found[number] = choose_blocks(step.grid, max(most, SAMPLED_BLOCKS), self.seed + 1)
        return found

    def _check_part(self, request: RunRequest, workload: Workload, reply: RunReply) -> Outcome | None:
        """Compare what hangs together of launches that are too large to run whole."""
        part = run_partly(self.launcher, request, reply.counters, self._kinds(request, workload), self.seed)
        if part is None:
            self.unseen.append(workload.name)
            return None
        return check_written(self.task, workload, part.reply.outputs, part.alike, CACHE, self.seed)

    def _kinds(self, request: RunRequest, workload: Workload) -> list[Kind]:
        """What each launch allows."""
        floats = frozenset(name for name, output in request.outputs.items() if output.dtype.is_floating)
        kinds = []
        for step in request.plan.launches:
            if feeds_indices(request.plan, step, self.builds.writes(workload, step), floats):
                kinds.append(Kind.WHOLE)
            else:
                kinds.append(Kind.TOGETHER if self.builds.communicates(workload, step.kernel) else Kind.APART)
        return kinds

    def _every(self, plan: BoundPlan, workload: Workload, counters: Sequence[LaunchCounters]) -> frozenset[int] | None:
        """All launches, where that does not take long; None where it does."""
        total = sum(sum(item.warp_instructions.values()) for item in counters)
        if self._chosen is workload:
            if total > ONCE_WHOLE_WARPS:
                return None
        elif total > self._left:
            return None
        else:
            self._left -= total
        return frozenset(number for number, step in enumerate(plan.steps) if isinstance(step, BoundLaunch))

    @property
    def _chosen(self) -> Workload:
        return self.task.bench[self.seed % len(self.task.bench)]

    def _whole(self, plan: BoundPlan, workload: Workload, counters: Sequence[LaunchCounters]) -> frozenset[int] | None:
        """Steps to run whole, so that sampled blocks of the last one find what they read; None: that takes long."""
        positions = [number for number, step in enumerate(plan.steps) if isinstance(step, BoundLaunch)]
        needed = positions
        if not self.builds.communicates(workload, plan.launches[-1].kernel):
            needed = positions[:-1]
        issued = dict(zip(positions, (sum(item.warp_instructions.values()) for item in counters), strict=True))
        most = ONCE_WHOLE_WARPS if self._chosen is workload else WHOLE_WARPS
        fits = sum(issued[number] for number in needed) <= most
        return frozenset(needed) if fits else None


def _at(failure: Outcome, workload: Workload) -> Outcome:
    return failure.model_copy(update={"workload": workload.name}) if isinstance(failure, Failure) else failure


def uneven(reply: RunReply) -> bool:
    """Whether the sampled blocks differ so much that more of them would make the totals better known."""
    return any(error > MOST_ERROR for item in reply.counters for error in item.sampling_errors.values())


def differ(first: RunReply, second: RunReply) -> bool:
    """Whether two looks at a call disagree about how much one of its launches does."""
    pairs = zip(first.coverage, second.coverage, strict=True)
    return any(abs(one.issued - other.issued) > MOST_OFF * max(one.issued, other.issued) for one, other in pairs)


def unlikely(plan: BoundPlan, reply: RunReply, cost: Cost, written: Mapping[str, float]) -> str:
    """Why the sampled blocks cannot stand for the others; empty where they may.

    Scaled to the grid they must do the task's arithmetic and write its outputs: else others, not counted, do.
    `written` is what share of which outputs they must account for.
    """
    done = sum(
        sum(item.tensor_flops.values()) + MOST_FLOPS * item.thread_instructions
        for step, item in zip(plan.launches, reply.counters, strict=True)
        if not step.prepare
    )
    if done < LEAST_FLOPS * cost.flops:
        return f"The blocks that were sampled stand for {done:.3g} operations of {cost.flops:.3g}."
    last = reply.counters[-1]
    if last.blocks_counted == last.grid_blocks:
        return ""
    for name, least in written.items():
        changed = reply.changed[name]
        share = float(changed.mean()) * last.grid_blocks / last.blocks_counted if changed.size else 1.0
        if share < least:
            return f"The blocks that were sampled stand for {share:.0%} of {name}."
    return ""


def memset_bytes(plan: BoundPlan, task: Task, workload: Workload) -> list[int]:
    """Bytes of each memset inside the timed call: buffers with `init`, and `fill` steps."""
    outputs = empty_outputs(task, workload)
    return [buffer.nbytes for buffer in plan.buffers if buffer.init is not None] + [
        outputs[step.tensor].nbytes for step in plan.steps if isinstance(step, BoundFill)
    ]
