"""Accepted kernels on CUDA tensors: launched on the current stream, in PyTorch's own context and memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from warpsmith.core.errors import DeviceError, LibraryError
from warpsmith.core.plan import BoundBuffer
from warpsmith.core.task import Task, Workload
from warpsmith.sandbox.builds import Builds

if TYPE_CHECKING:
    import torch

    from warpsmith.core.arch import Architecture
    from warpsmith.sandbox.device.session import Session
    from warpsmith.sandbox.device.streamed import StreamedPlan

ALIGNMENT = 16
"""Bytes that the first byte of a tensor is aligned to at least: what kernels were verified with."""
_KEPT_PLANS, _KEPT_PREPARED = 64, 8

V = TypeVar("V")


def fits(tensors: Mapping[str, torch.Tensor], arch: Architecture) -> str:
    """Why a kernel for `arch` cannot take these CUDA tensors as they are; empty where it can.

    Raises:
        DeviceError: they lie on different devices.
    """
    devices = {str(tensor.device) for tensor in tensors.values()}
    if len(devices) > 1:
        raise DeviceError(f"the tensors lie on {', '.join(sorted(devices))}.", remedy="Move them to one device.")
    if not all(tensor.is_contiguous() for tensor in tensors.values()):
        return "a tensor is not contiguous"
    if any(tensor.data_ptr() % ALIGNMENT for tensor in tensors.values()):
        return f"a tensor does not begin at a multiple of {ALIGNMENT} bytes"
    return _other_architecture(next(iter(tensors.values())).device.index or 0, arch.name)


@cache
def _other_architecture(ordinal: int, name: str) -> str:
    """A verdict belongs to an architecture: why this GPU's code is not the kernel's; empty where it is."""
    import torch

    from warpsmith.core.arch import find_architecture

    arch, found = find_architecture(name), torch.cuda.get_device_properties(ordinal)
    if not arch.runs_on((found.major, found.minor)):
        what = f"is {found.major}.{found.minor}"
    elif found.multi_processor_count < arch.sms:
        # A plan that fills the chip would wait for blocks that are not resident.
        what = f"has {found.multi_processor_count} of its {arch.sms} multiprocessors"
    else:
        return ""
    return f"the kernel was accepted for {arch.name} ({arch.target}), and {found.name} {what}"


class CudaCalls:
    """Calls of one kernel. Plans and what `[[prepare]]` wrote are kept; static inputs count as changed by version."""

    def __init__(self, task: Task, builds: Builds) -> None:
        self.task, self.builds = task, builds
        self._plans: OrderedDict[tuple[Any, ...], StreamedPlan] = OrderedDict()
        self._shapes: OrderedDict[tuple[Any, ...], dict[str, tuple[tuple[int, ...], torch.dtype]]] = OrderedDict()
        self._prepared: OrderedDict[tuple[Any, ...], tuple[dict[str, torch.Tensor], list[torch.Tensor]]] = OrderedDict()
        self._lock = Lock()

    def call(self, workload: Workload, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Outputs by name; in-place inputs are overwritten. Returns while the kernels still run.

        Raises:
            LibraryError: a launch is refused.
            DeviceError: the driver fails.
        """
        import torch

        from warpsmith.sandbox.device.driver import DriverFailure
        from warpsmith.sandbox.device.session import LaunchRefused

        device = next(iter(tensors.values())).device
        with torch.cuda.device(device), self._lock:
            try:
                stream = torch.cuda.current_stream(device).cuda_stream
                plan = self._plan(device, workload, tensors)
                outputs = self._outputs(workload, device)
                held = {**tensors, **outputs, **{it.name: _bytes(it, device) for it in plan.scratch}}
                held |= self._prepare(plan, tensors, held, stream)
                plan.launch(_addresses(held), stream)
            except LaunchRefused as refused:
                raise LibraryError(f"{self.task.name}: {refused}.") from refused
            except DriverFailure as failure:
                raise DeviceError(f"{self.task.name}: {failure}.") from failure
        return outputs

    def _plan(self, device: torch.device, workload: Workload, tensors: Mapping[str, torch.Tensor]) -> StreamedPlan:
        from warpsmith.sandbox.device.streamed import StreamedPlan

        dims, dtypes = tuple(sorted(workload.dims.items())), tuple(sorted(workload.dtypes.items()))
        key = (device.index, dims, dtypes, tuple(tensors))
        if key not in self._plans:
            self._not_captured()
            session = _session(device.index or 0)
            problem = self.builds.build(workload)
            if problem is not None:
                raise LibraryError(f"{self.task.name}: {getattr(problem, 'message', problem.kind)}")
            sizes = {name: tensor.nbytes for name, tensor in tensors.items()} | _output_sizes(self.task, workload)
            self._plans[key] = StreamedPlan(session, self.builds.artifact(workload), self.builds.plan(workload), sizes)
        return _latest(self._plans, key, _KEPT_PLANS)

    def _not_captured(self) -> None:
        """Compiling, loading and preparing are done once, and not when a graph is replayed."""
        import torch

        if torch.cuda.is_current_stream_capturing():
            raise LibraryError(
                f"{self.task.name} is called with these sizes and static inputs for the first time in a graph capture.",
                remedy="Call it once on this stream before capturing.",
            )

    def _outputs(self, workload: Workload, device: torch.device) -> dict[str, torch.Tensor]:
        import torch

        from warpsmith.core.kernel_file import dims_of, tensor_shape
        from warpsmith.tasks.convert import torch_dtype

        key = (tuple(workload.dims.items()), tuple(workload.dtypes.items()))
        if key not in self._shapes:
            dims = dims_of(self.task, workload)
            self._shapes[key] = {
                item.name: (tensor_shape(item, dims), torch_dtype(self.task.dtype_of(item, workload)))
                for item in self.task.outputs
            }
        shapes = _latest(self._shapes, key, _KEPT_PLANS)
        return {name: torch.empty(shape, dtype=dtype, device=device) for name, (shape, dtype) in shapes.items()}

    def _prepare(
        self, plan: StreamedPlan, tensors: Mapping[str, torch.Tensor], held: Mapping[str, torch.Tensor], stream: int
    ) -> dict[str, torch.Tensor]:
        """The prepared buffers, filled once for static inputs that have not changed since."""
        if not plan.prepared:
            return {}
        static = [tensors[name] for name in sorted(self.task.static_inputs & tensors.keys())]
        # Of one stream: nothing orders another one behind what fills the buffers.
        key = (id(plan), stream, *((tensor.data_ptr(), _version(tensor)) for tensor in static))
        if key not in self._prepared:
            self._not_captured()
            device = next(iter(held.values())).device
            fresh = {item.name: _bytes(item, device) for item in plan.prepared}
            plan.prepare(_addresses({**held, **fresh}), stream)
            # The static tensors stay alive with it, so that no other can come to lie at their addresses.
            self._prepared[key] = (fresh, static)
        return _latest(self._prepared, key, _KEPT_PREPARED)[0]


def _latest(kept: OrderedDict[tuple[Any, ...], V], key: tuple[Any, ...], most: int) -> V:
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
    return kept[key]


def _version(tensor: torch.Tensor) -> int:
    """How often it was written in place; tensors of inference mode do not say."""
    return 0 if tensor.is_inference() else tensor._version


def _bytes(buffer: BoundBuffer, device: torch.device) -> torch.Tensor:
    import torch

    return torch.empty(buffer.nbytes, dtype=torch.uint8, device=device)


def _addresses(held: Mapping[str, torch.Tensor]) -> dict[str, int]:
    return {name: tensor.data_ptr() for name, tensor in held.items()}


def _output_sizes(task: Task, workload: Workload) -> dict[str, int]:
    from warpsmith.tasks.sample import empty_outputs

    return {name: tensor.nbytes for name, tensor in empty_outputs(task, workload).items()}


@cache
def _session(ordinal: int) -> Session:
    """The driver on PyTorch's context: both take the device's primary one.

    Raises:
        DriverFailure: the driver does not answer.
    """
    from warpsmith.sandbox.device.bindings import CudaDriver
    from warpsmith.sandbox.device.session import Session

    driver = CudaDriver()
    return Session.open(driver, driver.devices()[ordinal])
