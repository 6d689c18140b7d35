"""Holds a backward task against its forward: it must compute what autograd gives of the forward's reference."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np

from warpsmith.core.errors import TaskError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.kernel_file.dims import tensors_of
from warpsmith.core.task import Output, Role, Task, Tensor, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.tasks.binding import shape_of
from warpsmith.tasks.convert import from_torch, torch_dtype, widened
from warpsmith.tasks.load import forward_of
from warpsmith.tasks.oracle import gradients, oracle
from warpsmith.tasks.sample import make_inputs

LARGEST = 1e-9
"""Error of a gradient, both sides in float64, over its largest element."""


def backward_problems(task: Task, *, seed: int = 0, workloads: Iterable[Workload] | None = None) -> list[str]:
    """What keeps a task from being the backward that it says it is; empty where it is, or says nothing of it.

    Its reference is compared with autograd of the forward's at the given workloads, all verify workloads by default.
    Inputs of the forward that the backward does not take are drawn at random: gradients must not depend on them.

    Raises:
        TaskError: a reference or a distribution raised.
    """
    if task.backward is None:
        return []
    try:
        forward = forward_of(task)
    except TaskError as error:
        return [f"backward: {error}"]
    problems = _declarations(task, forward)
    if problems:
        return problems
    for workload in task.verify if workloads is None else workloads:
        if prod(shape_of(task, task.outputs[0], workload)):
            problems += _differences(task, forward, workload, seed)
    return problems


def smallest(task: Task) -> Workload:
    """The verify workload whose tensors hold least, and something."""
    full = [item for item in task.verify if prod(shape_of(task, task.outputs[0], item))]
    return min(full or task.verify, key=lambda item: task.cost(dims_of(task, item)).bytes)


def _declarations(task: Task, forward: Task) -> list[str]:
    """Names, shapes and dtypes of both tasks that do not fit together."""
    declared = task.backward
    assert declared is not None
    problems = []
    if set(task.dims) != set(forward.dims):
        problems.append(f"backward: its dimensions {task.dims} are not {forward.name}'s {forward.dims}.")
    theirs: dict[str, Tensor | Output] = {item.name: item for item in tensors_of(forward)}
    pairs = {**{item.name: item.name for item in task.inputs}, **declared.upstream, **declared.gradients}
    for ours, other in pairs.items():
        mine, found = task.tensor(ours), theirs.get(other)
        sides = forward.outputs if ours in declared.upstream else forward.inputs
        if found is None or found not in sides:
            kind = "output" if ours in declared.upstream else "input"
            problems.append(f"backward: {ours} stands for '{other}', which is no {kind} of {forward.name}.")
        elif (mine.shape, mine.dtype) != (found.shape, found.dtype):
            shape = f"{found.dtype} [{', '.join(found.shape)}]"
            problems.append(f"backward: {ours} is not {shape}, as {forward.name}'s {other} is.")
        elif getattr(mine, "optional", False) != getattr(found, "optional", False) and ours not in declared.gradients:
            problems.append(f"backward: {ours} is optional in one of {task.name} and {forward.name} only.")
    if any(item.role is Role.INPLACE for item in (*task.inputs, *forward.inputs)):
        problems.append("backward: a task that overwrites inputs has no gradient here.")
    covered, used = set(declared.upstream.values()), set(pairs.values())
    problems += [
        f"backward: no input is the incoming gradient of {forward.name}'s {item.name}."
        for item in forward.outputs
        if _floating(forward, item) and item.name not in covered
    ]
    problems += [
        f"backward: {forward.name}'s {item.name} holds no real numbers, and is no input."
        for item in forward.inputs
        if item.name not in used and not _floating(forward, item)
    ]
    problems += [
        f"backward: {ours} cannot be the gradient of {other}, which holds no real numbers."
        for ours, other in declared.gradients.items()
        if other in theirs and not _floating(forward, theirs[other])
    ]
    return problems


def _floating(task: Task, item: Tensor | Output) -> bool:
    return task.dtype_of(item, task.verify[0]).is_floating


def _differences(task: Task, forward: Task, workload: Workload, seed: int) -> list[str]:
    declared = task.backward
    assert declared is not None
    inputs = make_inputs(task, workload, seed)
    absent = frozenset(item.name for item in forward.inputs if item.optional and item.name not in inputs)
    there = Workload(workload.name, workload.dims, "", dtypes=workload.dtypes, absent=absent)
    given = {
        item.name: inputs[item.name] if item.name in inputs else _drawn(forward, item, there, seed)
        for item in forward.inputs
        if item.name not in absent
    }
    upstream = {other: widened(inputs[ours]) for ours, other in declared.upstream.items()}
    expected = gradients(forward, there, given, upstream, tuple(declared.gradients.values()))
    found = oracle(task, workload, inputs)
    problems = []
    for ours, other in declared.gradients.items():
        one, wanted = found[ours], expected[other]
        both = np.isnan(one) & np.isnan(wanted)
        off = np.abs(np.where(both, 0.0, one - wanted)).max(initial=0.0)
        if not off <= LARGEST * np.abs(np.where(both, 0.0, wanted)).max(initial=0.0):
            problems.append(
                f"backward: {ours} is not the gradient of {forward.name}'s {other} at '{workload.name}': "
                f"autograd differs by {off:.3g}. Correct the reference."
            )
    return problems


def _drawn(task: Task, item: Tensor, workload: Workload, seed: int) -> HostTensor:
    """Normal values for an input that the backward does without."""
    import torch

    dtype = task.dtype_of(item, workload)
    generator = torch.Generator().manual_seed(seed + 1)
    values = torch.randn(shape_of(task, item, workload), generator=generator)
    return from_torch(values.to(torch_dtype(dtype)), dtype)
