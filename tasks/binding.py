"""Dimensions and shapes of one workload."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from warpsmith.core.errors import KernelFileError, TaskError
from warpsmith.core.expression import Expression
from warpsmith.core.task import Output, Task, Tensor, Workload

_parse = lru_cache(maxsize=1024)(Expression.parse)


def evaluate(text: str, dims: Mapping[str, int]) -> int:
    """Evaluate an integer expression of a task file, such as `cdiv(K, G)`.

    Raises:
        TaskError: it does not parse, or names something that is no dimension.
    """
    try:
        return _parse(text).evaluate(dims)
    except KernelFileError as error:
        raise TaskError(error.message, remedy=error.remedy) from error


def dims_of(task: Task, workload: Workload) -> dict[str, int]:
    """Every dimension by name, derived ones included."""
    dims = dict(workload.dims)
    for name, text in task.derived.items():
        dims[name] = evaluate(text, dims)
    return dims


def shape_of(task: Task, tensor: Tensor | Output, workload: Workload) -> tuple[int, ...]:
    """The extents of a tensor under a workload, in elements.

    Raises:
        TaskError: an extent is negative or does not evaluate.
    """
    dims = dims_of(task, workload)
    shape = tuple(evaluate(text, dims) for text in tensor.shape)
    if any(extent < 0 for extent in shape):
        raise TaskError(f"{task.name}: {tensor.name} has shape {shape} at workload '{workload.name}'.")
    return shape
