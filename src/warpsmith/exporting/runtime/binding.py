"""A call with every number known: which sizes and build it comes to, its buffers and its launches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import torch

from .plan import Build, Entry, Fill, Input, Launch, Names, Output, Plan, solve

_MOST_GRID = (2**31 - 1, 65535, 65535)
_MOST_BLOCK, _MOST_THREADS = (1024, 1024, 64), 1024
_MOST_STEPS = 256


class Call(NamedTuple):
    """What the shapes and dtypes of a call come to."""

    names: Names
    dtypes: Mapping[str, torch.dtype]
    """Dtype variable -> what it stands for."""
    build: Build | None
    why: str
    """Why the kernel does not take it; empty where it does."""


class Step(NamedTuple):
    """A launch with every number known, but for addresses."""

    entry: Entry
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    args: tuple[str | int, ...]
    cooperative: bool
    prepare: bool


class Scratch(NamedTuple):
    """Memory that a call needs besides its tensors."""

    name: str
    nbytes: int
    init: int | None
    prepared: bool


class Bound(NamedTuple):
    """What one call does, in order."""

    code: str
    buffers: tuple[Scratch, ...]
    steps: tuple[Fill | Step, ...]
    outputs: tuple[tuple[str, tuple[int, ...], torch.dtype], ...]


def work_out(plan: Plan, given: Mapping[str, torch.Tensor], dims: Mapping[str, int]) -> Call:
    """Find sizes, dtypes and build of a call.

    Raises:
        ValueError: the tensors do not fit the task.
    """
    dtypes: dict[str, torch.dtype] = {}
    for item in plan.inputs:
        if item.name not in given:
            if not item.optional:
                raise ValueError(f"{plan.task} needs the tensor {item.name}.")
            continue
        found = given[item.name].dtype
        fixed = item.dtype not in plan.variables
        wanted = getattr(torch, item.dtype) if fixed else dtypes.setdefault(item.dtype, found)
        if found != wanted:
            raise ValueError(f"{item.name} is {found}; {plan.task} takes {wanted}.")
    tensors: tuple[Input | Output, ...] = (*plan.inputs, *plan.outputs)
    values: dict[str, int] = solve(plan, {name: tuple(tensor.shape) for name, tensor in given.items()}, dims)
    absent = {item.name for item in plan.inputs if item.name not in given}
    values |= {f"has_{item.name}": int(item.name not in absent) for item in tensors}
    values |= {f"size({item.name})": dtype_of(item.dtype, dtypes).itemsize for item in (*tensors, *plan.buffers)}
    names = Names({**values, "SMS": plan.sms}, plan.derived)
    if plan.requires is not None and not plan.requires.value(names):
        return Call(names, dtypes, None, f"`{plan.requires.text}` does not hold")
    bound = tuple(str(dtypes[name]).removeprefix("torch.") for name in plan.variables)
    key = (*(names[name] for name in plan.constants), *bound)
    build = plan.builds.get(key)
    shown = zip((*plan.constants, *plan.variables), key, strict=True)
    what = ", ".join(f"{name} = {value}" for name, value in shown)
    return Call(names, dtypes, build, "" if build else f"there is no build for {what}")


def bind(plan: Plan, call: Call, resident: Callable[[Build, Entry, int, int], int]) -> Bound:
    """Evaluate everything for one call.

    Args:
        plan: The kernel's.
        call: One that a build takes.
        resident: (build, entry, threads, bytes of dynamic shared memory) -> blocks that are on the GPU at once.

    Raises:
        ValueError: a size exceeds a limit.
    """
    build = call.build
    assert build is not None
    buffers = []
    for buffer in plan.buffers:
        nbytes = prod(extent(call.names) for extent in buffer.shape) * dtype_of(buffer.dtype, call.dtypes).itemsize
        if nbytes < 0:
            raise ValueError(f"{plan.task}: the buffer {buffer.name} has {nbytes} bytes")
        buffers.append(Scratch(buffer.name, nbytes, buffer.init, buffer.prepared))
    steps: list[Fill | Step] = []
    for step in plan.steps:
        if isinstance(step, Fill):
            if step.when is None or step.when(call.names):
                steps.append(step)
            continue
        for index in range(1 if step.repeat is None else step.repeat(call.names)):
            names = call.names if step.repeat is None else call.names.more(i=index)
            if step.when is None or step.when(names):
                steps += _launches(plan, step, names, build, resident)
    if len(steps) > _MOST_STEPS:
        raise ValueError(f"{plan.task}: one call takes more than {_MOST_STEPS} launches")
    outputs = tuple(
        (item.name, tuple(extent.value(call.names) for extent in item.shape), dtype_of(item.dtype, call.dtypes))
        for item in plan.outputs
    )
    return Bound(build.code, tuple(buffers), tuple(steps), outputs)


def _launches(
    plan: Plan, launch: Launch, names: Names, build: Build, resident: Callable[[Build, Entry, int, int], int]
) -> list[Step]:
    """The launch, or nothing where its grid is empty."""
    entry = build.entries[launch.kernel]
    block = _three(launch.block, names)
    shared = launch.shared(names) if launch.shared else 0
    if not 0 <= shared <= plan.most_shared:
        raise ValueError(f"{launch.kernel}: {shared} bytes of dynamic shared memory")
    if not all(1 <= extent <= most for extent, most in zip(block, _MOST_BLOCK, strict=True)):
        raise ValueError(f"{launch.kernel}: a block of {block}")
    if prod(block) > _MOST_THREADS:
        raise ValueError(f"{launch.kernel}: a block of {prod(block)} threads")
    # Asked of the driver only where the plan reads it.
    asking = {**names.derived, "RESIDENT": lambda _: resident(build, entry, prod(block), shared)}
    names = Names(names, asking)
    grid = _three(launch.grid, names)
    if not all(0 <= extent <= most for extent, most in zip(grid, _MOST_GRID, strict=True)):
        raise ValueError(f"{launch.kernel}: a grid of {grid}")
    if 0 in grid:
        return []
    if launch.cooperative and prod(grid) > names["RESIDENT"]:
        raise ValueError(f"{launch.kernel}: a cooperative grid of {prod(grid)}; {names['RESIDENT']} blocks fit at once")
    args = tuple(item if isinstance(item, str) else item(names) for item in launch.args)
    return [Step(entry, grid, block, shared, args, launch.cooperative, launch.prepare)]


def packed(step: Step, addresses: Mapping[str, int]) -> list[bytes]:
    """Parameters as bytes, as wide as the kernel declares them; an absent tensor is a null pointer."""
    return [
        addresses.get(arg, 0).to_bytes(8, "little")
        if isinstance(arg, str)
        else arg.to_bytes(size, "little", signed=True)
        for arg, size in zip(step.args, step.entry.params, strict=True)
    ]


def dtype_of(name: str, bound: Mapping[str, torch.dtype]) -> torch.dtype:
    """What a dtype's name or a dtype variable stands for."""
    found: Any = bound[name] if name in bound else getattr(torch, name)
    dtype: torch.dtype = found
    return dtype


def _three(extents: Sequence[Callable[[Names], int]], names: Names) -> tuple[int, int, int]:
    values = [extent(names) for extent in extents] + [1, 1]
    return values[0], values[1], values[2]
