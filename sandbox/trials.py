"""Verify workloads, run under several schedules, poisons and base addresses, then held against the oracle."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from warpsmith.core.outcome import Failure, Nondeterministic, Outcome, Stage, Unwritten, WorkloadCheck, Wrong
from warpsmith.core.protocols import Launcher, RunReply, RunRequest
from warpsmith.core.task import Role, Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.verify.compare import compare
from warpsmith.tasks.oracle import honest, oracle
from warpsmith.tasks.sample import empty_outputs, make_inputs

SCHEDULES = 2
"""Runs of each workload that differ in poison, warp order and base address and must agree bit for bit."""


@dataclass(slots=True)
class Trials:
    """Runs and comparisons of one candidate."""

    task: Task
    builds: Builds
    launcher: Launcher
    seed: int
    notes: tuple[str, ...] = ()
    _inputs: dict[str, dict[str, HostTensor]] = field(default_factory=dict)
    _outputs: dict[str, list[RunReply]] = field(default_factory=dict)

    def run(self, workload: Workload) -> Outcome | None:
        """Run one workload under every schedule; a Failure, or None when all ended and agreed."""
        inputs = self._inputs[workload.name] = make_inputs(self.task, workload, self.seed)
        replies: list[RunReply] = []
        for schedule in range(SCHEDULES):
            reply = self.launcher.run(
                RunRequest(
                    artifact=self.builds.artifact(workload),
                    plan=self.builds.plan(workload),
                    inputs=inputs,
                    outputs=empty_outputs(self.task, workload),
                    static=static_inputs(self.task),
                    seed=self.seed * SCHEDULES + schedule,
                )
            )
            failure = reply.failure or _unwritten(reply)
            if failure is not None:
                return _at(failure, workload)
            replies.append(reply)
        self._outputs[workload.name] = replies
        return self._disagreement(workload, replies)

    def compare(self, workload: Workload) -> WorkloadCheck | Wrong:
        """Hold the first run's outputs against the float64 oracle."""
        inputs = self._inputs[workload.name]
        verdicts = [
            compare(
                self.task,
                workload,
                reply.outputs,
                oracle(self.task, workload, inputs),
                honest(self.task, workload, inputs),
                seed=self.seed,
            )
            for reply in self._distinct(workload)
        ]
        return next((verdict for verdict in verdicts if isinstance(verdict, Wrong)), verdicts[0])

    def _distinct(self, workload: Workload) -> list[RunReply]:
        """One reply where all agreed; every reply of an order-dependent kernel."""
        replies = self._outputs[workload.name]
        return replies if _first_difference(replies) else replies[:1]

    def _disagreement(self, workload: Workload, replies: list[RunReply]) -> Outcome | None:
        name = _first_difference(replies)
        if name is None:
            return None
        if self.builds.sums_in_any_order(workload):
            note = f"{name} depends on the order of floating-point atomics; every order is held to the tolerance"
            self.notes = tuple(dict.fromkeys((*self.notes, note)))
            return None
        return Nondeterministic(
            stage=Stage.EMULATE,
            message=f"{name} differs between two runs on the same inputs under other poison, warp order and addresses.",
            workload=workload.name,
        )


def static_inputs(task: Task) -> frozenset[str]:
    """Names of inputs whose values stay over many calls: what a prepare launch may read."""
    return frozenset(tensor.name for tensor in task.inputs if tensor.role is Role.STATIC)


def _first_difference(replies: list[RunReply]) -> str | None:
    first = replies[0].outputs
    for other in replies[1:]:
        for name, tensor in first.items():
            if not np.array_equal(tensor.bytes, other.outputs[name].bytes):
                return name
    return None


def _unwritten(reply: RunReply) -> Unwritten | None:
    for name, index in reply.unwritten.items():
        tensor = reply.outputs[name]
        place = tuple(int(i) for i in np.unravel_index(index // tensor.dtype.itemsize, tensor.shape))
        return Unwritten(
            stage=Stage.EMULATE,
            message=f"{name}{list(place)} was never written (shape {list(tensor.shape)}): cover every row and column.",
        )
    return None


def _at(outcome: Outcome, workload: Workload) -> Outcome:
    """The same failure, saying which class of workload showed it."""
    return outcome.model_copy(update={"workload": workload.name}) if isinstance(outcome, Failure) else outcome
