"""Two candidates timed in alternation on one GPU, each in a fresh process of its own (`profiler/duel.py`)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby

from warpsmith.core.arch import Architecture
from warpsmith.core.candidate import Candidate
from warpsmith.core.errors import DeviceError
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.protocols import RunRequest
from warpsmith.core.task import Task, Workload
from warpsmith.profiler.comparison import PairedBlock, Sample
from warpsmith.profiler.timing import Method, TimedCall, Timing, abba, disagreement
from warpsmith.sandbox.builds import Builds, Compiler
from warpsmith.sandbox.device.pool import Pool, Worker
from warpsmith.sandbox.device.timer import Mint, Misbehaved, Stand, unsteady
from warpsmith.sandbox.gate.trials import written_tensors
from warpsmith.tasks.sample import make_inputs

BLOCKS, CALLS = 8, 8
"""Blocks of a process pair at one workload, and samples of each kernel in a block."""


@dataclass(frozen=True, slots=True)
class DeviceDuel:
    """Measures pairs on a pool's GPU."""

    task: Task
    arch: Architecture
    compiler: Compiler
    pool: Pool

    def fight(self, incumbent: Candidate, challenger: Candidate, pair: int) -> Sequence[PairedBlock]:
        """Blocks of one fresh pair of processes, at every bench workload, on inputs nobody saw before.

        Raises:
            DeviceError: the GPU failed, or one of the kernels does not run any more.
        """
        builds = [self._builds(candidate) for candidate in (incumbent, challenger)]
        blocks: list[PairedBlock] = []
        uuids = [device.uuid for device in self.pool.devices]
        with self.pool.leases.hold(uuids, self.pool.wait_seconds) as uuid, ExitStack() as ended:
            workers = [Worker(self.pool.command, uuid) for _ in builds]
            for worker in workers:
                ended.callback(worker.close)
            for workload in self.task.bench:
                seed = secrets.randbits(31)
                stands = [
                    Stand(worker, self._mint(one, workload, seed)) for worker, one in zip(workers, builds, strict=True)
                ]
                try:
                    blocks += _alternate(stands, [one.sums_in_any_order(workload) for one in builds], workload, pair)
                except Misbehaved as wrong:
                    message = f"at {workload.name} a verified kernel failed while it was timed: {wrong}."
                    raise DeviceError(message) from wrong
        return blocks

    def _builds(self, candidate: Candidate) -> Builds:
        builds = Builds(parse_kernel_file(candidate.text), self.task, candidate.knobs, self.arch, self.compiler)
        problem = builds.build_all(self.task.bench)
        if problem is not None:
            raise DeviceError(f"a verified kernel no longer compiles: {getattr(problem, 'message', problem)}")
        return builds

    def _mint(self, builds: Builds, workload: Workload, seed: int) -> Mint:
        return lambda number: timed_request(self.task, builds, workload, seed + number)


def timed_request(task: Task, builds: Builds, workload: Workload, seed: int) -> RunRequest:
    """The call of a built candidate on inputs of its own."""
    inputs = make_inputs(task, workload, seed)
    return RunRequest(
        artifact=builds.artifact(workload),
        plan=builds.plan(workload),
        inputs=inputs,
        outputs=written_tensors(task, workload, inputs),
        static=task.static_inputs,
        seed=seed,
        checks=False,
        counters=False,
    )


def _alternate(stands: Sequence[Stand], loose: Sequence[bool], workload: Workload, pair: int) -> Iterator[PairedBlock]:
    """ABBA blocks on equal plans: the faster kernel's estimate decides, so that neither is timed by another method."""
    estimate = min(stand.estimate() for stand in stands)
    largest = max(stands, key=lambda stand: stand.set_bytes)
    plan = largest.plan(estimate, 1.0)
    for stand in stands:
        stand.stage(plan)
        stand.take(plan.sets if plan.method is Method.CALL else 1, plan.warm_up)
    taken: tuple[list[TimedCall], list[TimedCall]] = ([], [])
    for order in abba(BLOCKS, CALLS):
        first = [len(taken[0]), len(taken[1])]
        for side, turns in groupby(order):
            taken[side].extend(stands[side].take(len(list(turns))))
        old, new = (tuple(map(_sample, taken[side][first[side] :])) for side in (0, 1))
        yield PairedBlock(pair, old, new, workload.name)
    for stand, samples, free in zip(stands, taken, loose, strict=True):
        _sound(stand.finish(plan, samples).timing, workload, free=free)


def _sound(timing: Timing, workload: Workload, *, free: bool) -> None:
    """Refuse times whose clocks disagree, or whose results changed from call to call."""
    problem = disagreement(timing)
    if problem:
        raise DeviceError(f"at {workload.name} the GPU's clocks disagree: {problem}.")
    changed = None if free else unsteady(timing)
    if changed is not None:
        raise Misbehaved(changed)


def _sample(call: TimedCall) -> Sample:
    # Where NVML gives no clock all samples have the same one, and times are compared as they are.
    clock = call.after.sm_mhz or call.before.sm_mhz or 1.0
    return Sample(call.event_us, clock, call.before.throttled or call.after.throttled)
