"""Dimensions and shapes of a task under one workload."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from warpsmith.core.errors import KernelFileError, TaskError
from warpsmith.core.expression import Expression
from warpsmith.core.nearest import did_you_mean
from warpsmith.core.task import Output, Task, Tensor, Workload


def dimension_names(task: Task) -> tuple[str, ...]:
    """Free, fixed and derived dimensions, each once."""
    return tuple(dict.fromkeys((*task.dims, *task.fixed, *task.derived)))


def tensors_of(task: Task) -> tuple[Tensor | Output, ...]:
    """Inputs, then outputs."""
    return (*task.inputs, *task.outputs)


def dims_of(task: Task, workload: Workload) -> dict[str, int]:
    """Every dimension's value: free and fixed ones from the workload, derived ones computed.

    Raises TaskError where one is missing, unknown or negative, or where a constraint of the task does not hold.
    """
    place = f"task `{task.name}`, workload `{workload.name}`"
    given = tuple(name for name in dimension_names(task) if name not in task.derived)
    return dict(_bound(place, given, tuple(task.derived.items()), task.constraints, tuple(workload.dims.items())))


@lru_cache(maxsize=4096)
def _bound(
    place: str,
    given: tuple[str, ...],
    derived: tuple[tuple[str, str], ...],
    constraints: tuple[str, ...],
    asked: tuple[tuple[str, int], ...],
) -> Mapping[str, int]:
    """One gate asks for the same few workloads thousands of times."""
    values, dims = dict(asked), dict[str, int]()
    for name in values:
        if name not in given:
            raise TaskError(f"{place}: there is no dimension `{name}`.", remedy=did_you_mean(name, given))
    for name in given:
        if name not in values:
            raise TaskError(f"{place}: dimension `{name}` has no value.", remedy="Every free dimension needs one.")
        if values[name] < 0:
            raise TaskError(f"{place}: dimension `{name}` is {values[name]}.", remedy="Sizes start at 0.")
        dims[name] = values[name]
    for name, text in derived:
        dims[name] = _evaluate(text, dims, f"{place}, derived dimension `{name}`")
    for text in constraints:
        if not _evaluate(text, dims, f"{place}, constraint"):
            shown = ", ".join(f"{name}={value}" for name, value in dims.items())
            raise TaskError(f"{place}: `{text}` does not hold with {shown}.", remedy="Choose other dimensions.")
    return dims


def tensor_shape(tensor: Tensor | Output, dims: Mapping[str, int]) -> tuple[int, ...]:
    """Extents of a tensor under `dims`; TaskError where one is negative or cannot be computed."""
    shape = tuple(_evaluate(extent, dims, f"tensor `{tensor.name}`") for extent in tensor.shape)
    if any(extent < 0 for extent in shape):
        raise TaskError(f"Tensor `{tensor.name}` has the shape {shape}.", remedy="Sizes start at 0.")
    return shape


def _evaluate(text: str, dims: Mapping[str, int], place: str) -> int:
    try:
        return Expression.parse(text).evaluate(dims)
    except KernelFileError as error:
        raise TaskError(f"{place}: {error.message}", remedy=error.remedy) from None
