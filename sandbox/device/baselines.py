"""Times what a user would run otherwise: PyTorch eager, torch.compile, a task's libraries; each in its own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from time import monotonic
from typing import Protocol

from pydantic import ValidationError

from warpsmith.core.errors import DeviceError
from warpsmith.core.profile import Profile
from warpsmith.core.quantity import Source
from warpsmith.core.task import Task, Workload
from warpsmith.sandbox.device.baseline_child import COMPILED, EAGER, BaselineAnswer, BaselineRequest
from warpsmith.sandbox.device.pool import Pool

PROGRAM = (sys.executable, "-m", "warpsmith.sandbox.device.baseline_child")
LIMIT_SECONDS = 240.0
"""Compiling included; torch.compile takes most of a minute."""
TOGETHER_SECONDS = 900.0
"""For all baselines of an accepted kernel."""
RATIO_SEED = 20270


@dataclass(frozen=True, slots=True)
class Baselines:
    """Times baselines on a pool's GPU."""

    pool: Pool
    program: Sequence[str] = PROGRAM
    environment: Mapping[str, str] | None = None
    """None: this process' own."""

    def time(
        self,
        task: Task,
        workload: Workload,
        name: str,
        seed: int,
        *,
        seconds: float = 1.0,
        limit: float = LIMIT_SECONDS,
    ) -> BaselineAnswer:
        """One baseline at one workload, or the reason why it has no time."""
        uuids = [device.uuid for device in self.pool.devices]
        with self.pool.leases.hold(uuids, self.pool.wait_seconds) as uuid:
            request = BaselineRequest(
                task=task.path, workload=workload.name, baseline=name, uuid=uuid, seed=seed, seconds=seconds
            )
            return self._ask(request, limit)

    def _ask(self, request: BaselineRequest, limit: float) -> BaselineAnswer:
        environment = None if self.environment is None else dict(self.environment)
        try:
            process = subprocess.Popen(
                list(self.program),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError(f"the baselines' process cannot be started: {error}.") from error
        try:
            answer, errors = process.communicate(request.model_dump_json().encode(), timeout=limit)
        except subprocess.TimeoutExpired:
            return BaselineAnswer(baseline=request.baseline, absent=f"it took more than {limit:g} s")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        try:
            return BaselineAnswer.model_validate_json(answer)
        except ValidationError:
            tail = errors.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
            return BaselineAnswer(baseline=request.baseline, absent=f"its process ended: {tail[0][:300]}")


class Timer(Protocol):
    """Times one baseline at one workload: `Baselines`."""

    def time(self, task: Task, workload: Workload, name: str, seed: int) -> BaselineAnswer: ...


def ratios(timer: Timer, task: Task, measured: Profile, *, clock: Callable[[], float] = monotonic) -> dict[str, float]:
    """Each baseline's time over the kernel's: geometric mean over the bench workloads, all of which it has to run.

    One that is absent at a workload has no ratio, nor has one for which there was no time any more.

    Raises:
        ValueError: the profile's times were not measured; a baseline's are.
    """
    if measured.source is not Source.MEASURED:
        raise ValueError("a modelled time has no ratio to a measured one")
    mine = {item.workload: item.duration.us for item in measured.workloads}
    until = clock() + TOGETHER_SECONDS
    found: dict[str, float] = {}
    for name in names_of(task):
        theirs: list[float] = []
        for workload in task.bench:
            answer = timer.time(task, workload, name, RATIO_SEED) if clock() < until else None
            if answer is None or answer.timing is None:
                break
            theirs.append(answer.timing.duration.us / mine[workload.name])
        else:
            found[name] = geometric_mean(theirs)
    return found


def names_of(task: Task) -> tuple[str, ...]:
    """The baselines of a task, PyTorch's own first."""
    return (EAGER, COMPILED, *(item.name for item in task.baselines))
