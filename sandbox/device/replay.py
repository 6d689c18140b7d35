"""A program that runs recorded calls once and ends: what Nsight Compute and compute-sanitizer look at.

`python -m warpsmith.sandbox.device.replay FILE` reads the messages of a worker's protocol from FILE. Unlike in a
worker, buffers are allocations of just their size and nothing is poisoned, so that a checker sees the first byte past
a buffer and what was never written; and the process ends as any other, so that the checker can write its report.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from warpsmith.sandbox.device.channel import Channel, ChannelClosed
from warpsmith.sandbox.device.driver import Bytes, Driver, DriverFailure
from warpsmith.sandbox.device.lowering import Lowered
from warpsmith.sandbox.device.memory import LOOSE, GuardedMemory, Region
from warpsmith.sandbox.device.messages import LoadModule, Open, RunCall
from warpsmith.sandbox.device.placed import Placed
from warpsmith.sandbox.device.protocol import REQUEST
from warpsmith.sandbox.device.session import Session

PROGRAM = (sys.executable, "-m", "warpsmith.sandbox.device.replay")


def write_recording(path: Path, uuid: str, calls: Sequence[Lowered], *, seconds: float = 60.0) -> None:
    """Record the calls for a device, in the order in which they shall run."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    channel = Channel(os.open(os.devnull, os.O_RDONLY), handle)
    try:
        channel.send(Open(uuid=uuid).model_dump(mode="json"))
        for lowered in calls:
            cubin = np.frombuffer(lowered.cubin, np.uint8)
            channel.send(lowered.module.model_dump(mode="json"), [cubin])
            run = RunCall(call=lowered.call, seed=0, seconds=seconds, checked=False)
            channel.send(run.model_dump(mode="json"), lowered.uploads)
    finally:
        channel.close()


def replay(path: Path, driver: Driver) -> int:
    """Run a recording; the number of calls that ran.

    Raises:
        DriverFailure: a kernel or the driver failed.
    """
    channel = Channel(os.open(path, os.O_RDONLY), os.open(os.devnull, os.O_WRONLY))
    session: _BareSession | None = None
    ran = 0
    try:
        while True:
            packet = channel.receive()
            request = REQUEST.validate_python(packet.message)
            if isinstance(request, Open):
                device = next(item for item in driver.devices() if item.uuid == request.uuid)
                driver.open(device.ordinal)
                session = _BareSession(driver, device, driver.new_stream())
            elif session is not None and isinstance(request, LoadModule):
                session.load(request.module, packet.blobs[0].tobytes(), request.layouts)
            elif session is not None and isinstance(request, RunCall):
                _run(session, request, packet.blobs)
                ran += 1
    except ChannelClosed:
        return ran
    finally:
        channel.close()


def _run(session: Session, request: RunCall, blobs: Sequence[Bytes]) -> None:
    names = [buffer.name for buffer in request.call.buffers if buffer.uploaded]
    placed = _BarePlaced(session, request.call, dict(zip(names, blobs, strict=True)), request.seed)
    placed.fill()
    placed.prepare(request.seconds)
    for _ in placed.enqueue():
        session.wait(request.seconds)
    session.wait(request.seconds)
    placed.free()


@dataclass(slots=True)
class _BareSession(Session):
    """A session whose buffers are plain allocations."""

    def memory(self, alignment: int = LOOSE) -> GuardedMemory:
        return _BareMemory(self.driver, self.stream, virtual=False, alignment=alignment)


class _BareMemory(GuardedMemory):
    """Allocations of just a buffer's size, with nothing around them."""

    def _plain(self, nbytes: int) -> Region:
        base = self.driver.allocate(max(nbytes, 1))
        return Region(base, nbytes, base, 0, base, base + nbytes)


class _BarePlaced(Placed):
    """Buffers that hold nothing but what was uploaded."""

    def fill(self, *, flip: bool = False) -> None:
        for name, data in self.uploads.items():
            if data.size:
                self.session.driver.upload(self.regions[name].address, data, self.session.stream)


def main(make_driver: Callable[[], Driver], arguments: Sequence[str]) -> int:
    """Replay the file that the command line names."""
    try:
        replay(Path(arguments[0]), make_driver())
    except DriverFailure as failure:
        print(f"replay: {failure}", file=sys.stderr)  # noqa: T201 - a program's own standard error
        return 1
    return 0


if __name__ == "__main__":
    from warpsmith.sandbox.device.bindings import CudaDriver

    sys.exit(main(CudaDriver, sys.argv[1:]))
