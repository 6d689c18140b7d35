"""Expected results: the reference in float64, and what an honest kernel of the declared precision would give."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.errors import TaskError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Output, Role, Task, Tensor, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.tasks.binding import shape_of
from warpsmith.tasks.blame import task_error
from warpsmith.tasks.convert import from_torch, to_torch, torch_dtype
from warpsmith.tasks.precision import rounding

if TYPE_CHECKING:
    import torch


def oracle(task: Task, workload: Workload, inputs: Mapping[str, HostTensor]) -> dict[str, NDArray[Any]]:
    """Evaluate the reference in float64.

    Returns:
        By output name: float64 arrays for floating outputs (unrounded: they may exceed the dtype's range), the declared
        integers otherwise. Rows past a `valid` count are zero. In-place inputs the reference returns come too.

    Raises:
        TaskError: the reference raised, or returned something that does not fit the declared outputs.
    """
    import torch

    results = _evaluate(task, workload, inputs, torch.float64)
    return {name: value.numpy() for name, value in results.items()}


def bench_oracle(
    task: Task, workload: Workload, inputs: Mapping[str, HostTensor], *, wide: bool
) -> dict[str, NDArray[Any]]:
    """Evaluate the reference at a bench shape: in float64 where `wide`, else in float32, which takes half as long.

    The float32 answer is unrounded: good enough to judge outputs of 16 bits and fewer.
    """
    import torch

    results = _evaluate(task, workload, inputs, torch.float64 if wide else torch.float32)
    return {name: value.numpy() for name, value in results.items()}


def honest(task: Task, workload: Workload, inputs: Mapping[str, HostTensor]) -> dict[str, HostTensor]:
    """Evaluate the reference as a careful kernel would: float32 sums, intermediates and outputs rounded.

    A task with a float64 input computes in float64.
    """
    import torch

    wide = any(tensor.dtype is DType.FLOAT64 for tensor in inputs.values())
    with rounding():
        results = _evaluate(task, workload, inputs, torch.float64 if wide else torch.float32)
    dtypes = checked_tensors(task, workload)
    return {
        name: from_torch(value.to(torch_dtype(dtypes[name][0])), dtypes[name][0]) for name, value in results.items()
    }


def checked_tensors(task: Task, workload: Workload) -> dict[str, tuple[DType, tuple[int, ...]]]:
    """Dtype and shape of everything a kernel may write: outputs and in-place inputs."""
    written: tuple[Tensor | Output, ...] = (
        *task.outputs,
        *(tensor for tensor in task.inputs if tensor.role is Role.INPLACE),
    )
    return {item.name: (task.dtype_of(item, workload), shape_of(task, item, workload)) for item in written}


def _evaluate(
    task: Task, workload: Workload, inputs: Mapping[str, HostTensor], compute: torch.dtype
) -> dict[str, torch.Tensor]:
    """Call the reference and fit what it returns to the declared outputs."""
    arguments = _arguments(task, workload, inputs, compute)
    try:
        returned = task.reference(**arguments)
    except Exception as error:
        raise task_error(task.path, f"the reference raised at workload '{workload.name}'", error) from error
    named = _named(task, workload, returned)
    return {name: _fitted(task, workload, name, value, compute) for name, value in named.items()}


def _arguments(
    task: Task, workload: Workload, inputs: Mapping[str, HostTensor], compute: torch.dtype
) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for tensor in task.inputs:
        given = inputs.get(tensor.name)
        if given is None:
            arguments[tensor.name] = None
            continue
        # Always a copy: a reference may write its arguments, and the caller's values stay as they were.
        value = to_torch(given)
        arguments[tensor.name] = value.to(compute, copy=True) if given.dtype.is_floating else value.clone()
    parameters = inspect.signature(task.reference).parameters
    arguments |= {name: value for name, value in dims_of(task, workload).items() if name in parameters}
    return arguments


def _named(task: Task, workload: Workload, returned: Any) -> dict[str, Any]:
    """What the reference returned, by output name."""
    where = f"{task.name}: the reference at workload '{workload.name}'"
    names = [output.name for output in task.outputs]
    if isinstance(returned, tuple | list):
        if len(returned) != len(names):
            raise TaskError(f"{where} returned {len(returned)} values for the outputs {', '.join(names)}.")
        return dict(zip(names, returned, strict=True))
    if not isinstance(returned, Mapping):
        if len(names) != 1:
            raise TaskError(f"{where} returned one value for the outputs {', '.join(names)}.", remedy="Return a dict.")
        return {names[0]: returned}
    inplace = [tensor.name for tensor in task.inputs if tensor.role is Role.INPLACE]
    if missing := [name for name in names if name not in returned]:
        raise TaskError(f"{where} did not return {', '.join(missing)}.")
    if unknown := [name for name in returned if name not in (*names, *inplace)]:
        raise TaskError(f"{where} returned {', '.join(unknown)}, which the task does not declare.")
    return dict(returned)


def _fitted(task: Task, workload: Workload, name: str, value: Any, compute: torch.dtype) -> torch.Tensor:
    """One result as a contiguous CPU tensor of the declared shape, in the computing or the declared integer dtype."""
    import torch

    dtype, shape = checked_tensors(task, workload)[name]
    where = f"{task.name}: the reference at workload '{workload.name}' returned {name}"
    if not isinstance(value, torch.Tensor):
        raise TaskError(f"{where} as {type(value).__name__}.", remedy="Return a tensor.")
    value = value.detach()
    if dtype.is_floating and value.dtype != compute:
        raise TaskError(
            f"{where} as {value.dtype} from {compute} inputs.",
            remedy="Keep the dtype of the inputs: no .half() or .float(); mark roundings by intermediate().",
        )
    if not dtype.is_floating and value.is_floating_point():
        raise TaskError(f"{where} as {value.dtype}; it is declared {dtype}.", remedy=f"Return .to(torch.{dtype}).")
    valid = getattr(task.tensor(name), "valid", None)
    if valid and value.dim() == len(shape) and value.shape[0] < shape[0]:
        padded = value.new_zeros(shape)
        padded[: value.shape[0]] = value
        value = padded
    if tuple(value.shape) != shape:
        raise TaskError(f"{where} of shape {tuple(value.shape)}; it is declared {shape}.")
    fitted: torch.Tensor = value if dtype.is_floating else value.to(torch_dtype(dtype))
    return fitted.contiguous()
