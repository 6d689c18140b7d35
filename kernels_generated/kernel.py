"""A task's accepted kernels as one callable: each call goes to the kernel that is fastest at sizes like its own."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import log2
from typing import TYPE_CHECKING, Any, NamedTuple

from warpsmith.core.digest import digest_json
from warpsmith.core.dtype import DType
from warpsmith.core.errors import InputError, TaskError
from warpsmith.core.task import Role, Task, Workload
from warpsmith.kernels_generated.dims import solve_dims
from warpsmith.kernels_generated.library import Entry
from warpsmith.kernels_generated.manifest import Manifest
from warpsmith.kernels_generated.variant import Variant

if TYPE_CHECKING:
    import torch

    from warpsmith.core.protocols import Launcher
    from warpsmith.core.tensor import HostTensor

_KEPT_CALLS = 1024


class OutsideDomainWarning(UserWarning):
    """A call fell back to the reference, which is slower."""


class OutsideDomainError(InputError):
    """No kernel takes this call as it is, and the reference was not wanted."""


class _Call(NamedTuple):
    """What the shapes and dtypes of a call come to."""

    workload: Workload
    variant: Variant | None
    why: str
    """Why no kernel takes it; empty where one does."""


class Kernel:
    """Accepted kernels of a task, callable on CPU or CUDA tensors in the task's input order.

    Returns the task's output, or a tuple of them; in-place inputs are overwritten. Optional tensors may be None.
    Dimensions the shapes do not tell are keywords: `kernel(x, w, G=128)`. Raises InputError where tensors do not fit
    the task. What no kernel takes (sizes outside every `requires`, a dtype that was not judged, a stride, an alignment,
    a GPU of another architecture) is computed by the reference, with one OutsideDomainWarning, or refused with an
    OutsideDomainError where it is `strict`.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        task: Task,
        *,
        strict: bool = False,
        threads: int = 1,
        launcher: Launcher | None = None,
        backward: Kernel | None = None,
    ) -> None:
        """Join kernels of one task, target and source of times, the best first; `backward` computes their gradients."""
        from warpsmith.core.arch import find_architecture
        from warpsmith.kernels_generated.operator import register
        from warpsmith.sandbox.emulated import EmulatedLauncher
        from warpsmith.sandbox.emulator.jailed import jailed_vm

        self.entries, self.task, self.strict, self.backward = tuple(entries), task, strict, backward
        self.arch = find_architecture(self.manifest.target)
        launcher = launcher or EmulatedLauncher(self.arch, threads, execute=jailed_vm())
        self._variants = tuple(Variant(entry, task, self.arch, launcher) for entry in self.entries)
        self._judged = {tuple(sorted(item.dtypes.items())) for item in (*task.verify, *task.bench)}
        self._calls: OrderedDict[tuple[Any, ...], _Call] = OrderedDict()
        self._warned = False
        self.operator = register(self)
        """The `torch.ops.warpsmith` operator: works under torch.compile and export."""

    @property
    def entry(self) -> Entry:
        """The best kernel over all bench workloads."""
        return self.entries[0]

    @property
    def manifest(self) -> Manifest:
        """The evidence the best one was accepted with."""
        return self.entry.manifest

    @property
    def digest(self) -> str:
        """Of all kernels it may launch; the kernel's own where there is one."""
        digests = [entry.digest for entry in self.entries]
        return digests[0] if len(digests) == 1 else digest_json(digests)

    @property
    def gradients(self) -> frozenset[str]:
        """Inputs that calls have a gradient for, by a verified kernel too."""
        declared = self.backward.task.backward if self.backward else None
        return frozenset(declared.gradients.values()) if declared else frozenset()

    def __repr__(self) -> str:
        manifest, more = self.manifest, len(self.entries) - 1
        share = f"{manifest.fraction:.1%} of the bound, {manifest.source.value}"
        others = f", and {more} more" if more else ""
        return f"<warpsmith kernel {self.entry.digest[:12]}: {manifest.task} on {manifest.target}, {share}{others}>"

    def __call__(self, *tensors: torch.Tensor | None, **dims: int) -> Any:
        """Run on the task's inputs, in declaration order."""
        return self.operator(*tensors, **dims)

    def choose(self, workload: Workload) -> Entry | None:
        """The kernel that a call of these sizes goes to; None: the reference."""
        variant = self._choose(workload)
        return variant.entry if variant else None

    def compute(
        self, tensors: Mapping[str, torch.Tensor], dims: Mapping[str, int], *, why: str = ""
    ) -> dict[str, torch.Tensor]:
        """Outputs and new values of in-place inputs, by name; what the operator does on the CPU.

        Where there is a reason `why` not to run a kernel, the reference serves.

        Raises:
            InputError: the tensors do not fit the task.
            LibraryError: the kernel failed; its verdict does not hold here.
        """
        from warpsmith.tasks.convert import from_torch, to_torch

        call = self._call(tensors, dims)
        if not why and not all(tensor.is_contiguous() for tensor in tensors.values()):
            why = "a tensor is not contiguous"
        declared = {tensor.name: tensor for tensor in self.task.inputs}
        inputs = {
            name: from_torch(tensor, self.task.dtype_of(declared[name], call.workload))
            for name, tensor in tensors.items()
        }
        if call.variant is not None and not why:
            outputs = call.variant.launch(call.workload, inputs)
        else:
            outputs = self._refer(call.workload, inputs, why or call.why)
        return {name: to_torch(value) for name, value in outputs.items()}

    def compute_on_cuda(self, tensors: Mapping[str, torch.Tensor], dims: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """Outputs by name, on the current stream; in-place inputs are overwritten. What the operator does on a GPU.

        Raises:
            InputError: the tensors do not fit the task.
            DeviceError: they lie on several devices, or the driver fails.
            LibraryError: the driver refuses a launch.
        """
        from warpsmith.kernels_generated.on_cuda import fits

        call = self._call(tensors, dims)
        why = fits(tensors, self.arch)
        if call.variant is not None and not why:
            return call.variant.launch_on_cuda(call.workload, tensors)
        device = next(iter(tensors.values())).device
        results = self.compute({name: tensor.cpu() for name, tensor in tensors.items()}, dims, why=why or call.why)
        moved = {name: value.to(device) for name, value in results.items()}
        for item in self.task.inputs:
            if item.role is Role.INPLACE and item.name in tensors:
                tensors[item.name].copy_(moved.pop(item.name))
        return moved

    def _call(self, tensors: Mapping[str, torch.Tensor], dims: Mapping[str, int]) -> _Call:
        """Work out a call once for all calls of its shapes and dtypes."""
        key = (*((name, it.shape, it.dtype) for name, it in tensors.items()), *dims.items())
        found = self._calls.get(key)
        if found is None:
            workload = self._workload(tensors, dims)
            variant = self._choose(workload)
            found = self._calls[key] = _Call(workload, variant, "" if variant else self._why(workload))
            while len(self._calls) > _KEPT_CALLS:
                self._calls.popitem(last=False)
        return found

    def _workload(self, tensors: Mapping[str, torch.Tensor], dims: Mapping[str, int]) -> Workload:
        """The binding of dimensions and dtypes that a call stands for."""
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        solved = solve_dims(self.task, shapes, dims)
        absent = self.task.optional.difference(tensors)
        return Workload("call", solved, "", dtypes=self._dtypes(tensors), absent=absent)

    def _dtypes(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
        """What dtype variables stand for in this call; TaskError where a tensor has the wrong dtype."""
        fixed = {dtype.value for dtype in DType}
        bound: dict[str, str] = {}
        for tensor in self.task.inputs:
            if tensor.name not in tensors:
                if not tensor.optional:
                    raise TaskError(f"{self.task.name} needs the tensor {tensor.name}.")
                continue
            found = str(tensors[tensor.name].dtype).removeprefix("torch.")
            wanted = tensor.dtype if tensor.dtype in fixed else bound.setdefault(tensor.dtype, found)
            if found != wanted:
                raise TaskError(f"{tensor.name} is {found}; {self.task.name} takes {wanted}.")
        return bound

    def _choose(self, workload: Workload) -> Variant | None:
        """Of the kernels that admit the call, the fastest at the bench workload nearest to it; None where none does."""
        if not self._is_judged(workload):
            return None
        admitted = [variant for variant in self._variants if variant.inside(workload)]
        if len(admitted) < 2:
            return next(iter(admitted), None)
        near = min(self.task.bench, key=lambda item: _distance(item, workload))
        return min(admitted, key=lambda variant: variant.time_at(near))

    def _is_judged(self, workload: Workload) -> bool:
        return not workload.dtypes or tuple(sorted(workload.dtypes.items())) in self._judged

    def _why(self, workload: Workload) -> str:
        if not self._is_judged(workload):
            bound = ", ".join(f"{name} = {dtype}" for name, dtype in workload.dtypes.items())
            return f"no kernel was judged with {bound}"
        dims = ", ".join(f"{name}={value}" for name, value in workload.dims.items())
        given = "".join(
            f"{'without' if name in workload.absent else 'with'} {name}, " for name in sorted(self.task.optional)
        )
        return f"{given}{dims} is outside the kernel's `requires`"

    def _refer(self, workload: Workload, inputs: dict[str, HostTensor], why: str) -> dict[str, HostTensor]:
        from warpsmith.tasks.oracle import honest

        if self.strict:
            raise OutsideDomainError(f"{self.task.name}: {why}.", remedy="Without strict=True the reference serves.")
        if not self._warned:
            self._warned = True
            warnings.warn(f"{self.task.name}: {why}; the reference serves.", OutsideDomainWarning, stacklevel=2)
        return honest(self.task, workload, inputs)


def _distance(bench: Workload, call: Workload) -> tuple[bool, float]:
    """How unlike two workloads are: other dtypes first, then octaves between their dimensions."""
    octaves = (abs(log2((bench.dims.get(name, 0) + 1) / (size + 1))) for name, size in call.dims.items())
    return dict(bench.dtypes) != dict(call.dtypes), sum(octaves)
