"""One accepted kernel as it is launched: on the emulator for CPU tensors, through the driver for CUDA ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from warpsmith.core.errors import LibraryError
from warpsmith.core.task import Role, Task, Workload
from warpsmith.kernels_generated.library import Entry

if TYPE_CHECKING:
    import torch

    from warpsmith.core.arch import Architecture
    from warpsmith.core.artifact import Artifact
    from warpsmith.core.dtype import DType
    from warpsmith.core.plan import BoundPlan
    from warpsmith.core.protocols import Launcher
    from warpsmith.core.tensor import HostTensor
    from warpsmith.sandbox.builds import Builds

_KEPT_PLANS = 256


class _Built(NamedTuple):
    """What calls of equal sizes share."""

    artifact: Artifact
    plan: BoundPlan
    shapes: Mapping[str, tuple[DType, tuple[int, ...]]]
    """Of the outputs, by name."""


class Variant:
    """Compiled forms of one kernel, made on demand and kept."""

    def __init__(self, entry: Entry, task: Task, arch: Architecture, launcher: Launcher) -> None:
        from warpsmith.kernels_generated.on_cuda import CudaCalls

        self.entry, self.task = entry, task
        self._launcher = launcher
        self._builds = _builds(entry, task, arch)
        self._cuda = CudaCalls(task, self._builds)
        self._times = {item.workload: item.time_us for item in entry.manifest.workloads}
        self._kept: OrderedDict[tuple[Any, ...], _Built] = OrderedDict()
        self._lock = Lock()

    def inside(self, workload: Workload) -> bool:
        """Whether the kernel's `requires` admits a call."""
        return self._builds.inside(workload)

    def time_at(self, workload: Workload) -> float:
        """Microseconds at a bench workload, of the manifest's source; infinite where it was not timed."""
        return self._times.get(workload.name, float("inf"))

    def launch(self, workload: Workload, inputs: Mapping[str, HostTensor]) -> dict[str, HostTensor]:
        """Outputs and new values of in-place inputs, by name, from the emulator.

        Raises:
            LibraryError: the kernel failed; its verdict does not hold here.
        """
        import numpy as np

        from warpsmith.core.protocols import RunRequest
        from warpsmith.core.tensor import HostTensor

        artifact, plan, shapes = self._built(workload)
        outputs = {
            name: HostTensor(dtype, shape, np.empty(shape, dtype.storage)) for name, (dtype, shape) in shapes.items()
        }
        outputs |= {item.name: inputs[item.name] for item in self.task.inputs if item.role is Role.INPLACE}
        static = self.task.static_inputs
        request = RunRequest(artifact, plan, inputs, outputs, static=static, checks=False, counters=False)
        reply = self._launcher.run(request)
        if reply.failure is not None:
            raise self._broken(reply.failure)
        return dict(reply.outputs)

    def launch_on_cuda(self, workload: Workload, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Outputs by name, on the current stream; in-place inputs are overwritten.

        Raises:
            DeviceError: the driver fails.
            LibraryError: the driver refuses a launch.
        """
        return self._cuda.call(workload, tensors)

    def _built(self, workload: Workload) -> _Built:
        """Compiled code, bound plan and outputs' shapes: made at the first call of these sizes, kept for the next."""
        from warpsmith.tasks.sample import empty_outputs

        key = (tuple(workload.dims.items()), tuple(workload.dtypes.items()), workload.absent)
        with self._lock:
            if key not in self._kept:
                failure = self._builds.build(workload)
                if failure is not None:
                    raise self._broken(failure)
                shapes = {
                    name: (tensor.dtype, tensor.shape) for name, tensor in empty_outputs(self.task, workload).items()
                }
                self._kept[key] = _Built(self._builds.artifact(workload), self._builds.plan(workload), shapes)
                while len(self._kept) > _KEPT_PLANS:
                    self._kept.popitem(last=False)
            return self._kept[key]

    def _broken(self, failure: Any) -> LibraryError:
        message = f"{self.entry.folder} failed: {failure.kind}: {getattr(failure, 'message', '')}"
        return LibraryError(message, remedy=f"Judge it again: warpsmith verify {self.entry.kernel}")


def _builds(entry: Entry, task: Task, arch: Architecture) -> Builds:
    from warpsmith.core.kernel_file import parse_kernel_file
    from warpsmith.sandbox.builds import Builds
    from warpsmith.sandbox.compile import CompileCache, compile_unit
    from warpsmith.settings import read_settings

    cache = CompileCache(read_settings().cache / "compiled")
    kernel = parse_kernel_file(entry.text, file=str(entry.kernel))
    knobs = dict(entry.manifest.knobs)
    return Builds(kernel, task, knobs, arch, lambda unit, target: compile_unit(unit, target, cache=cache))
