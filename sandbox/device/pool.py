"""The GPUs of this machine, each with at most one warm worker here and one job at a time anywhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from warpsmith.core.errors import DeviceError
from warpsmith.sandbox.device.channel import TooLate
from warpsmith.sandbox.device.confined import lacking
from warpsmith.sandbox.device.driver import Bytes
from warpsmith.sandbox.device.lease import Leases
from warpsmith.sandbox.device.messages import (
    DeviceInfo,
    Loaded,
    LoadModule,
    Open,
    Opened,
    Refused,
    Survey,
    Surveyed,
)
from warpsmith.sandbox.device.process import WorkerCommand, WorkerProcess, refusal
from warpsmith.sandbox.device.protocol import Request
from warpsmith.sandbox.jail.levels import Level, permitted

START_SECONDS = 120.0
"""A worker's first answers: a driver that has to be loaded, on a machine with many GPUs, takes tens of seconds."""
WAIT_SECONDS = 3600.0
"""For a GPU that another job holds."""

R = TypeVar("R")

_log = logging.getLogger("warpsmith")


class Worker:
    """A process that has opened one GPU."""

    def __init__(self, command: WorkerCommand, uuid: str) -> None:
        self._process = WorkerProcess(command)
        self._loaded: set[str] = set()
        orders = command.confinement.orders if command.confinement else ""
        try:
            opened, _ = self.ask(Open(uuid=uuid, orders=orders), Opened, seconds=START_SECONDS)
        except TooLate as late:
            raise DeviceError(f"The GPU {uuid} does not answer: {late}.", remedy="See `warpsmith doctor`.") from late
        self.device: DeviceInfo = opened.device
        if command.confinement is not None:
            missing = lacking(command.confinement.level, opened.held)
            if missing:
                self.close()
                raise DeviceError(
                    f"The jail {command.confinement.level} did not hold: {', '.join(missing)} stayed open."
                )

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.alive

    def load(self, request: LoadModule, cubin: Bytes) -> None:
        """Load machine code, unless this worker has it."""
        if request.module not in self._loaded:
            self.ask(request, Loaded, [cubin], seconds=START_SECONDS)
            self._loaded.add(request.module)

    def ask(
        self, request: Request, expected: type[R], blobs: Sequence[Bytes] = (), *, seconds: float
    ) -> tuple[R, list[Bytes]]:
        """Send a request whose answer is an `expected`.

        Raises:
            TooLate: no answer in time; the worker was ended.
            DeviceError: it died, or could not do it.
        """
        reply, answer = self._process.ask(request, blobs, seconds=seconds)
        if isinstance(reply, Refused):
            raise refusal(reply)
        if not isinstance(reply, expected):
            self.close()
            raise DeviceError(f"The GPU worker answered {type(reply).__name__} to {type(request).__name__}.")
        return reply, answer

    def close(self) -> None:
        """End the process."""
        self._process.close()


@dataclass(slots=True)
class Pool:
    """Workers by GPU. Threads may share it: a lease keeps a worker to one of them."""

    devices: tuple[DeviceInfo, ...]
    command: WorkerCommand = field(default_factory=WorkerCommand)
    leases: Leases = field(default_factory=Leases)
    wait_seconds: float = WAIT_SECONDS
    _workers: dict[str, Worker] = field(default_factory=dict)

    @contextmanager
    def lease(self) -> Iterator[Worker]:
        """A GPU for one job: nobody else's work runs on it meanwhile.

        Raises:
            DeviceError: none became free, or its worker does not start.
        """
        with self.leases.hold([device.uuid for device in self.devices], self.wait_seconds) as uuid:
            yield self._worker(uuid)

    def close(self) -> None:
        """End all workers."""
        while self._workers:
            self._workers.popitem()[1].close()

    @property
    def level(self) -> Level | None:
        """At which workers are jailed; None: they are a command of the user's own, and are not."""
        return self.command.confinement.level if self.command.confinement else None

    def _worker(self, uuid: str) -> Worker:
        worker = self._workers.get(uuid)
        if worker is None or not worker.alive:
            worker = self._workers[uuid] = self._started(uuid)
        return worker

    def _started(self, uuid: str) -> Worker:
        """A worker at the best level at which the driver opens the GPU; the level stays."""
        while True:
            try:
                return Worker(self.command, uuid)
            except DeviceError as error:
                weaker = weaker_than(self.command)
                if weaker is None:
                    raise
                _log.warning("A GPU worker does not start at level %s of the jail: %s", self.level, error)
                self.command = weaker


def weaker_than(command: WorkerCommand) -> WorkerCommand | None:
    """The same command at the next level of the jail that works here and that nobody forbids; None: there is none."""
    if command.confinement is None:
        return None
    below = [level for level in permitted() if level.rank > command.confinement.level.rank]
    return replace(command, confinement=replace(command.confinement, level=below[0])) if below else None


def survey(command: WorkerCommand) -> Surveyed | Refused:
    """The devices the driver shows, asked in a process of its own; or why it shows none.

    Raises:
        DeviceError: the process dies or hangs in the driver.
    """
    process = WorkerProcess(command)
    try:
        reply, _ = process.ask(Survey(), seconds=START_SECONDS)
    except TooLate as late:
        raise DeviceError(f"The NVIDIA driver does not answer: {late}.", remedy="Try nvidia-smi.") from late
    finally:
        process.close()
    if not isinstance(reply, Surveyed | Refused):
        raise DeviceError(f"The GPU worker answered {type(reply).__name__} to Survey.")
    return reply
