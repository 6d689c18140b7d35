"""Workloads run under several schedules, poisons and base addresses, then held against the oracle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TypeVar

import numpy as np

from warpsmith.core.kernel_file import dims_of
from warpsmith.core.outcome import Failure, Nondeterministic, Outcome, Stage, Unwritten, WorkloadCheck, Wrong
from warpsmith.core.plan import BoundPlan
from warpsmith.core.protocols import Launcher, RunReply, RunRequest
from warpsmith.core.task import Property, Role, Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.gate.coverage import Ledger
from warpsmith.sandbox.verify.altered import altered_together, ways
from warpsmith.sandbox.verify.amplitudes import at_amplitudes
from warpsmith.sandbox.verify.at_size import altered_at_size
from warpsmith.sandbox.verify.explain import explained
from warpsmith.sandbox.verify.judged import broken_property, changed_inputs
from warpsmith.sandbox.verify.named import named_at, named_at_size
from warpsmith.sandbox.verify.standard import Standard
from warpsmith.tasks.convert import widened
from warpsmith.tasks.sample import empty_outputs, make_inputs

SCHEDULES = 2
"""Runs of each workload that differ in poison, warp order and base address and must agree bit for bit."""
LEAST_BUDGET, BUDGET_FACTOR, MOST_BUDGET = 1 << 23, 32.0, 1 << 32
"""Warp instructions a launch may issue: this many, and so many for every operation and byte of the task's cost, or byte
that is written where those are more, with which one thread that does all the work alone gets by; but no more than run
in a minute under the checkers."""
AT_THE_EDGE = "with approximate instructions at the edge of their documented error"
EDGE_STRIDE = 3
"""One workload in so many runs at that edge too, the first always."""
FEW_SMS = 3
"""Multiprocessors of the imagined small device on which kernels that ask for their number run once more."""

Inputs = Mapping[str, HostTensor]


@dataclass(frozen=True, slots=True)
class _Ran:
    """The replies of one workload whose inputs were `inputs`."""

    workload: Workload
    inputs: Inputs
    replies: list[RunReply]
    seed: int
    pessimistic: RunReply | None = None
    """The reply whose approximations err as far as the ISA lets them; one of `replies`."""


@dataclass(slots=True)
class Trials:
    """Runs and comparisons of one candidate."""

    task: Task
    builds: Builds
    launcher: Launcher
    seed: int
    ledger: Ledger
    notes: tuple[str, ...] = ()
    _ran: list[_Ran] = field(default_factory=list)
    _approximate: int = 0
    """Workloads so far whose code approximates."""

    def run(self, workload: Workload, patience: int = 1) -> Outcome | None:
        """Run one workload under every schedule, with so many times the budget; a Failure, or None when all ended and
        agreed.
        """
        return self._run(workload, make_inputs(self.task, workload, self.seed), patience=patience)

    def run_altered(self, workloads: Sequence[Workload], cheap: Sequence[Workload]) -> Outcome | list[str]:
        """Run verify workloads, the `cheap` ones where those will do, on values that no distribution draws: a Failure,
        or what was altered.
        """
        names = list[str]()
        for at, pairs in ways(self.task, workloads, cheap, self.seed):
            found = altered_together(self.task, at, pairs, self.seed)
            failure = found and self._run(*found)
            if failure is not None:
                return failure
            names += [" and ".join(f"{name} with {alteration}" for name, alteration in pairs)] if found else []
        return names

    def run_altered_at_size(self, minted: Sequence[Workload]) -> Outcome | list[str]:
        """Run those of the minted workloads that are bench-sized on such values, under one schedule: a Failure, or
        what was altered.
        """
        names = list[str]()
        for (name, alteration), found in altered_at_size(self.task, minted, self.seed):
            failure = self._run(*found, schedules=1)
            if failure is not None:
                return failure
            names.append(f"{name} with {alteration} at {found[0].name.partition(',')[0]}")
        return names

    def run_named(
        self, workloads: Sequence[Workload], cheap: Sequence[Workload], minted: Sequence[Workload]
    ) -> Outcome | int:
        """Run verify workloads, and minted ones that are bench-sized, on values that the code names: a Failure, or how
        many runs that were.
        """
        numbers = self.builds.numbers
        verified = named_at(self.task, workloads, cheap, numbers, self.seed)
        sized = named_at_size(self.task, minted, numbers, self.seed)
        return self._run_each(chain(verified, sized), schedules=1)

    def run_amplitudes(self, workloads: Sequence[Workload]) -> Outcome | int:
        """Run one of the workloads, the first that allows some, with its inputs at other amplitudes: a Failure, or at
        how many.
        """
        first = self.seed % len(workloads)
        for workload in (*workloads[first:], *workloads[:first]):
            found = self._run_each(at_amplitudes(self.task, workload, self.seed))
            if found:
                return found
        return 0

    def _run_each(self, runs: Iterable[tuple[Workload, Inputs]], schedules: int = SCHEDULES) -> Outcome | int:
        """The first Failure, or how many there were."""
        count = 0
        for found in runs:
            failure = self._run(*found, schedules)
            if failure is not None:
                return failure
            count += 1
        return count

    def _run(self, workload: Workload, inputs: Inputs, schedules: int = SCHEDULES, patience: int = 1) -> Outcome | None:
        request = self._request(workload, self.builds.plan(workload), inputs, patience)
        replies: list[RunReply] = []
        for schedule in range(schedules):
            reply = self.launcher.run(replace(request, seed=self.seed * SCHEDULES + schedule))
            failure = reply.failure or unwritten(self.task, reply, launches=len(request.plan.launches))
            if failure is not None:
                return _at(failure, workload)
            self.ledger.add(workload, reply)
            replies.append(reply)
        failed = self._disagreement(workload, replies) or self._few_sms(request, workload, replies)
        if failed is not None:
            return failed
        edge = self._at_the_edge(request, workload)
        if edge is None:
            self._ran.append(_Ran(workload, inputs, replies, self.seed))
        elif edge.failure is None:
            self._ran.append(_Ran(workload, inputs, [*replies, edge], self.seed, edge))
        else:
            return _at(edge.failure, workload, AT_THE_EDGE)
        return None

    def _at_the_edge(self, request: RunRequest, workload: Workload) -> RunReply | None:
        """Run once more with approximations that err as far as the ISA lets them.

        None where the code has none, and for all but every `EDGE_STRIDE`-th workload.
        """
        self._approximate += self.builds.approximates(workload)
        if not self.builds.approximates(workload) or self._approximate % EDGE_STRIDE != 1:
            return None
        return self.launcher.run(replace(request, seed=self.seed * SCHEDULES, pessimistic=True, checks=False))

    def run_prepared(self, workload: Workload) -> Outcome | None:
        """Call again with new dynamic inputs while what `[[prepare]]` wrote is kept, and with other static inputs.

        What is kept must serve every call on the same static inputs exactly as a fresh prepare does.
        """
        plan = self.builds.plan(workload)
        if not any(launch.prepare for launch in plan.launches):
            return None
        first, other = make_inputs(self.task, workload, self.seed), make_inputs(self.task, workload, ~self.seed & _MASK)
        static = self.task.static_inputs
        mixed = {name: first[name] if name in static and name in first else other[name] for name in other}
        kept = self.launcher.run(replace(self._request(workload, plan, first), seed=self.seed * SCHEDULES))
        for inputs, prepared in ((mixed, kept.prepared), (other, {})):
            request = replace(self._request(workload, plan, inputs), seed=self.seed * SCHEDULES + 1)
            replies = [self.launcher.run(replace(request, keep_prepared=prepared)), self.launcher.run(request)]
            for reply in replies:
                failure = reply.failure or unwritten(self.task, reply)
                if failure is not None:
                    return _at(failure, workload)
            failed = self._disagreement(workload, replies)
            if failed is not None:
                return failed
            self._ran.append(_Ran(workload, inputs, replies, ~self.seed & _MASK))
        return None

    def run_property(self, prop: Property, workload: Workload) -> Outcome | None:
        """Run a workload and its changed twin; both must be right, and related as the task says."""
        inputs = make_inputs(self.task, workload, self.seed)
        changed, known = changed_inputs(self.task, workload, prop, inputs, self.seed)
        plan, replies = self.builds.plan(workload), list[RunReply]()
        for given in (inputs, changed):
            request = replace(self._request(workload, plan, given), seed=self.seed * SCHEDULES)
            reply = self.launcher.run(request)
            failure = reply.failure or unwritten(self.task, reply)
            if failure is not None:
                return _at(failure, workload)
            replies.append(reply)
        broken = broken_property(self.task, workload, prop, replies[0].outputs, replies[1].outputs, known)
        if broken is not None:
            return Wrong(stage=Stage.COMPARE, message=broken, workload=workload.name)
        self._ran.append(_Ran(workload, changed, replies[1:], self.seed))
        return None

    def compare(self) -> tuple[WorkloadCheck, ...] | Wrong:
        """Hold what ran since the last call against the float64 oracle."""
        checks: list[WorkloadCheck] = []
        while self._ran:
            verdict = self._compared(self._ran.pop(0))
            if isinstance(verdict, Wrong):
                return verdict
            checks.append(verdict)
        return tuple(checks)

    def _compared(self, ran: _Ran) -> WorkloadCheck | Wrong:
        standard, replies = Standard(self.task, ran.workload, ran.inputs), _distinct(self.task, ran.replies)
        verdicts = [standard.verdict(reply.outputs, seed=ran.seed, explain=explained) for reply in replies]
        for verdict, reply in zip(verdicts, replies, strict=True):
            if isinstance(verdict, Wrong):
                return _named(verdict, ran.workload, AT_THE_EDGE if reply is ran.pessimistic else "")
        return verdicts[0]

    def _request(self, workload: Workload, plan: BoundPlan, inputs: Inputs, patience: int = 1) -> RunRequest:
        outputs = written_tensors(self.task, workload, inputs)
        return RunRequest(
            artifact=self.builds.artifact(workload),
            plan=plan,
            inputs=inputs,
            outputs=outputs,
            static=self.task.static_inputs,
            budget=min(MOST_BUDGET, patience * self._budget(workload, outputs)),
            counters=False,
        )

    def _budget(self, workload: Workload, outputs: Inputs) -> int:
        # A cost may leave out a size that is cheap; what is written still tells of it.
        written = sum(item.array.nbytes for item in outputs.values())
        work = max(self.task.cost(dims_of(self.task, workload)).work, written)
        return LEAST_BUDGET + int(BUDGET_FACTOR * work)

    def _few_sms(self, request: RunRequest, workload: Workload, replies: list[RunReply]) -> Outcome | None:
        """Run once more with few multiprocessors where the plan or the code asks how many there are.

        Sums may then come in another order, so the outputs are held to the tolerance.
        """
        plan = self.builds.plan_for(workload, sms=FEW_SMS)
        if plan is None or (plan == request.plan and not self.builds.reads_sms(workload)):
            return None
        reply = self.launcher.run(replace(request, plan=plan, seed=self.seed * SCHEDULES, sms=FEW_SMS))
        failure = reply.failure or unwritten(self.task, reply, launches=len(plan.launches))
        if failure is not None:
            return _at(failure, workload, f"with {FEW_SMS} multiprocessors")
        # A persistent block has several turns there, as it has at bench size: checked like every other run, it counts.
        self.ledger.add(workload, reply)
        replies.append(reply)
        return None

    def _disagreement(self, workload: Workload, replies: list[RunReply]) -> Outcome | None:
        name = first_difference(self.task, replies)
        if name is None:
            return None
        if self.builds.sums_in_any_order(workload):
            note = f"{name} depends on the order of floating-point atomics; every order is held to the tolerance"
            self.note(note)
            return None
        return Nondeterministic(
            stage=Stage.EMULATE,
            message=f"{name} differs between two runs on the same inputs under other poison, warp order and addresses.",
            workload=workload.name,
            details=(told_apart(self.task, replies, name),),
        )

    def note(self, text: str) -> None:
        """Keep a remark for the verdict, once."""
        self.notes = tuple(dict.fromkeys((*self.notes, text)))


_MASK = (1 << 31) - 1


def written_tensors(task: Task, workload: Workload, inputs: Inputs) -> dict[str, HostTensor]:
    """Outputs, and the inputs that are overwritten."""
    inplace = {tensor.name for tensor in task.inputs if tensor.role is Role.INPLACE}
    return empty_outputs(task, workload) | {name: value for name, value in inputs.items() if name in inplace}


def _distinct(task: Task, replies: list[RunReply]) -> list[RunReply]:
    """The first reply, and those that differ from it."""
    first, *others = replies
    return [first, *(other for other in others if first_difference(task, [first, other]))]


def first_difference(task: Task, replies: list[RunReply]) -> str | None:
    """The first output whose bytes differ between replies, rows past a `valid` count left out."""
    first = replies[0]
    for other in replies[1:]:
        for name, tensor in first.outputs.items():
            count = _bytes_that_count(task, first, name)
            if not np.array_equal(tensor.bytes[:count], other.outputs[name].bytes[:count]):
                return name
    return None


def told_apart(task: Task, replies: list[RunReply], name: str) -> str:
    """An element of an output that differs between replies, with both values, and how many do."""
    first = replies[0].outputs[name]
    count = _bytes_that_count(task, replies[0], name) // first.dtype.itemsize
    for other in (reply.outputs[name] for reply in replies[1:]):
        bytes_of = [item.bytes.reshape(-1, item.dtype.itemsize)[:count] for item in (first, other)]
        differs = np.flatnonzero((bytes_of[0] != bytes_of[1]).any(axis=1))
        if differs.size:
            at = int(differs[0])
            place = [int(i) for i in np.unravel_index(at, first.shape)]
            one, two = (
                (widened(item) if item.dtype.is_floating else item.array).reshape(-1)[at] for item in (first, other)
            )
            return f"{name}{place} is {one:.6g} in one run and {two:.6g} in the other; {differs.size} of {count} differ"
    return ""


def unwritten(task: Task, reply: RunReply, *, launches: int = 1) -> Unwritten | None:
    """The first output element that counts and that no launch wrote; counts of rows come before the rows.

    `launches` is how many the plan had at this size.
    """
    counts = {getattr(output, "valid", None) for output in task.outputs}
    for name in sorted(reply.unwritten, key=lambda name: name not in counts):
        tensor, index = reply.outputs[name], reply.unwritten[name]
        if index >= _bytes_that_count(task, reply, name):
            continue
        place = [int(i) for i in np.unravel_index(index // tensor.dtype.itemsize, tensor.shape)]
        counted = getattr(task.tensor(name), "valid", None)
        said = int(reply.outputs[counted].array.reshape(-1)[0]) if counted else 0
        remedy = f"{counted} says that {said} rows count, so write those." if counted else "cover every row and column."
        if not launches:
            remedy = "no launch runs at this size, since every grid is empty or every `when` is 0."
        return Unwritten(
            stage=Stage.EMULATE,
            message=f"{name}{place} was never written (shape {list(tensor.shape)}): {remedy}",
        )
    return None


def _bytes_that_count(task: Task, reply: RunReply, name: str) -> int:
    """Bytes of an output's leading rows, as many as its count says; all of them where it has none."""
    tensor = reply.outputs[name]
    valid = getattr(task.tensor(name), "valid", None)
    if not valid or not tensor.shape or not tensor.shape[0] or not reply.outputs[valid].array.size:
        return tensor.nbytes
    rows = min(max(int(reply.outputs[valid].array.reshape(-1)[0]), 0), tensor.shape[0])
    return rows * (tensor.nbytes // tensor.shape[0])


def _at(outcome: Outcome, workload: Workload, how: str = "") -> Outcome:
    """The same failure, saying which class of workload showed it, and how it was run."""
    return _named(outcome, workload, how) if isinstance(outcome, Failure) else outcome


_Failed = TypeVar("_Failed", bound=Failure)


def _named(failure: _Failed, workload: Workload, how: str = "") -> _Failed:
    absent = tuple(f"{name} is absent here: a null pointer, and has_{name} is 0" for name in sorted(workload.absent))
    where = f"{workload.name}, {how}" if how else workload.name
    return failure.model_copy(update={"workload": where, "details": (*failure.details, *absent)})
