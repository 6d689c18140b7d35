"""Expected results: the reference in float64, and what an honest kernel of the declared precision would give."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.errors import TaskError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Cost, Output, Role, Task, Tensor, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.tasks.binding import shape_of
from warpsmith.tasks.blame import blaming, place_of
from warpsmith.tasks.convert import bound_dtypes, from_torch, to_torch, torch_dtype
from warpsmith.tasks.costs import called
from warpsmith.tasks.jitter import PLACES, jitter
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
    task: Task,
    workload: Workload,
    inputs: Mapping[str, HostTensor],
    *,
    wide: bool,
    rows: NDArray[np.int64] | None = None,
) -> dict[str, NDArray[Any]]:
    """Evaluate the reference at a bench shape: in float64 where `wide`, else in float32, which takes half as long.

    The float32 answer is unrounded: good enough to judge outputs of 16 bits and fewer.

    Args:
        task: With `rows`, where only some rows are asked for.
        workload: A bench workload.
        inputs: All of them.
        wide: Whether to compute in float64.
        rows: Positions along the task's `rows` to evaluate; None for all.
    """
    import torch

    results = _evaluate(task, workload, inputs, torch.float64 if wide else torch.float32, rows)
    return {name: value.numpy() for name, value in results.items()}


def honest(
    task: Task, workload: Workload, inputs: Mapping[str, HostTensor], rows: NDArray[np.int64] | None = None
) -> dict[str, HostTensor]:
    """Evaluate the reference as a careful kernel would: float32 sums, intermediates and outputs rounded.

    A task with a float64 input computes in float64. `rows` as for `bench_oracle`.
    """
    import torch

    wide = any(tensor.dtype is DType.FLOAT64 for tensor in inputs.values())
    with rounding():
        results = _evaluate(task, workload, inputs, torch.float64 if wide else torch.float32, rows)
    dtypes = checked_tensors(task, workload)
    return {
        name: from_torch(value.to(torch_dtype(dtypes[name][0])), dtypes[name][0]) for name, value in results.items()
    }


def jittered(
    task: Task,
    workload: Workload,
    inputs: Mapping[str, HostTensor],
    seed: int,
    *,
    places: range = PLACES,
    rows: NDArray[np.int64] | None = None,
) -> dict[str, HostTensor]:
    """Evaluate the reference as `honest` does, with an error of some last places in each of its operations."""
    with jitter(seed, places):
        return honest(task, workload, inputs, rows)


def gradients(
    task: Task,
    workload: Workload,
    inputs: Mapping[str, HostTensor],
    upstream: Mapping[str, NDArray[Any]],
    wanted: Collection[str],
) -> dict[str, NDArray[Any]]:
    """Differentiate the reference in float64, by PyTorch's autograd.

    Args:
        task: A task whose reference PyTorch can differentiate.
        workload: One of its sizes.
        inputs: Its inputs.
        upstream: Output name -> incoming gradient, of the output's shape.
        wanted: Names of floating inputs.

    Returns:
        By input name: the gradient, of the input's shape; zeros where no output depends on it.

    Raises:
        TaskError: the reference raised, or cannot be differentiated.
    """
    import torch

    arguments = _arguments(task, workload, inputs, torch.float64)
    if task.rows:
        arguments["rows"] = torch.arange(dims_of(task, workload)[task.rows])
    leaves = [arguments[name].requires_grad_() for name in wanted]
    with blaming(task.path, f"the reference cannot be differentiated at workload '{workload.name}'"):
        returned = _named(task, workload, task.reference(**arguments))
        ends = [returned[name] for name in upstream]
        weights = [
            torch.from_numpy(upstream[name]).to(torch.float64).reshape(returned[name].shape) for name in upstream
        ]
        found = torch.autograd.grad(ends, leaves, weights, allow_unused=True, materialize_grads=True)
    return {name: value.numpy() for name, value in zip(wanted, found, strict=True)}


def exact_cost(task: Task, workload: Workload, inputs: Mapping[str, HostTensor]) -> Cost:
    """The work these inputs ask for: the task's `exact_cost` where it has one, else the cost of their sizes.

    Raises:
        TaskError: the function raised, or returned no finite, non-negative Cost.
    """
    dims = dims_of(task, workload)
    if task.exact_cost is None:
        return task.cost(dims)
    tensors = {name: to_torch(tensor) for name, tensor in inputs.items()}
    return called(task, f"exact_cost at workload '{workload.name}'", task.exact_cost, dims, tensors)


def checked_tensors(task: Task, workload: Workload) -> dict[str, tuple[DType, tuple[int, ...]]]:
    """Dtype and shape of everything a kernel may write: outputs and in-place inputs."""
    written: tuple[Tensor | Output, ...] = (
        *task.outputs,
        *(tensor for tensor in task.inputs if tensor.role is Role.INPLACE),
    )
    return {item.name: (task.dtype_of(item, workload), shape_of(task, item, workload)) for item in written}


def floating(task: Task, workload: Workload, answer: Mapping[str, Any]) -> dict[str, DType]:
    """Dtypes of what is floating in an answer of the reference: outputs, and in-place inputs that it returns."""
    dtypes = {name: task.dtype_of(task.tensor(name), workload) for name in answer}
    return {name: dtype for name, dtype in dtypes.items() if dtype.is_floating}


def row_axis(task: Task, name: str) -> int | None:
    """Which dimension of an output the task's `rows` run along; None where none does."""
    shape = task.tensor(name).shape
    return shape.index(task.rows) if task.rows in shape else None


def _evaluate(
    task: Task,
    workload: Workload,
    inputs: Mapping[str, HostTensor],
    compute: torch.dtype,
    rows: NDArray[np.int64] | None = None,
) -> dict[str, torch.Tensor]:
    """Call the reference and fit what it returns to the declared outputs, of all rows or of the given ones."""
    import torch

    arguments = _arguments(task, workload, inputs, compute)
    if task.rows:
        extent = dims_of(task, workload)[task.rows]
        arguments["rows"] = torch.from_numpy(np.arange(extent) if rows is None else rows)
    with blaming(task.path, f"the reference raised at workload '{workload.name}'"):
        returned = task.reference(**arguments)
    named = _named(task, workload, returned)
    count = None if rows is None else len(rows)
    return {name: _fitted(task, workload, name, value, compute, count) for name, value in named.items()}


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
    parameters = _parameters(task.reference)
    arguments |= {name: value for name, value in dims_of(task, workload).items() if name in parameters}
    if "dtypes" in parameters:
        arguments["dtypes"] = bound_dtypes(workload)
    return arguments


@lru_cache(maxsize=64)
def _parameters(reference: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(reference).parameters)


def _named(task: Task, workload: Workload, returned: Any) -> dict[str, Any]:
    """What the reference returned, by output name."""
    where = f"{place_of(task, task.reference)}: the reference at workload '{workload.name}'"
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


def _fitted(
    task: Task, workload: Workload, name: str, value: Any, compute: torch.dtype, rows: int | None
) -> torch.Tensor:
    """One result as a contiguous CPU tensor of the declared shape, in the computing or the declared integer dtype."""
    import torch

    dtype, shape = checked_tensors(task, workload)[name]
    axis = row_axis(task, name)
    if rows is not None and axis is not None:
        shape = (*shape[:axis], rows, *shape[axis + 1 :])
    where = f"{place_of(task, task.reference)}: the reference at workload '{workload.name}' returned {name}"
    if not isinstance(value, torch.Tensor):
        raise TaskError(f"{where} as {type(value).__name__}.", remedy="Return a tensor.")
    value = value.detach()
    if value.device.type != "cpu":
        raise TaskError(f"{where} on the device {value.device}.", remedy="Compute where the inputs are.")
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
