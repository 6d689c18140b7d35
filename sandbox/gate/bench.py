"""Bench shapes: counters from sampled blocks and the time they stand for, what ran, and whether it was right."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from warpsmith.core.candidate import Candidate
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.outcome import Failure, Inconclusive, Outcome, Stage
from warpsmith.core.plan import BoundFill, BoundLaunch, BoundPlan
from warpsmith.core.profile import Profile, WorkloadProfile
from warpsmith.core.protocols import Launcher, RunReply, RunRequest
from warpsmith.core.quantity import Source
from warpsmith.core.task import Task, Workload
from warpsmith.profiler.time_model import ModelledLaunch, model_workload
from warpsmith.sandbox.analysis.stores import feeds_indices
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.counting.sampling import blocks_at, choose_blocks
from warpsmith.sandbox.gate.bench_partly import Part, run_partly
from warpsmith.sandbox.gate.bench_races import race_between_blocks
from warpsmith.sandbox.gate.bench_samples import LEAST_FLOPS, LEAST_WRITTEN, differ, heavier, uneven, unlikely
from warpsmith.sandbox.gate.trials import written_tensors
from warpsmith.sandbox.verify.bench_values import BenchCache, check_written
from warpsmith.sandbox.verify.hidden import SWEPT
from warpsmith.tasks.oracle import exact_cost
from warpsmith.tasks.sample import empty_outputs

SAMPLED_BLOCKS = 16
"""Blocks counted of each launch, corners included; a launch that feeds indices to a later one runs whole."""
WHOLE_WARPS = 8e6
"""Warp instructions that earlier launches of a call may take to run whole, so that the last one finds what it reads."""
ONCE_WHOLE_WARPS = 256e6
"""The same for one workload of every evaluation, drawn at random; and what all launches of its call may take to run
whole, so that every element is looked at."""
ALL_WHOLE_WARPS = 256e6
"""What calls of the other workloads may take together to run whole."""
LAST_WHOLE_WARPS = 4e9
"""What a call may take to run whole of which no part could be compared: to be looked at costs time, never trust."""
MOST_WARPS_PER_FLOP = 0.25
"""Warp instructions for each operation of the task that one launch may issue whose blocks have to run whole: eight
instructions of a thread."""
MORE_BLOCKS = (256, 4096)
"""Blocks counted instead where those cannot stand for the others."""
NAMED_BLOCKS = 32
"""Blocks looked at since the kernel names their place, or a row that they may do."""
LOOK_WARPS = 1e6
"""Warp instructions of each launch that a second look at other blocks may take."""
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
    thorough: bool = False
    """Every call runs whole that can in minutes, `LAST_WHOLE_WARPS`."""
    replies: list[tuple[Workload, RunReply]] = field(default_factory=list)
    """What ran, for the coverage of the verdict."""
    whole: list[str] = field(default_factory=list)
    """Workloads of which every element was compared."""
    unseen: list[str] = field(default_factory=list)
    """Workloads whose values could not be compared."""
    _left: float = field(default_factory=lambda: ALL_WHOLE_WARPS)

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
        cost = exact_cost(self.task, workload, inputs)
        request = RunRequest(
            artifact=artifact,
            plan=plan,
            inputs=inputs,
            outputs=written_tensors(self.task, workload, inputs),
            static=self.task.static_inputs,
            seed=self.seed,
            checks=False,
            sample_blocks=SAMPLED_BLOCKS,
            whole=self._meeting(plan, workload),
            budget=int(max(LAST_WHOLE_WARPS, MOST_WARPS_PER_FLOP * cost.flops)),
        )
        reply = self.launcher.run(request)
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
        race = race_between_blocks(self.launcher, request, reply, self.builds.arch)
        if race is not None:
            return _at(race, workload)
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
        complete = request.whole.issuperset(_positions(request.plan))
        every = complete or self._affords(workload, reply)
        found = every or self._finds_all(request, workload, reply)
        look = _whole(request) if every else self._second(request, reply, found=found)
        seen = reply if complete else self.launcher.run(look)
        if seen.failure is not None:
            return _at(seen.failure, workload)
        part: Part | None = Part(seen, seen.changed)
        if not found:
            part = run_partly(self.launcher, request, reply.counters, self._needed(request, workload), self.seed)
            if part is None and _warps(reply) <= LAST_WHOLE_WARPS:
                every, look = True, _whole(request)
                seen = self.launcher.run(look)
                if seen.failure is not None:
                    return _at(seen.failure, workload)
        self.replies.append((workload, seen))
        wrong = self._compared(workload, _all_of(seen) if every else part, every=every)
        if wrong is None and found and not every:
            wrong = self._wrong_where_named(request, workload)
        if wrong is not None:
            return wrong
        return self.launcher.run(replace(look, counters=True)) if differ(reply, seen) else heavier(reply, seen)

    def _compared(self, workload: Workload, part: Part | None, *, every: bool) -> Outcome | None:
        """What is wrong with the values that can be judged, where there are any."""
        if part is None:
            self.unseen.append(workload.name)
            return None
        if every:
            self.whole.append(workload.name)
        return check_written(self.task, workload, part.reply.outputs, part.alike, CACHE, self.seed, self._named)

    def _second(self, request: RunRequest, reply: RunReply, *, found: bool) -> RunRequest:
        """Other blocks; `found`: after all of the launches before them."""
        whole = request.whole | (frozenset(_positions(request.plan)[:-1]) if found else frozenset())
        blocks = self._others(request.plan, reply)
        some = {number: chosen for number, chosen in blocks.items() if chosen is not None}
        return replace(request, whole=whole | (blocks.keys() - some.keys()), blocks=some, counters=False)

    def _others(self, plan: BoundPlan, reply: RunReply) -> dict[int, tuple[int, ...] | None]:
        """Blocks of each launch for a second look, by position in the plan: as many as it has time for; None: all."""
        found = {}
        for number, step, item in zip(_positions(plan), plan.launches, reply.coverage, strict=True):
            most = int(LOOK_WARPS * prod(step.grid) / max(item.issued, 1.0))
            found[number] = choose_blocks(step.grid, max(most, SAMPLED_BLOCKS), self.seed + 1)
        return found

    @property
    def _named(self) -> frozenset[int]:
        """Numbers of rows and blocks at which the kernel may do something else, since it names them."""
        return frozenset(number for number in self.builds.sizes.all if number > SWEPT)

    def _wrong_where_named(self, request: RunRequest, workload: Workload) -> Outcome | None:
        """What is wrong in blocks of the last launch whose place, or one of whose rows, the kernel names."""
        *earlier, last = _positions(request.plan)
        grid = request.plan.launches[-1].grid
        rows = dims_of(self.task, workload)[self.task.rows] if self.task.rows else 0
        shared_out = {number * extent // rows for number in self._named if number < rows for extent in grid}
        blocks = blocks_at(grid, self._named | shared_out, NAMED_BLOCKS, self.seed)
        if not blocks:
            return None
        look = replace(request, whole=request.whole | frozenset(earlier), blocks={last: blocks}, counters=False)
        seen = self.launcher.run(look)
        if seen.failure is not None:
            return _at(seen.failure, workload)
        return check_written(self.task, workload, seen.outputs, seen.changed, CACHE, self.seed, self._named)

    def _needed(self, request: RunRequest, workload: Workload) -> frozenset[int]:
        """Steps that run whole in any case: a later launch takes indices from them, or their blocks meet."""
        floats = frozenset(name for name, output in request.outputs.items() if output.dtype.is_floating)
        return request.whole | {
            number
            for number, step in zip(_positions(request.plan), request.plan.launches, strict=True)
            if feeds_indices(request.plan, step, self.builds.writes(workload, step), floats)
        }

    def _meeting(self, plan: BoundPlan, workload: Workload) -> frozenset[int]:
        """Steps whose blocks may see each other's work: some of them can stand for the others in nothing."""
        return frozenset(
            number
            for number, step in zip(_positions(plan), plan.launches, strict=True)
            if self.builds.communicates(workload, step.kernel)
        )

    def _affords(self, workload: Workload, reply: RunReply) -> bool:
        """Whether all launches may run whole; takes that from what there is."""
        total = _warps(reply)
        if self.thorough:
            return total <= LAST_WHOLE_WARPS
        if workload is self._chosen:
            return total <= ONCE_WHOLE_WARPS
        if total > self._left:
            return False
        self._left -= total
        return True

    @property
    def _chosen(self) -> Workload:
        return self.task.bench[self.seed % len(self.task.bench)]

    def _finds_all(self, request: RunRequest, workload: Workload, reply: RunReply) -> bool:
        """Whether all launches but the last may run whole, so that its blocks find what they read."""
        most = ONCE_WHOLE_WARPS if workload is self._chosen else WHOLE_WARPS
        earlier = list(zip(_positions(request.plan), reply.counters, strict=True))[:-1]
        large = [sum(item.warp_instructions.values()) for number, item in earlier if number not in request.whole]
        return sum(large) <= most


def _positions(plan: BoundPlan) -> list[int]:
    """Of the launches among the plan's steps."""
    return [number for number, step in enumerate(plan.steps) if isinstance(step, BoundLaunch)]


def _whole(request: RunRequest) -> RunRequest:
    """The call with all its blocks."""
    return replace(request, whole=frozenset(_positions(request.plan)), counters=False)


def _all_of(seen: RunReply) -> Part:
    """Every element of a call that ran whole: what still holds poison counts, too."""
    return Part(seen, {name: np.ones_like(changed) for name, changed in seen.changed.items()})


def _warps(reply: RunReply) -> float:
    """Warp instructions of the whole call."""
    return sum(sum(item.warp_instructions.values()) for item in reply.counters)


def _at(failure: Outcome, workload: Workload) -> Outcome:
    return failure.model_copy(update={"workload": workload.name}) if isinstance(failure, Failure) else failure


def memset_bytes(plan: BoundPlan, task: Task, workload: Workload) -> list[int]:
    """Bytes of each memset inside the timed call: buffers with `init`, and `fill` steps."""
    outputs = empty_outputs(task, workload)
    return [buffer.nbytes for buffer in plan.buffers if buffer.init is not None] + [
        outputs[step.tensor].nbytes for step in plan.steps if isinstance(step, BoundFill)
    ]
