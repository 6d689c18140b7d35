"""Registers a kernel with `torch.library`, so that torch.compile, export and opcheck know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from warpsmith.core.expression import Expression
from warpsmith.core.task import Output, Role, Task
from warpsmith.kernels_generated.dims import needed_keywords, read_off, solve_dims
from warpsmith.kernels_generated.gradient import Pair

if TYPE_CHECKING:
    import torch

    from warpsmith.kernels_generated.kernel import Kernel

NAMESPACE = "warpsmith"
_DIGITS = 12

_registered: dict[str, Any] = {}


def register(kernel: Kernel) -> Callable[..., Any]:
    """The operator `warpsmith::<task>_<digest>`, `…_strict` for a strict kernel, made once in a process and kept.

    In-place inputs are declared mutated. Where there is a kernel of the backward task, it computes gradients, and the
    name tells its digest too. Else the operator has none: training through it raises.
    """
    import torch

    task = kernel.task
    paired = f"_{kernel.backward.digest[:_DIGITS]}" if kernel.backward else ""
    name = f"{NAMESPACE}::{task.name}_{kernel.digest[:_DIGITS]}{paired}{'_strict' if kernel.strict else ''}"
    if name not in _registered:
        mutated = tuple(item.name for item in task.inputs if item.role is Role.INPLACE)
        operator = torch.library.custom_op(
            name, partial(_run, kernel), mutates_args=mutated, device_types="cpu", schema=schema_of(task)
        )
        operator.register_kernel("cuda", partial(_run_on_cuda, kernel))
        operator.register_fake(partial(_shapes_only, task))
        if kernel.backward is not None:
            pair = Pair(task, kernel.backward)
            operator.register_autograd(pair.backward, setup_context=pair.setup_context)
        _registered[name] = operator
    found: Callable[..., Any] = _registered[name]
    return found


def schema_of(task: Task) -> str:
    """The operator's signature: tensors in declared order, then dimensions that no shape spells out, as keywords."""
    parts = []
    for index, item in enumerate(task.inputs):
        alias = f"(a{index}!)" if item.role is Role.INPLACE else ""
        parts.append(f"Tensor{alias}{'?' if item.optional else ''} {item.name}{'=None' if item.optional else ''}")
    keywords = [f"SymInt? {name}=None" for name in needed_keywords(task)]
    arguments = ", ".join([*parts, *(["*", *keywords] if keywords else [])])
    several = ", ".join(["Tensor"] * len(task.outputs))
    return f"({arguments}) -> " + (several if len(task.outputs) == 1 else f"({several})")


def _named(task: Task, tensors: Sequence[torch.Tensor | None]) -> dict[str, torch.Tensor]:
    names = [item.name for item in task.inputs]
    return {name: tensor for name, tensor in zip(names, tensors, strict=False) if tensor is not None}


def _stated(dims: Mapping[str, int | None]) -> dict[str, int]:
    return {name: value for name, value in dims.items() if value is not None}


def _run(kernel: Kernel, *tensors: torch.Tensor | None, **dims: int | None) -> Any:
    """Compute on the CPU; in-place inputs get their new values."""
    given = _named(kernel.task, tensors)
    results = kernel.compute(given, {name: int(value) for name, value in _stated(dims).items()})
    for item in kernel.task.inputs:
        if item.role is Role.INPLACE and item.name in given:
            given[item.name].copy_(results[item.name])
    outputs = tuple(results[output.name].clone() for output in kernel.task.outputs)
    return outputs[0] if len(outputs) == 1 else outputs


def _run_on_cuda(kernel: Kernel, *tensors: torch.Tensor | None, **dims: int | None) -> Any:
    """Launch on the current stream; in-place inputs are written where they lie."""
    stated = {name: int(value) for name, value in _stated(dims).items()}
    results = kernel.compute_on_cuda(_named(kernel.task, tensors), stated)
    outputs = tuple(results[output.name] for output in kernel.task.outputs)
    return outputs[0] if len(outputs) == 1 else outputs


def _shapes_only(task: Task, *tensors: torch.Tensor | None, **dims: int | None) -> Any:
    """Empty outputs; extents stay symbolic where a dimension stands alone."""
    import torch

    given = _named(task, tensors)
    shapes = {name: tuple(tensor.shape) for name, tensor in given.items()}
    known = read_off(task, shapes, _stated(dims))
    dtypes = _dtypes(task, given)
    device = next(iter(given.values())).device
    outputs = tuple(
        torch.empty(_extents(task, output, shapes, known), dtype=dtypes[output.name], device=device)
        for output in task.outputs
    )
    return outputs[0] if len(outputs) == 1 else outputs


def _extents(
    task: Task, output: Output, shapes: Mapping[str, Sequence[int]], known: Mapping[str, int]
) -> tuple[int, ...]:
    if all(text in known for text in output.shape):
        return tuple(known[text] for text in output.shape)
    concrete = {name: tuple(int(extent) for extent in shape) for name, shape in shapes.items()}
    env = solve_dims(task, concrete, {name: int(value) for name, value in known.items()})
    for name, text in task.derived.items():
        env[name] = Expression.parse(text).evaluate(env)
    return tuple(Expression.parse(text).evaluate(env) for text in output.shape)


def _dtypes(task: Task, given: Mapping[str, torch.Tensor]) -> dict[str, torch.dtype]:
    """Output name -> dtype, dtype variables bound by the inputs that declare them."""
    import torch

    bound = {item.dtype: given[item.name].dtype for item in task.inputs if item.name in given}
    return {
        item.name: bound[item.dtype] if item.dtype in bound else getattr(torch, item.dtype) for item in task.outputs
    }
