"""Times a plan on a GPU from this side of the pipe: one kernel alone, or two in alternation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from warpsmith.core.errors import DeviceError
from warpsmith.core.outcome import Nondeterministic, Outcome, OverBudget, Stage
from warpsmith.core.protocols import RunRequest
from warpsmith.core.tensor import HostTensor
from warpsmith.profiler.timing import (
    FLUSH_FACTOR,
    SET_BYTES,
    Method,
    TimedCall,
    Timing,
    TimingPlan,
    disagreement,
    plan_timing,
)
from warpsmith.sandbox.device.channel import TooLate
from warpsmith.sandbox.device.driver import Bytes
from warpsmith.sandbox.device.faults import outcome_of
from warpsmith.sandbox.device.lowering import Lowered, lower
from warpsmith.sandbox.device.messages import BufferRole
from warpsmith.sandbox.device.pool import Pool, Worker
from warpsmith.sandbox.device.timing_messages import (
    EndTiming,
    Sampled,
    Staged,
    StageTiming,
    TakeSamples,
    TimingEnded,
)

SAMPLE_SECONDS = 10.0
"""The longest one sample may take."""
_SLACK_SECONDS, _BYTES_PER_SECOND = 60.0, 50e6
"""What a worker may take besides: a fixed time, and what placing its buffers needs at least."""

R = TypeVar("R", Staged, Sampled, TimingEnded)

Mint = Callable[[int], RunRequest]
"""Number of an input set -> the call on it; plans and artifacts are equal, values differ."""


class Misbehaved(Exception):  # noqa: N818 - control flow inside one measurement
    """A kernel that is being timed did something wrong."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(getattr(outcome, "message", ""))
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class TimedRun:
    """A kernel's times at one workload, and what its timed calls wrote."""

    timing: Timing
    requests: tuple[RunRequest, ...]
    """The call on each input set."""
    outputs: tuple[dict[str, HostTensor], ...]
    """Of the last timed call on each set."""


class Stand:
    """One kernel staged in one worker."""

    def __init__(self, worker: Worker, mint: Mint) -> None:
        self.worker, self.mint = worker, mint
        self.requests: list[RunRequest] = []
        self._lowered: list[Lowered] = []
        self._staged = Staged()

    def estimate(self) -> float:
        """Microseconds of a warm call."""
        self.stage(TimingPlan(method=Method.CALL, sets=1, warm_up=1, samples=1, flush_bytes=self._flush))
        return self._staged.estimate_us

    @property
    def set_bytes(self) -> int:
        return self._lowered[0].nbytes

    @property
    def _flush(self) -> int:
        return FLUSH_FACTOR * max(self.worker.device.l2_bytes, 1)

    def plan(self, estimate_us: float, seconds: float) -> TimingPlan:
        """The plan for calls of so many microseconds on this GPU."""
        device = self.worker.device
        room = min(SET_BYTES, device.memory_bytes // 4)
        return plan_timing(estimate_us, self.set_bytes, max(device.l2_bytes, 1), seconds=seconds, room_bytes=room)

    def stage(self, plan: TimingPlan) -> None:
        """Put the plan's input sets in place.

        Raises:
            Misbehaved: the kernel faulted.
            DeviceError: the worker did.
        """
        while len(self.requests) < plan.sets:
            self.requests.append(self.mint(len(self.requests)))
            self._lowered.append(lower(self.requests[-1]))
        first = self._lowered[0]
        self.worker.load(first.module, np.frombuffer(first.cubin, np.uint8))
        uploads = [blob for lowered in self._lowered[: plan.sets] for blob in lowered.uploads]
        asked = StageTiming(
            call=first.call,
            sets=plan.sets,
            method=plan.method,
            flush_bytes=plan.flush_bytes,
            seed=self.requests[0].seed,
            seconds=SAMPLE_SECONDS,
        )
        patience = _SLACK_SECONDS + sum(blob.size for blob in uploads) / _BYTES_PER_SECOND
        self._staged = self._ask(asked, Staged, uploads, patience)[0]

    def take(self, count: int, warm_up: int = 0) -> tuple[TimedCall, ...]:
        """So many samples.

        Raises:
            Misbehaved: the kernel faulted.
        """
        patience = _SLACK_SECONDS + (count + warm_up) * 0.1
        return self._ask(TakeSamples(count=count, warm_up=warm_up), Sampled, (), patience)[0].samples

    def finish(self, plan: TimingPlan, samples: Sequence[TimedCall]) -> TimedRun:
        """Read back what timed calls wrote, and free the worker's memory.

        Raises:
            Misbehaved: the kernel faulted.
        """
        ended, blobs = self._ask(EndTiming(), TimingEnded, (), _SLACK_SECONDS + self.set_bytes * plan.sets / 50e6)
        names = [
            item.name for item in self._lowered[0].call.buffers if item.role in (BufferRole.OUTPUT, BufferRole.INPLACE)
        ]
        outputs = []
        for number in range(ended.sets):
            group = dict(zip(names, blobs[number * len(names) :], strict=False))
            wanted = self.requests[number].outputs
            outputs.append(
                {
                    name: HostTensor.from_bytes(tensor.dtype, tensor.shape, group[name])
                    for name, tensor in wanted.items()
                }
            )
        timing = Timing(
            plan=plan,
            device=self.worker.device.name,
            samples=tuple(samples),
            checks=ended.checks,
            empty_host_us=self._staged.empty_host_us,
            empty_event_us=self._staged.empty_event_us,
        )
        return TimedRun(timing, tuple(self.requests[: plan.sets]), tuple(outputs))

    def _ask(
        self, request: StageTiming | TakeSamples | EndTiming, expected: type[R], blobs: Sequence[Bytes], seconds: float
    ) -> tuple[R, list[Bytes]]:
        try:
            reply, answer = self.worker.ask(request, expected, blobs, seconds=seconds)
        except TooLate as late:
            message = f"the GPU's worker was ended while it timed the kernel: {late}"
            raise Misbehaved(OverBudget(stage=Stage.DEVICE, message=message)) from late
        if reply.fault is not None:
            raise Misbehaved(outcome_of(reply.fault, self.worker.device.name))
        return reply, answer


@dataclass(frozen=True, slots=True)
class DeviceTimer:
    """Times kernels on whichever of a pool's GPUs is free."""

    pool: Pool

    def time(self, mint: Mint, *, seconds: float = 1.0) -> TimedRun | Outcome:
        """Time one plan; a kernel that faults meanwhile gets its Outcome.

        Raises:
            DeviceError: the worker failed, or its clocks contradict each other.
        """
        with self.pool.lease() as worker:
            stand = Stand(worker, mint)
            try:
                plan = stand.plan(stand.estimate(), seconds)
                stand.stage(plan)
                run = stand.finish(plan, stand.take(plan.samples, plan.warm_up))
            except Misbehaved as wrong:
                return wrong.outcome
        problem = disagreement(run.timing)
        if problem:
            raise DeviceError(f"the GPU's clocks disagree: {problem}.", remedy="End other programs that use the GPU.")
        return run


def unsteady(timing: Timing) -> Nondeterministic | None:
    """The failure of a kernel whose timed calls gave different bytes on the same inputs; None where none did."""
    loose = next((check for check in timing.checks if len(check.digests) > 1), None)
    if loose is None:
        return None
    return Nondeterministic(
        stage=Stage.DEVICE,
        message=f"timed calls on the same inputs gave {len(loose.digests)} different results in {loose.calls} calls.",
    )
