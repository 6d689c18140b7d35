"""The process that owns a GPU: serves requests from its standard input until it ends or its device is spent.

No host code of a candidate gets here, only its machine code. Whatever kernels print goes nowhere.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from typing import TypeAlias

from warpsmith.core.errors import DeviceError
from warpsmith.profiler.nvml import Sensor
from warpsmith.sandbox.device.channel import Channel, ChannelClosed
from warpsmith.sandbox.device.driver import Bytes, Driver, DriverFailure
from warpsmith.sandbox.device.messages import Loaded, LoadModule, Open, Opened, Refused, RunCall, Survey, Surveyed
from warpsmith.sandbox.device.orders import give_up
from warpsmith.sandbox.device.protocol import REQUEST, Reply, Request
from warpsmith.sandbox.device.runs import run_call
from warpsmith.sandbox.device.session import LayoutMismatch, Session
from warpsmith.sandbox.device.timed import Stopwatch

_PR_SET_PDEATHSIG = 1

Response: TypeAlias = tuple[Reply, Sequence[Bytes]]
MakeSensor: TypeAlias = Callable[[str], Sensor]
"""From a device's uuid. Raises DeviceError where there is none."""


def main(make_driver: Callable[[], Driver], make_sensor: MakeSensor | None = None) -> None:
    """Serve standard input; what anything else prints to standard output is dropped."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    outgoing = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        driver = make_driver()
    except DriverFailure as failure:
        Channel(0, outgoing).send(_refused(failure).model_dump(mode="json"))
        return
    Worker(driver, Channel(0, outgoing), make_sensor).serve()
    # A kernel that never ends would hold up an orderly exit.
    os._exit(0)


class Worker:
    """Answers requests, one after the other."""

    def __init__(self, driver: Driver, channel: Channel, make_sensor: MakeSensor | None = None) -> None:
        self.driver, self.channel, self.make_sensor = driver, channel, make_sensor
        self.session: Session | None = None
        self.stopwatch: Stopwatch | None = None

    def serve(self) -> None:
        """Until the other side goes, or a reply says that the device is spent."""
        while True:
            try:
                packet = self.channel.receive()
            except ChannelClosed:
                return
            reply, blobs = self._answer(REQUEST.validate_python(packet.message), packet.blobs)
            self.channel.send(reply.model_dump(mode="json"), blobs)
            if getattr(reply, "ended", False):
                return

    def _answer(self, request: Request, blobs: list[Bytes]) -> Response:
        try:
            return self._work(request, blobs)
        except DriverFailure as failure:
            return self._refused(failure), ()
        except LayoutMismatch as mismatch:
            return Refused(message=str(mismatch), ended=True), ()

    def _work(self, request: Request, blobs: list[Bytes]) -> Response:
        if isinstance(request, Survey):
            return Surveyed(version=self.driver.version(), devices=self.driver.devices()), ()
        if isinstance(request, Open):
            return self._open(request), ()
        if self.session is None:
            return Refused(message="no device is open"), ()
        if isinstance(request, LoadModule):
            self.session.load(request.module, blobs[0].tobytes(), request.layouts)
            return Loaded(), ()
        if isinstance(request, RunCall):
            return self._run(self.session, request, blobs)
        self.stopwatch = self.stopwatch or Stopwatch(self.session, self._sensor(self.session.device.uuid))
        return self.stopwatch.serve(request, blobs)

    def _sensor(self, uuid: str) -> Sensor | None:
        """None where NVML does not answer: samples then say that nothing is known of the clocks."""
        if self.make_sensor is None:
            return None
        try:
            return self.make_sensor(uuid)
        except DeviceError:
            return None

    def _refused(self, failure: DriverFailure) -> Refused:
        refused = _refused(failure)
        if failure.result != "CUDA_ERROR_OUT_OF_MEMORY":
            return refused
        free, total = self.driver.memory()
        said = f"{refused.message}; {free >> 20} of the GPU's {total >> 20} MiB are free"
        return refused.model_copy(update={"message": said})

    def _open(self, request: Open) -> Reply:
        found = [device for device in self.driver.devices() if device.uuid == request.uuid]
        if not found:
            return Refused(message=f"the driver shows no device {request.uuid}")
        self.session = Session.open(self.driver, found[0])
        # Whatever comes after this is a candidate's.
        return Opened(device=found[0], held=give_up(request.orders))

    @staticmethod
    def _run(session: Session, request: RunCall, blobs: list[Bytes]) -> Response:
        uploaded = [buffer.name for buffer in request.call.buffers if buffer.uploaded]
        answer = run_call(session, request, dict(zip(uploaded, blobs, strict=True)))
        return answer.reply, answer.blobs


def _refused(failure: DriverFailure) -> Refused:
    return Refused(message=str(failure), result=failure.result, ended=True)


if __name__ == "__main__":
    from warpsmith.profiler.nvml import NvmlSensor
    from warpsmith.sandbox.device.bindings import CudaDriver

    main(CudaDriver, NvmlSensor)
