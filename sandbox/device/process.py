"""A worker process seen from this side: started afresh, asked over pipes, ended when it does not answer."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from pydantic import ValidationError

from warpsmith.core.errors import DeviceError
from warpsmith.sandbox.device.channel import Channel, ChannelClosed, TooLate
from warpsmith.sandbox.device.confined import Confinement
from warpsmith.sandbox.device.driver import Bytes
from warpsmith.sandbox.device.messages import Refused
from warpsmith.sandbox.device.protocol import REPLY, Reply, Request
from warpsmith.sandbox.jail.starter import on_lasting_thread
from warpsmith.sandbox.jail.worker import end_group, has_ended

PROGRAM = (sys.executable, "-m", "warpsmith.sandbox.device.worker")
_TAIL = 2000
"""Characters of a dead worker's errors that are shown."""


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """How a worker is started."""

    arguments: tuple[str, ...] = PROGRAM
    environment: Mapping[str, str] | None = None
    """None: this process' own. Kernels may reach a worker's memory on some machines, so secrets do not belong in it."""
    confinement: Confinement | None = None
    """None: it is not jailed, as a command of the user's own is not."""

    def spelled(self) -> list[str]:
        """What is started."""
        if self.confinement is None:
            return [*self.arguments]
        return self.confinement.command(self.arguments, self.environment or {})


class WorkerProcess:
    """One worker; whoever holds it asks one thing at a time."""

    def __init__(self, command: WorkerCommand) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        arguments = command.spelled()
        # A jailed one is shown nothing that nobody named.
        bare: dict[str, str] | None = {} if command.confinement else None
        environment = bare if command.environment is None else dict(command.environment)
        try:
            self._process = on_lasting_thread(
                lambda: subprocess.Popen(
                    arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    env=environment,
                    start_new_session=True,
                )
            )
        except OSError as error:
            raise DeviceError(f"The GPU worker cannot be started: {error}.") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._channel = Channel(self._process.stdout.fileno(), self._process.stdin.fileno())

    @property
    def alive(self) -> bool:
        """Whether it still runs and can be asked."""
        return not has_ended(self._process)

    def ask(self, request: Request, blobs: Sequence[Bytes] = (), *, seconds: float) -> tuple[Reply, list[Bytes]]:
        """Send a request and wait for the reply. A worker whose device is spent is closed here.

        Raises:
            TooLate: no reply within `seconds`; the worker was ended.
            DeviceError: it died, or answered nonsense.
        """
        try:
            self._channel.send(request.model_dump(mode="json"), blobs)
            packet = self._channel.receive(seconds)
            reply = REPLY.validate_python(packet.message)
        except TooLate:
            self.close()
            raise
        except (ChannelClosed, ValidationError) as error:
            raise DeviceError(f"The GPU worker died: {self._last_words()}") from error
        if getattr(reply, "ended", False):
            self.close()
        return reply, packet.blobs

    def close(self) -> None:
        """End it and all it started, at once."""
        self._kill()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None and not stream.closed:
                stream.close()

    def _kill(self) -> int | None:
        """Its exit status; None where it stays, inside the driver, and cannot be waited for.

        A process with a kernel that never ends goes only once the driver has torn its context down.
        """
        return end_group(self._process)[0]

    def _last_words(self) -> str:
        code = self._kill()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip()[-_TAIL:]
        self.close()
        if code is None:
            return "it cannot be ended: a driver call does not return."
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return f"{how}. {said}".strip()


def refusal(refused: Refused) -> DeviceError:
    """The error for a worker that could not do what was asked, with what to do about it."""
    remedies = {
        "CUDA_ERROR_OUT_OF_MEMORY": "Free memory on the GPU: end other programs that use it.",
        "CUDA_ERROR_NO_BINARY_FOR_GPU": "The kernel was compiled for another architecture: choose --arch to fit.",
        "CUDA_ERROR_ECC_UNCORRECTABLE": "The GPU's memory has failed: see nvidia-smi -q -d ECC.",
    }
    return DeviceError(f"The GPU worker could not go on: {refused.message}.", remedy=remedies.get(refused.result, ""))
