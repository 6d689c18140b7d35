"""Draws the inputs of a workload from its distribution."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from warpsmith.core.digest import digest_json
from warpsmith.core.errors import TaskError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Task, Tensor, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.tasks.binding import shape_of
from warpsmith.tasks.blame import blaming, place_of
from warpsmith.tasks.convert import bound_dtypes, from_torch, to_torch, torch_dtype

__all__ = ["bound_dtypes", "drawn_names", "empty_outputs", "from_torch", "make_inputs", "to_torch", "torch_dtype"]


def make_inputs(task: Task, workload: Workload, seed: int) -> dict[str, HostTensor]:
    """Draw the workload's inputs from its distribution; equal seeds give equal bits.

    Two workloads of one task draw different values from one seed.

    Returns:
        Every input by name, in declaration order; absent optional tensors are left out.

    Raises:
        TaskError: the distribution raised, or what it returned does not fit the declared tensors or what the workload
            says is absent.
    """
    drawn = _draw(task, workload, seed)
    declared = {tensor.name: tensor for tensor in task.inputs}
    maker = task.make_inputs[workload.distribution]
    where = f"{place_of(task, maker)}: distribution '{workload.distribution}' at workload '{workload.name}'"
    if unknown := sorted(set(drawn) - set(declared)):
        raise TaskError(
            f"{where} returned {', '.join(unknown)}, which the task does not declare as inputs.",
            remedy=f"Its inputs: {', '.join(declared)}.",
        )
    missing = [tensor.name for tensor in task.inputs if tensor.name not in drawn and not tensor.optional]
    if missing:
        raise TaskError(f"{where} did not return the input {', '.join(missing)}.")
    inputs = {}
    for tensor in task.inputs:
        if drawn.get(tensor.name) is not None:
            inputs[tensor.name] = _checked(task, workload, tensor, drawn[tensor.name], where)
    for name in sorted(task.optional):
        if (name in inputs) == (name in workload.absent):
            drew, elsewhere = ("drew", "draws none") if name in inputs else ("drew no", "draws it")
            raise TaskError(
                f"{where} {drew} {name}, and {elsewhere} at other sizes or values.",
                remedy="Make two distributions, one that always draws it and one that never does.",
            )
    return inputs


def empty_outputs(task: Task, workload: Workload) -> dict[str, HostTensor]:
    """Outputs of the right shapes and dtypes, holding nothing that matters."""
    outputs = {}
    for output in task.outputs:
        dtype, shape = task.dtype_of(output, workload), shape_of(task, output, workload)
        outputs[output.name] = HostTensor(dtype, shape, np.empty(shape, dtype.storage))
    return outputs


def drawn_names(task: Task, workload: Workload) -> frozenset[str]:
    """Names of the inputs that the workload's distribution draws.

    Raises:
        TaskError: the distribution raised.
    """
    return frozenset(name for name, value in _draw(task, workload, 0).items() if value is not None)


def _draw(task: Task, workload: Workload, seed: int) -> Mapping[str, Any]:
    import torch

    make = task.make_inputs.get(workload.distribution)
    if make is None:
        known = ", ".join(task.make_inputs)
        raise TaskError(f"{task.name} has no distribution '{workload.distribution}'.", remedy=f"It has: {known}.")
    dims = dims_of(task, workload)
    key = digest_json([seed, workload.name, workload.distribution, dict(workload.dims), dict(workload.dtypes)])
    generator = torch.Generator().manual_seed(int(key[:15], 16))
    extra = {"dtypes": bound_dtypes(workload)} if "dtypes" in inspect.signature(make).parameters else {}
    what = f"distribution '{workload.distribution}' raised at workload '{workload.name}'"
    with blaming(task.path, what), torch.random.fork_rng(devices=[]):
        # A distribution that draws without the generator gives the same again, too.
        torch.manual_seed(generator.initial_seed())
        drawn = make(MappingProxyType(dims), generator, **extra)
    if not isinstance(drawn, Mapping):
        raise TaskError(
            f"{place_of(task, make)}: distribution '{workload.distribution}' returned {type(drawn).__name__}.",
            remedy="Return a dict from input name to tensor.",
        )
    return drawn


def _checked(task: Task, workload: Workload, tensor: Tensor, value: Any, where: str) -> HostTensor:
    import torch

    if not isinstance(value, torch.Tensor):
        raise TaskError(f"{where} returned {type(value).__name__} for {tensor.name}.", remedy="Return a tensor.")
    dtype, shape = task.dtype_of(tensor, workload), shape_of(task, tensor, workload)
    if tuple(value.shape) != shape:
        declared = ", ".join(tensor.shape)
        raise TaskError(f"{where} returned {tensor.name} of shape {tuple(value.shape)}; [{declared}] is {shape}.")
    if value.dtype != torch_dtype(dtype):
        remedy = f"End with `.to(torch.{dtype})`."
        raise TaskError(f"{where} returned {tensor.name} as {value.dtype}; it is declared {dtype}.", remedy=remedy)
    return from_torch(value, dtype)
