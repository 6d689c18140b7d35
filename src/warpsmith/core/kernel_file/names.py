"""The integers a kernel file's expressions read, under one workload and knob assignment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from warpsmith.core.dtype import DType
from warpsmith.core.expression import Expression
from warpsmith.core.kernel_file.dims import dims_of, tensors_of
from warpsmith.core.kernel_file.model import Buffer, KernelFile
from warpsmith.core.task import Task, Workload

_ELEMENTS = frozenset(DType)


class Names(Mapping[str, int]):
    """Dimensions, knobs, `SMS`, `has_<tensor>`, and `[let]` expressions, which are evaluated when first read.

    Lazily, so that an expression which only a `when` or `requires` guards is not evaluated outside it.
    """

    def __init__(self, values: Mapping[str, int], let: Mapping[str, Expression], sizes: Mapping[str, int]) -> None:
        self._values = dict(values)
        self._let = let
        self.sizes = sizes

    def __getitem__(self, name: str) -> int:
        if name not in self._values and name in self._let:
            self._values[name] = self._let[name].evaluate(self, self.sizes)
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values or name in self._let

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._values, *self._let)))

    def __len__(self) -> int:
        return len(set(self._values) | set(self._let))

    def value(self, expression: Expression) -> int:
        return expression.evaluate(self, self.sizes)

    def with_values(self, **values: int) -> Names:
        """The same names and some more: a launch's `i` and `RESIDENT`."""
        return Names({**self._values, **values}, self._let, self.sizes)


def buffer_dtype(buffer: Buffer, task: Task, workload: Workload) -> DType:
    """Element type of a buffer; `x_t` is that of tensor `x` under the workload."""
    if buffer.dtype in _ELEMENTS:
        return DType(buffer.dtype)
    return task.dtype_of(task.tensor(buffer.dtype.removesuffix("_t")), workload)


def names_of(
    kernel_file: KernelFile,
    task: Task,
    workload: Workload,
    knobs: Mapping[str, int],
    *,
    sms: int | None,
) -> Names:
    """Gather what expressions may read. Without `sms`, `SMS` is unknown."""
    tensors = tensors_of(task)
    sizes = {tensor.name: task.dtype_of(tensor, workload).itemsize for tensor in tensors}
    sizes |= {buffer.name: buffer_dtype(buffer, task, workload).itemsize for buffer in kernel_file.buffers}
    values = {f"has_{tensor.name}": int(tensor.name not in workload.absent) for tensor in tensors}
    values |= dims_of(task, workload)
    values |= knobs
    if sms is not None:
        values["SMS"] = sms
    return Names(values, kernel_file.let, sizes)
