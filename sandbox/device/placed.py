"""A call in device memory: buffers placed and filled, launches enqueued or captured as a graph, bytes read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import numpy as np

from warpsmith.sandbox.device.driver import Bytes, DriverFailure, KernelLaunch
from warpsmith.sandbox.device.memory import LOOSE, STRICT, Region
from warpsmith.sandbox.device.messages import (
    BufferRole,
    DeviceBuffer,
    DeviceCall,
    DeviceFill,
    DeviceLaunch,
    DeviceStep,
    Fault,
    FaultKind,
    Pointer,
)
from warpsmith.sandbox.device.session import LaunchRefused, Session

_TILE = (1 << 20) + 7
"""Bytes of poison drawn; larger buffers repeat them, at an odd distance."""


class LaunchFailure(Exception):  # noqa: N818 - a fact about a launch
    """A step that the driver did not take."""

    def __init__(self, step: DeviceLaunch, refusal: LaunchRefused) -> None:
        super().__init__(str(refusal))
        self.step, self.refusal = step, refusal


class Placed:
    """One call's buffers on the device. `free` gives them back; after a fatal result nothing can."""

    def __init__(self, session: Session, call: DeviceCall, uploads: Mapping[str, Bytes], seed: int) -> None:
        self.session, self.call, self.uploads = session, call, uploads
        self.random = np.random.default_rng(seed)
        self.memory = session.memory(STRICT if seed % 2 else LOOSE)
        # In an order of this call's own, so that no buffer lies at a known distance from another.
        order = self.random.permutation(len(call.buffers))
        placed = {call.buffers[i].name: self.memory.place(call.buffers[i].nbytes) for i in order}
        self.regions: dict[str, Region] = {buffer.name: placed[buffer.name] for buffer in call.buffers}
        self.poisoned: dict[str, Bytes] = {}
        self.last: DeviceLaunch | None = None
        """The launch that was put on the stream last."""

    @property
    def main_steps(self) -> tuple[DeviceStep, ...]:
        """What is timed, apart from the memsets of `init`."""
        return tuple(step for step in self.call.steps if not _prepares(step))

    def fill(self, *, flip: bool = False) -> None:
        """Upload inputs and poison the rest; `flip` poisons with the complement of the last bytes."""
        for buffer in self.call.buffers:
            if buffer.uploaded:
                self._upload(buffer.name, self.uploads[buffer.name])
            elif not (flip and buffer.role is BufferRole.PREPARED):
                before = self.poisoned.get(buffer.name)
                poison = ~before if flip and before is not None else self._random(buffer.nbytes)
                self.poisoned[buffer.name] = poison
                self._upload(buffer.name, poison)

    def prepare(self, seconds: float) -> None:
        """Run the prepare launches, with dynamic inputs out of reach."""
        steps = [step for step in self.call.steps if _prepares(step)]
        if not steps:
            return
        for buffer in self.call.buffers:
            self._initialise(buffer)
        with self._hidden():
            for step in steps:
                self._enqueue(step)
                self.session.wait(seconds)

    def enqueue(self) -> Iterator[DeviceStep]:
        """Put the call on the stream; yields each step once it is there."""
        for buffer in self.call.buffers:
            if buffer.role is not BufferRole.PREPARED:
                self._initialise(buffer)
        for step in self.main_steps:
            self._enqueue(step)
            yield step

    def capture(self) -> int:
        """The call as an executable graph; nothing runs."""
        driver, stream = self.session.driver, self.session.stream
        driver.begin_capture(stream)
        try:
            for _ in self.enqueue():
                pass
        except LaunchFailure:
            with suppress(DriverFailure):  # The refusal may have ended the capture.
                driver.destroy_graph(driver.end_capture(stream))
            raise
        return driver.end_capture(stream)

    def read(self, name: str) -> Bytes:
        """A buffer's bytes; the stream has to be empty."""
        region = self.regions[name]
        data = np.empty(region.nbytes, np.uint8)
        if region.nbytes:
            self.session.driver.download(data, region.address, self.session.stream)
        return data

    def misdeed(self, prepared: Mapping[str, Bytes]) -> Fault | None:
        """What was written that must not be: redzones, inputs, and prepared buffers since they were `prepared`."""
        for buffer in self.call.buffers:
            distance = self.memory.damaged(self.regions[buffer.name])
            if distance is not None:
                where = f"{distance + 1} bytes past the end" if distance >= 0 else f"{-distance} bytes before the start"
                message = f"a byte {where} of {buffer.name} ({buffer.nbytes} bytes) was written"
                return Fault(kind=FaultKind.REDZONE, message=message)
        for buffer in self.call.buffers:
            if buffer.role is BufferRole.INPUT:
                kind, before, what = FaultKind.INPUT_WRITTEN, self.uploads[buffer.name], "an input"
            elif buffer.role is BufferRole.PREPARED and buffer.name in prepared:
                kind, before, what = FaultKind.PREPARED_WRITTEN, prepared[buffer.name], "a prepared buffer"
            else:
                continue
            changed = np.flatnonzero(self.read(buffer.name) != before)
            if changed.size:
                message = f"byte {changed[0]} of {buffer.name}, {what}, was written"
                return Fault(kind=kind, message=message)
        return None

    def free(self) -> None:
        """Give the memory back."""
        self.memory.free()

    @contextmanager
    def _hidden(self) -> Iterator[None]:
        """Dynamic inputs unmapped; where that cannot be done, they hold random bytes meanwhile."""
        hidden = [buffer for buffer in self.call.buffers if buffer.hidden]
        for buffer in hidden:
            self._upload(buffer.name, self._random(buffer.nbytes))
            self.memory.hide(self.regions[buffer.name])
        yield
        for buffer in hidden:
            self.memory.show(self.regions[buffer.name])
            self._upload(buffer.name, self.uploads[buffer.name])

    def _initialise(self, buffer: DeviceBuffer) -> None:
        if buffer.init is not None and not buffer.uploaded:
            self._memset(buffer.name, buffer.init)

    def _enqueue(self, step: DeviceStep) -> None:
        if isinstance(step, DeviceFill):
            self._memset(step.buffer, step.value)
            return
        addresses = {name: region.address for name, region in self.regions.items()}
        launch = kernel_launch(step, addresses)
        self.last = step
        try:
            self.session.launch(step.module, step.entry, launch)
        except LaunchRefused as refusal:
            raise LaunchFailure(step, refusal) from refusal

    def _memset(self, name: str, value: int) -> None:
        region = self.regions[name]
        if region.nbytes:
            self.session.driver.fill(region.address, value & 0xFF, region.nbytes, self.session.stream)

    def _upload(self, name: str, data: Bytes) -> None:
        if data.size:
            self.session.driver.upload(self.regions[name].address, data, self.session.stream)

    def _random(self, nbytes: int) -> Bytes:
        tile = self.random.integers(0, 256, min(nbytes, _TILE), np.uint8)
        return tile if tile.size == nbytes else np.resize(tile, nbytes)


def kernel_launch(step: DeviceLaunch, addresses: Mapping[str, int]) -> KernelLaunch:
    """The launch with its buffers at these addresses; its function is filled in by the session."""
    params = [
        (addresses[param.buffer] if param.buffer else 0).to_bytes(8, "little")
        if isinstance(param, Pointer)
        else bytes.fromhex(param.data)
        for param in step.params
    ]
    return KernelLaunch(0, step.grid, step.block, step.shared, params, step.cooperative)


def _prepares(step: DeviceStep) -> bool:
    return isinstance(step, DeviceLaunch) and step.prepare
