"""A compiled plan launched on a stream of this very process, over memory that the caller holds.

Nothing is watched here: it serves kernels that have been verified. A fault is the whole process' fault, as with any
other kernel of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from warpsmith.core.artifact import Artifact
from warpsmith.core.plan import BoundBuffer, BoundPlan
from warpsmith.sandbox.device.lowering import lower_step, module_of
from warpsmith.sandbox.device.messages import DeviceFill, DeviceLaunch, DeviceStep
from warpsmith.sandbox.device.placed import kernel_launch
from warpsmith.sandbox.device.session import Session


class StreamedPlan:
    """A plan whose code is loaded and whose parameters are packed but for addresses."""

    def __init__(self, session: Session, artifact: Artifact, plan: BoundPlan, tensors: Mapping[str, int]) -> None:
        """`tensors` gives the bytes of each task tensor that is there."""
        self.session, self.plan = session, plan
        self.sizes = dict(tensors) | {buffer.name: buffer.nbytes for buffer in plan.buffers}
        module = module_of(artifact)
        session.load(module.module, artifact.cubin, module.layouts)
        self.steps: tuple[DeviceStep, ...] = tuple(
            lower_step(step, artifact, module.module, self.sizes.keys()) for step in plan.steps
        )

    @property
    def prepared(self) -> tuple[BoundBuffer, ...]:
        """Buffers that `prepare` fills, once for each set of static inputs."""
        return tuple(buffer for buffer in self.plan.buffers if buffer.prepared)

    @property
    def scratch(self) -> tuple[BoundBuffer, ...]:
        """Buffers that every call needs anew."""
        return tuple(buffer for buffer in self.plan.buffers if not buffer.prepared)

    def prepare(self, addresses: Mapping[str, int], stream: int) -> None:
        """Put memsets and prepare launches on a stream.

        Raises:
            LaunchRefused: the driver does not take a launch.
        """
        self._initialise(self.plan.buffers, addresses, stream)
        self._enqueue(self._steps(prepare=True), addresses, stream)

    def launch(self, addresses: Mapping[str, int], stream: int) -> None:
        """Put memsets and launches on a stream; can be captured into a graph.

        Raises:
            LaunchRefused: the driver does not take a launch.
        """
        self._initialise(self.scratch, addresses, stream)
        self._enqueue(self._steps(prepare=False), addresses, stream)

    def _steps(self, *, prepare: bool) -> Iterator[DeviceStep]:
        return (step for step in self.steps if (isinstance(step, DeviceLaunch) and step.prepare) == prepare)

    def _initialise(self, buffers: tuple[BoundBuffer, ...], addresses: Mapping[str, int], stream: int) -> None:
        for buffer in buffers:
            if buffer.init is not None:
                self._memset(buffer.name, buffer.init, addresses, stream)

    def _enqueue(self, steps: Iterator[DeviceStep], addresses: Mapping[str, int], stream: int) -> None:
        self.session.stream = stream
        for step in steps:
            if isinstance(step, DeviceFill):
                self._memset(step.buffer, step.value, addresses, stream)
            else:
                self.session.launch(step.module, step.entry, kernel_launch(step, addresses))

    def _memset(self, name: str, value: int, addresses: Mapping[str, int], stream: int) -> None:
        if self.sizes[name]:
            self.session.driver.fill(addresses[name], value & 0xFF, self.sizes[name], stream)
