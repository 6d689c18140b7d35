"""What a GPU adds to the gate: the values of real hardware, at verify and hidden workloads and, whole, at bench ones.

It takes nothing from the emulator's part. A GPU sees neither races nor uninitialised reads nor misused barriers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from warpsmith.core.outcome import Failure, Outcome, Stage, WorkloadCheck
from warpsmith.core.protocols import Launcher, RunRequest
from warpsmith.core.task import Task, Workload
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.coverage import Ledger
from warpsmith.sandbox.trials import Trials, static_inputs, unwritten, written_tensors
from warpsmith.sandbox.verify.bench_values import BenchCache, check_written


@dataclass(slots=True)
class Hardware:
    """One candidate on a GPU."""

    task: Task
    builds: Builds
    launcher: Launcher
    seed: int
    trials: Trials = field(init=False)

    def __post_init__(self) -> None:
        # What ran where nothing was checked counts for no coverage: this ledger is thrown away.
        self.trials = Trials(self.task, self.builds, self.launcher, self.seed, Ledger(self.builds))

    def verify(self, workloads: Sequence[Workload], prepared: int) -> tuple[WorkloadCheck, ...] | Outcome:
        """Run each workload under two poisons, launch by launch and as a graph, and hold it against the oracle.

        The first `prepared` ones run once more with what `[[prepare]]` wrote.
        """
        for workload in workloads:
            failure = self.trials.run(workload)
            if failure is not None:
                return _there(failure)
        for workload in workloads[:prepared]:
            failure = self.trials.run_prepared(workload)
            if failure is not None:
                return _there(failure)
        verdict = self.trials.compare()
        return verdict if isinstance(verdict, tuple) else _there(verdict)

    def bench(self, cache: BenchCache) -> Outcome | None:
        """Run each bench workload whole and compare all its outputs with the reference's; None where they agree."""
        for workload in self.task.bench:
            failure = self._bench(workload, cache)
            if failure is not None:
                return _there(failure, workload)
        return None

    def request(self, workload: Workload, cache: BenchCache) -> RunRequest:
        """One call at a bench workload."""
        inputs = cache.inputs_of(self.task, workload)
        return RunRequest(
            artifact=self.builds.artifact(workload),
            plan=self.builds.plan(workload),
            inputs=inputs,
            outputs=written_tensors(self.task, workload, inputs),
            static=static_inputs(self.task),
            seed=self.seed,
            counters=False,
        )

    def _bench(self, workload: Workload, cache: BenchCache) -> Outcome | None:
        reply = self.launcher.run(self.request(workload, cache))
        failure = reply.failure or unwritten(self.task, reply)
        if failure is not None:
            return failure
        everything = {name: np.ones(tensor.array.size, np.bool_) for name, tensor in reply.outputs.items()}
        return check_written(self.task, workload, reply.outputs, everything, cache, self.seed)


def _there(outcome: Outcome, workload: Workload | None = None) -> Outcome:
    """The same failure, as one that the GPU showed."""
    if not isinstance(outcome, Failure):
        return outcome
    named = outcome.workload or (workload.name if workload else None)
    return outcome.model_copy(update={"stage": Stage.DEVICE, "workload": named})
