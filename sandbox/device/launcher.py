"""The Launcher that runs on a GPU. It sees values, stray accesses beyond guard pages and redzones, and hangs;
races, uninitialised reads and misused barriers it does not see, and says so in `RunReply.checks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from warpsmith.core.outcome import Outcome, OverBudget, Stage
from warpsmith.core.protocols import Check, RunReply, RunRequest
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.device.channel import TooLate
from warpsmith.sandbox.device.driver import Bytes
from warpsmith.sandbox.device.faults import outcome_of
from warpsmith.sandbox.device.lowering import Lowered, lower, prepared_buffers
from warpsmith.sandbox.device.messages import BufferRole, Ran, RunCall
from warpsmith.sandbox.device.pool import Pool

LIMIT_SECONDS = 10.0
"""The longest a launch, or a call as a graph, may take: thousands of times what a bench workload needs."""
_SLACK_SECONDS, _BYTES_PER_SECOND = 60.0, 50e6
"""What a worker may take besides: a fixed time, and what copying and comparing its buffers needs at least."""


@dataclass(frozen=True, slots=True)
class DeviceLauncher:
    """Runs plans on whichever of a pool's GPUs is free."""

    pool: Pool
    seconds: float = LIMIT_SECONDS

    def run(self, request: RunRequest) -> RunReply:
        """Allocate, poison, launch in plan order, compare, read back; two or three times where `checks` are asked for.

        Counters, coverage and samples of blocks are the emulator's: here every block runs and nothing is counted.

        Raises:
            DeviceError: the driver or the worker failed, and not for what the candidate did.
        """
        lowered = lower(request)
        asked = RunCall(call=lowered.call, seed=request.seed, seconds=self.seconds, checked=request.checks)
        with self.pool.lease() as worker:
            name = worker.device.name
            worker.load(lowered.module, np.frombuffer(lowered.cubin, np.uint8))
            try:
                ran, blobs = worker.ask(asked, Ran, lowered.uploads, seconds=self._patience(lowered))
            except TooLate as late:
                message = f"the GPU's worker was ended: {late}, where a launch may take {self.seconds:g} s"
                return _failed(OverBudget(stage=Stage.DEVICE, message=message, details=(f"on {name}",)))
        if ran.fault is not None:
            return _failed(outcome_of(ran.fault, name), frozenset(ran.checks))
        return _reply(request, lowered, ran, blobs)

    def _patience(self, lowered: Lowered) -> float:
        launches = len(lowered.call.steps) + 3
        return _SLACK_SECONDS + 3 * launches * self.seconds + lowered.nbytes / _BYTES_PER_SECOND


def _failed(outcome: Outcome, checks: frozenset[Check] = frozenset()) -> RunReply:
    return RunReply(failure=outcome, outputs={}, counters=(), unwritten={}, checks=checks)


def _reply(request: RunRequest, lowered: Lowered, ran: Ran, blobs: Sequence[Bytes]) -> RunReply:
    names = [item.name for item in lowered.call.buffers if item.role in (BufferRole.INPLACE, BufferRole.OUTPUT)]
    prepared = prepared_buffers(request.plan)
    outputs = dict(zip(names, blobs[: len(names)], strict=True))
    kept = zip(prepared, blobs[len(names) :], strict=True)
    return RunReply(
        failure=None,
        outputs={
            name: HostTensor.from_bytes(tensor.dtype, tensor.shape, outputs[name])
            for name, tensor in request.outputs.items()
        },
        counters=(),
        unwritten=ran.unwritten,
        prepared={item.name: HostTensor.from_bytes(item.dtype, item.shape, data) for item, data in kept},
        checks=frozenset(ran.checks),
    )
