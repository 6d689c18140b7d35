"""What a GPU adds to the gate: the values of real hardware, at verify and hidden workloads and, whole, at bench ones;
and measured times.

It takes nothing from the emulator's part. A GPU sees neither races nor uninitialised reads nor misused barriers.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from warpsmith.core.outcome import Failure, Inconclusive, Nondeterministic, Outcome, Stage, WorkloadCheck
from warpsmith.core.profile import Profile
from warpsmith.core.protocols import Launcher, RunRequest
from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.profiler.measured import measured_profile, unmodelled_profile
from warpsmith.profiler.nvml import driver_version
from warpsmith.profiler.roofline import speed_of_light
from warpsmith.profiler.timing import Timing
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.device.duel import timed_request
from warpsmith.sandbox.device.evidence import CLEAN, sanitize, with_counters
from warpsmith.sandbox.device.launcher import DeviceLauncher
from warpsmith.sandbox.device.lowering import lower
from warpsmith.sandbox.device.pool import Pool
from warpsmith.sandbox.device.timer import DeviceTimer, TimedRun, unsteady
from warpsmith.sandbox.device.tools import Tools
from warpsmith.sandbox.gate.coverage import Ledger
from warpsmith.sandbox.gate.trials import Trials, first_difference, unwritten, written_tensors
from warpsmith.sandbox.verify.bench_values import BenchCache, check_written
from warpsmith.tasks.oracle import exact_cost


@dataclass(frozen=True, slots=True)
class Gpu:
    """A pool's GPUs as the gate uses them."""

    launcher: Launcher
    timer: DeviceTimer
    tools: Tools
    name: str = ""
    driver: str = ""
    """The driver's version; empty where NVML does not say."""
    jail: Callable[[], str] = str
    """The level at which its workers are jailed; empty where they are not."""

    @classmethod
    def of(cls, pool: Pool) -> Gpu:
        """For GPUs of one architecture."""
        tools = Tools.installed(pool.devices[0].uuid, pool.command.environment)
        name = pool.devices[0].name
        return cls(DeviceLauncher(pool), DeviceTimer(pool), tools, name, driver_version(), lambda: pool.level or "")


@dataclass(slots=True)
class Hardware:
    """One candidate on a GPU."""

    task: Task
    builds: Builds
    gpu: Gpu
    seed: int
    trials: Trials = field(init=False)

    def __post_init__(self) -> None:
        # What ran where nothing was checked counts for no coverage: this ledger is thrown away.
        self.trials = Trials(self.task, self.builds, self.gpu.launcher, self.seed, Ledger(self.builds))

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

    def measure(self, modelled: Profile, cache: BenchCache) -> Profile | Outcome:
        """Time every bench workload; what timed calls wrote has to be right and, where sums have an order, the same.

        Counters come with the first of them, or the reason why there are none.
        """
        timings = self._timings(cache)
        if not isinstance(timings, dict):
            return timings
        return self._counted(measured_profile(modelled, timings), cache)

    def measure_alone(self, candidate: str, cache: BenchCache) -> Profile | Outcome:
        """The same for code that the emulator cannot run: times beside the bounds, and the GPU's counters."""
        timings = self._timings(cache)
        if not isinstance(timings, dict):
            return timings
        bounds = {
            item.name: speed_of_light(exact_cost(self.task, item, cache.inputs_of(self.task, item)), self.builds.arch)
            for item in self.task.bench
        }
        return self._counted(unmodelled_profile(candidate, self.builds.arch.name, bounds, timings), cache)

    def _timings(self, cache: BenchCache) -> dict[str, Timing] | Outcome:
        timings: dict[str, Timing] = {}
        for workload in self.task.bench:
            timed = self._time(workload, cache)
            if not isinstance(timed, Timing):
                return _there(timed, workload)
            timings[workload.name] = timed
        return timings

    def _counted(self, measured: Profile | Outcome, cache: BenchCache) -> Profile | Outcome:
        if not isinstance(measured, Profile):
            return measured
        first, *others = measured.workloads
        report = self.gpu.tools.counters([lower(self.request(self.task.bench[0], cache))])
        return measured.model_copy(update={"workloads": (with_counters(first, report), *others)})

    def properties(self, workloads: Sequence[Workload]) -> Outcome | None:
        """The task's properties, each at one of the workloads, where no emulator could see them hold."""
        for number, prop in enumerate(self.task.properties):
            failure = self.trials.run_property(prop, workloads[(self.seed + number) % len(workloads)])
            if failure is not None:
                return _there(failure)
        return None

    def sanitize(self, workload: Workload) -> tuple[Outcome | None, str]:
        """compute-sanitizer over one call: the failure it found, and in words what its checkers came to."""
        failure, told = sanitize(self.gpu.tools, lower(timed_request(self.task, self.builds, workload, self.seed)))
        return (None if failure is None else _there(failure, workload)), told

    def sanitize_all(self, workloads: Sequence[Workload]) -> tuple[Outcome | None, str]:
        """The same over every workload; ends at the first failure, or where a checker cannot run, and says which."""
        for workload in workloads:
            failure, told = self.sanitize(workload)
            if failure is not None or told != CLEAN:
                return failure, told
        return None, CLEAN

    def _time(self, workload: Workload, cache: BenchCache) -> Timing | Outcome:
        own = secrets.randbits(30)

        def mint(number: int) -> RunRequest:
            """The first set is the one whose answer is known; the others have values nobody has seen."""
            if number == 0:
                return replace(self.request(workload, cache), checks=False)
            return timed_request(self.task, self.builds, workload, own + number)

        run = self.gpu.timer.time(mint)
        if not isinstance(run, TimedRun):
            return run
        if run.timing.throttled:
            message = "the GPU was slowed down by heat or power during every sample; its times are no evidence."
            return Inconclusive(stage=Stage.DEVICE, message=message, workload=workload.name)
        free = self.builds.sums_in_any_order(workload)
        problem = (None if free else unsteady(run.timing)) or self._compared(workload, run.outputs[0], cache)
        if problem is None and not free and len(run.outputs) > 1:
            problem = self._repeated(run, 1 + secrets.randbelow(len(run.outputs) - 1), workload)
        return run.timing if problem is None else problem

    def _repeated(self, run: TimedRun, number: int, workload: Workload) -> Outcome | None:
        """Run one set again, untimed and over other poison: a timed call has to have given the same bytes."""
        reply = self.gpu.launcher.run(replace(run.requests[number], seed=self.seed))
        if reply.failure is not None:
            return reply.failure
        again = replace(reply, outputs=run.outputs[number])
        name = first_difference(self.task, [reply, again])
        if name is None:
            return None
        message = f"{name} of a timed call differs from that of an untimed one on the same inputs."
        return Nondeterministic(stage=Stage.DEVICE, message=message, workload=workload.name)

    def request(self, workload: Workload, cache: BenchCache) -> RunRequest:
        """One call at a bench workload."""
        inputs = cache.inputs_of(self.task, workload)
        return RunRequest(
            artifact=self.builds.artifact(workload),
            plan=self.builds.plan(workload),
            inputs=inputs,
            outputs=written_tensors(self.task, workload, inputs),
            static=self.task.static_inputs,
            seed=self.seed,
            counters=False,
        )

    def _bench(self, workload: Workload, cache: BenchCache) -> Outcome | None:
        reply = self.gpu.launcher.run(self.request(workload, cache))
        failure = reply.failure or unwritten(self.task, reply)
        if failure is not None:
            return failure
        return self._compared(workload, reply.outputs, cache)

    def _compared(self, workload: Workload, outputs: Mapping[str, HostTensor], cache: BenchCache) -> Outcome | None:
        everything = {name: np.ones(tensor.array.size, np.bool_) for name, tensor in outputs.items()}
        return check_written(self.task, workload, outputs, everything, cache, self.seed, self.builds.sizes.all)


def _there(outcome: Outcome, workload: Workload | None = None) -> Outcome:
    """The same failure, as one that the GPU showed."""
    if not isinstance(outcome, Failure):
        return outcome
    named = outcome.workload or (workload.name if workload else None)
    return outcome.model_copy(update={"stage": Stage.DEVICE, "workload": named})
