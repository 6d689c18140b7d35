"""`load(task)`: the best accepted kernel of a task as a PyTorch operator.

CUDA tensors run on their GPU, on the current stream. CPU tensors run on the emulator: right, and slow. Shapes outside
the kernel's domain go to the reference.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warpsmith.core.errors import LibraryError, TaskError
from warpsmith.core.quantity import Source
from warpsmith.core.task import Role, Task, Workload
from warpsmith.kernels_generated.dims import solve_dims
from warpsmith.kernels_generated.library import Entry, best_entries, list_entries, search_path
from warpsmith.kernels_generated.manifest import Manifest
from warpsmith.kernels_generated.standing import REJUDGE, staleness, task_of

if TYPE_CHECKING:
    import torch

    from warpsmith.core.protocols import Launcher
    from warpsmith.core.tensor import HostTensor
    from warpsmith.sandbox.builds import Builds

DEFAULT_TARGET = "h200"


class OutsideDomainWarning(UserWarning):
    """A call fell back to the reference, which is slower."""


def load(task: str, arch: str | None = None, library: Path | None = None) -> Kernel:
    """Load the best accepted kernel of a task; see `Kernel` for how to call it.

    Args:
        task: A task's name, or the path of its file.
        arch: Target, such as `h200`; default: that of PyTorch's current GPU, else h200 where there is a kernel for it,
            else any.
        library: Folder to search before what ships; default: WARPSMITH_LIBRARY, or the user's own.

    Raises:
        LibraryError: there is no such kernel, or none that can be trusted; says which were refused and why.
        InputError: no such task or target.
    """
    from warpsmith.settings import read_settings

    settings = read_settings()
    entry, _ = find(task, arch, search_path(library or settings.library), prefer=_present())
    return _kernel(entry.digest, entry.folder, settings.threads)


def _present() -> str:
    """The target that PyTorch's current GPU is; the default one without a GPU, or where the table does not have it."""
    import torch

    from warpsmith.core.arch import recognise

    if not torch.cuda.is_available():
        return DEFAULT_TARGET
    device = torch.cuda.get_device_properties(torch.cuda.current_device())
    found = recognise(device.name, (device.major, device.minor), device.multi_processor_count)
    return found.name if found else DEFAULT_TARGET


def find(task: str, arch: str | None, folders: tuple[Path, ...], *, prefer: str = DEFAULT_TARGET) -> tuple[Entry, Task]:
    """The best entry of a task for a target, and the task it belongs to. Measured beats modelled.

    Where no target is asked for, kernels of the one to `prefer` come first, then those of the default one.

    Raises:
        LibraryError: there is none.
    """
    from warpsmith.core.arch import find_architecture

    wanted = find_architecture(arch).name if arch else None
    listings = [list_entries(folder) for folder in folders]
    refused = [item.reason for listing in listings for item in listing.refused]
    chosen = str(Path(task).expanduser().resolve()) if task.endswith(".py") else task
    fitting: list[tuple[Entry, Task]] = []
    for entry in best_entries(entry for listing in listings for entry in listing.entries):
        manifest = entry.manifest
        if chosen not in (manifest.task, manifest.task_path) or wanted not in (None, manifest.target):
            continue
        why = staleness(manifest)
        if why:
            refused.append(f"{entry.folder} is stale: {why}. {REJUDGE} {entry.digest[:12]}.")
        else:
            fitting.append((entry, task_of(manifest)))
    if not fitting:
        where = ", ".join(str(folder) for folder in folders)
        why = f" Refused: {' '.join(refused)}" if refused else ""
        raise LibraryError(
            f"no kernel of {task}{f' for {wanted}' if wanted else ''} in {where}.{why}",
            remedy=f"Make one: warpsmith optimize {task}{f' --arch {wanted}' if wanted else ''}",
        )
    return min(fitting, key=lambda pair: _preference(pair[0].manifest, prefer))


def _preference(manifest: Manifest, prefer: str) -> tuple[bool, bool, bool, float]:
    """Sorts first: the preferred target, the default one, measured before modelled, the fraction of the bound."""
    measured = manifest.source is Source.MEASURED
    return manifest.target != prefer, manifest.target != DEFAULT_TARGET, not measured, -manifest.fraction


class Kernel:
    """An accepted kernel, callable on CPU or CUDA tensors in the task's input order.

    Returns the task's output, or a tuple of them; in-place inputs are overwritten. Optional tensors may be None.
    Dimensions the shapes do not tell are keywords: `kernel(x, w, G=128)`. Raises InputError where tensors do not fit
    the task. Non-contiguous tensors and shapes outside the kernel's `requires` are computed by the reference, with one
    OutsideDomainWarning a kernel.
    """

    def __init__(self, entry: Entry, task: Task, *, threads: int = 1, launcher: Launcher | None = None) -> None:
        from warpsmith.core.arch import find_architecture
        from warpsmith.kernels_generated.on_cuda import CudaCalls
        from warpsmith.kernels_generated.operator import register
        from warpsmith.sandbox.emulated import EmulatedLauncher

        self.entry, self.task = entry, task
        self.arch = find_architecture(entry.manifest.target)
        self._launcher: Launcher = launcher or EmulatedLauncher(self.arch, threads)
        self._builds = _builds(entry, task)
        self._cuda = CudaCalls(task, self._builds)
        self._warned = False
        self.operator = register(self)
        """The `torch.ops.warpsmith` operator: works under torch.compile and export."""

    @property
    def manifest(self) -> Manifest:
        """The evidence it was accepted with."""
        return self.entry.manifest

    def __repr__(self) -> str:
        manifest = self.manifest
        share = f"{manifest.fraction:.1%} of the bound, {manifest.source.value}"
        return f"<warpsmith kernel {self.entry.digest[:12]}: {manifest.task} on {manifest.target}, {share}>"

    def __call__(self, *tensors: torch.Tensor | None, **dims: int) -> Any:
        """Run on the task's inputs, in declaration order."""
        return self.operator(*tensors, **dims)

    def compute(
        self, tensors: Mapping[str, torch.Tensor], dims: Mapping[str, int], *, why: str = ""
    ) -> dict[str, torch.Tensor]:
        """Outputs and new values of in-place inputs, by name; what the operator does on the CPU.

        Where there is a reason `why` not to run the kernel, the reference serves.

        Raises:
            InputError: the tensors do not fit the task.
            LibraryError: the kernel failed; its verdict does not hold here.
        """
        from warpsmith.tasks.convert import from_torch, to_torch

        workload = self.workload(tensors, dims)
        declared = {tensor.name: tensor for tensor in self.task.inputs}
        inputs = {
            name: from_torch(tensor, self.task.dtype_of(declared[name], workload)) for name, tensor in tensors.items()
        }
        if not all(tensor.is_contiguous() for tensor in tensors.values()):
            why = "a tensor is not contiguous"
        if not why and self._builds.inside(workload):
            outputs = self._launch(workload, inputs)
        else:
            outputs = self._refer(workload, inputs, why)
        return {name: to_torch(value) for name, value in outputs.items()}

    def compute_on_cuda(self, tensors: Mapping[str, torch.Tensor], dims: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """Outputs by name, on the current stream; in-place inputs are overwritten. What the operator does on a GPU.

        Raises:
            InputError: the tensors do not fit the task.
            DeviceError: the GPU is not what the kernel was accepted for.
            LibraryError: the driver refuses a launch.
        """
        from warpsmith.kernels_generated.on_cuda import fits

        workload = self.workload(tensors, dims)
        why = fits(tensors)
        if not why and self._builds.inside(workload):
            return self._cuda.call(workload, tensors)
        device = next(iter(tensors.values())).device
        results = self.compute({name: tensor.cpu() for name, tensor in tensors.items()}, dims, why=why)
        moved = {name: value.to(device) for name, value in results.items()}
        for item in self.task.inputs:
            if item.role is Role.INPLACE and item.name in tensors:
                tensors[item.name].copy_(moved.pop(item.name))
        return moved

    def workload(self, tensors: Mapping[str, torch.Tensor], dims: Mapping[str, int]) -> Workload:
        """The binding of dimensions and dtypes that a call stands for."""
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        solved = solve_dims(self.task, shapes, dims)
        return Workload("call", solved, "", dtypes=self._dtypes(tensors))

    def _dtypes(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
        """What dtype variables stand for in this call; TaskError where a tensor has the wrong dtype."""
        from warpsmith.core.dtype import DType

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

    def _launch(self, workload: Workload, inputs: dict[str, HostTensor]) -> dict[str, HostTensor]:
        from warpsmith.core.protocols import RunRequest
        from warpsmith.tasks.sample import empty_outputs

        failure = self._builds.build(workload)
        if failure is not None:
            raise self._broken(failure)
        outputs = empty_outputs(self.task, workload)
        outputs |= {item.name: inputs[item.name] for item in self.task.inputs if item.role is Role.INPLACE}
        artifact, plan = self._builds.artifact(workload), self._builds.plan(workload)
        reply = self._launcher.run(RunRequest(artifact, plan, inputs, outputs, checks=False))
        if reply.failure is not None:
            raise self._broken(reply.failure)
        return dict(reply.outputs)

    def _refer(self, workload: Workload, inputs: dict[str, HostTensor], why: str) -> dict[str, HostTensor]:
        from warpsmith.tasks.oracle import honest

        if not self._warned:
            self._warned = True
            dims = ", ".join(f"{name}={value}" for name, value in workload.dims.items())
            why = why or f"{dims} is outside the kernel's `requires`"
            warnings.warn(f"{self.task.name}: {why}; the reference serves.", OutsideDomainWarning, stacklevel=2)
        return honest(self.task, workload, inputs)

    def _broken(self, failure: Any) -> LibraryError:
        message = f"{self.entry.folder} failed: {failure.kind}: {getattr(failure, 'message', '')}"
        return LibraryError(message, remedy=f"Judge it again: warpsmith verify {self.entry.kernel}")


@lru_cache(maxsize=64)
def _kernel(digest: str, folder: Path, threads: int) -> Kernel:
    """One Kernel a digest and folder: compiled forms and the registered operator are shared."""
    from warpsmith.kernels_generated.library import read_entry

    entry = read_entry(folder)
    return Kernel(entry, task_of(entry.manifest), threads=threads)


def _builds(entry: Entry, task: Task) -> Builds:
    from warpsmith.core.arch import find_architecture
    from warpsmith.core.kernel_file import parse_kernel_file
    from warpsmith.sandbox.builds import Builds
    from warpsmith.sandbox.compile import CompileCache, compile_unit
    from warpsmith.settings import read_settings

    cache = CompileCache(read_settings().cache / "compiled")
    kernel = parse_kernel_file(entry.text, file=str(entry.kernel))
    return Builds(
        kernel,
        task,
        dict(entry.manifest.knobs),
        find_architecture(entry.manifest.target),
        lambda unit, target: compile_unit(unit, target, cache=cache),
    )
