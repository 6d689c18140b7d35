"""The shape of a tensor at one workload."""

from __future__ import annotations

from warpsmith.core.kernel_file import dims_of, tensor_shape
from warpsmith.core.task import Output, Task, Tensor, Workload


def shape_of(task: Task, tensor: Tensor | Output, workload: Workload) -> tuple[int, ...]:
    """The extents of a tensor under a workload, in elements; TaskError where one cannot be computed."""
    return tensor_shape(tensor, dims_of(task, workload))
