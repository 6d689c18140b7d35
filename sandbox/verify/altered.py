"""Values that a task's distributions never draw: equal rows, zeros, one sign, amplitudes of another order.

A kernel may do less where its inputs look unlike those that checks draw, and a user's data look otherwise. Floating
inputs of both signs may hold any numbers, so drawn ones are altered; the reference says what is right for them, too.
Where it answers a change in the last bit with a large one (ties, the variance of a constant), no kernel could be
judged, and the alteration is left out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Role, Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.tasks.convert import finite_limit, narrowed, unit_roundoff, widened
from warpsmith.tasks.oracle import oracle

Floats = NDArray[np.float64]
Inputs = Mapping[str, HostTensor]

LEAST, WORK = 4, 2e7
"""Alterations that an evaluation tries: at least so many; more while they cost fewer operations and bytes than that."""
TOGETHER = 3
BOTH_SIGNS = 0.1
"""Share of an input that must be positive, and negative, to take it for one that may hold anything."""
CONDITION = 16.0
"""Roundings of the inputs by which an output may move when each input moves by one."""
TRIES = 4
"""Moves of an input that whole results must bear: a tie may fall as before by chance."""


def _third(values: Floats, axis: int, draw: np.random.Generator) -> NDArray[np.bool_]:
    """About a third of the indices along an axis, at least one, as a mask that broadcasts."""
    extent = values.shape[axis]
    mask: NDArray[np.bool_] = draw.permutation(extent) < max(1, extent // 3)
    return np.moveaxis(mask.reshape(-1, *[1] * (values.ndim - 1)), 0, axis)


def _some(values: Floats, axis: int, draw: np.random.Generator, other: Floats | float) -> Floats:
    return np.where(_third(values, axis, draw), other, values)


def _scaled(values: Floats, draw: np.random.Generator, least: int, most: int) -> Floats:
    scaled: Floats = values * 2.0 ** draw.integers(least, most)
    return scaled


def _uniform(values: Floats, draw: np.random.Generator) -> Floats:
    """As large as before, every size as frequent as any other."""
    return draw.uniform(-1.0, 1.0, values.shape) * float(np.abs(values).max())


def _cancelling(values: Floats, draw: np.random.Generator) -> Floats:
    """Every odd place is the opposite of the one before it."""
    changed = values.copy()
    odd = changed[..., 1::2]
    odd[...] = -changed[..., : 2 * odd.shape[-1] : 2]
    return changed


ALTERATIONS: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "rows of zeros": lambda values, draw: _some(values, 0, draw, 0.0),
    "columns of zeros": lambda values, draw: _some(values, -1, draw, 0.0),
    "nine zeros in ten": lambda values, draw: np.where(draw.random(values.shape) < 0.9, 0.0, values),
    "equal rows": lambda values, draw: _some(values, 0, draw, values[:1]),
    "equal columns": lambda values, draw: np.broadcast_to(values[..., :1], values.shape),
    "one value throughout": lambda values, draw: np.full(values.shape, draw.choice(values[values != 0])),
    "one sign": lambda values, draw: np.abs(values) * (1 if draw.random() < 0.5 else -1),
    "one value a row": lambda values, draw: np.where(
        np.arange(values.shape[-1]) == draw.integers(values.shape[-1], size=(*values.shape[:-1], 1)), values, 0.0
    ),
    "an outlier column": lambda values, draw: np.where(
        np.arange(values.shape[-1]) == draw.integers(values.shape[-1]), values * 2.0 ** draw.integers(5, 9), values
    ),
    "rising rows": lambda values, draw: np.sort(values, axis=-1),
    "few whole values": lambda values, draw: np.clip(np.rint(values / np.abs(values).mean()), -2, 2),
    "rows of another amplitude": lambda values, draw: _some(values, 0, draw, values / 2.0 ** draw.integers(3, 9)),
    "faint values": lambda values, draw: _scaled(values, draw, -12, -7),
    "loud values": lambda values, draw: _scaled(values, draw, 4, 8),
    "a few outliers": lambda values, draw: np.where(draw.random(values.shape) < 0.01, 64.0 * values, values),
    "uniform values": _uniform,
    "neighbours that cancel": _cancelling,
    "a third of next to nothing": lambda values, draw: np.where(draw.random(values.shape) < 0.3, 1e-6 * values, values),
}
"""What becomes of one input."""


def chosen_alterations(task: Task, workload: Workload, seed: int) -> list[tuple[str, str]]:
    """(input, alteration) pairs that an evaluation tries at a workload, drawn from its seed."""
    floating = [tensor.name for tensor in task.inputs if task.dtype_of(tensor, workload).is_floating]
    cost = task.cost(dims_of(task, workload))
    many = max(LEAST, int(WORK / max(cost.flops + cost.bytes, 1)))
    pairs = [*product(floating, ALTERATIONS)]
    return random.Random(f"altered {seed}").sample(pairs, min(many, len(pairs)))  # noqa: S311 - seeded on purpose


def chosen_together(chosen: Sequence[tuple[str, str]], seed: int) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Pairs of them, of two inputs each, that are tried at once: about one for every `TOGETHER` tried alone."""
    twos = [(one, other) for one, other in combinations(chosen, 2) if one[0] != other[0]]
    return random.Random(f"together {seed}").sample(twos, min(len(chosen) // TOGETHER, len(twos)))  # noqa: S311 - as above


def altered(
    task: Task, workload: Workload, inputs: Inputs, pair: tuple[str, str], seed: int
) -> tuple[Workload, dict[str, HostTensor]] | None:
    """The inputs with one of them changed, and the workload named after it; None where nothing could be judged then.

    Args:
        task: Its reference says whether it can.
        workload: What `inputs` were drawn for.
        inputs: All of them.
        pair: Name of an input, and one of ALTERATIONS.
        seed: Draws how.
    """
    name, alteration = pair
    draw = np.random.default_rng([seed, [*ALTERATIONS].index(alteration)])
    tensor = inputs.get(name)
    if tensor is None or not is_free(task, name, tensor):
        return None
    limit = finite_limit(tensor.dtype)
    values = np.clip(ALTERATIONS[alteration](widened(tensor), draw), -limit, limit)
    given = {**inputs, name: narrowed(values, tensor.dtype)}
    if not well_posed(task, workload, given, name, draw):
        return None
    return replace(workload, name=f"{workload.name}, {name} with {alteration}"), given


def is_free(task: Task, name: str, tensor: HostTensor) -> bool:
    """Whether an input may hold any numbers, as far as its values tell."""
    if task.tensor(name).role is Role.HOST or not tensor.dtype.is_floating:  # type: ignore[union-attr]
        return False
    if not tensor.shape or tensor.array.size < 2:
        return False
    values = widened(tensor)
    return bool(min((values > 0).mean(), (values < 0).mean()) >= BOTH_SIGNS and np.isfinite(values).all())


def well_posed(
    task: Task,
    workload: Workload,
    given: Inputs,
    name: str,
    draw: np.random.Generator,
    highest: float = 0.25,
    here: Mapping[str, NDArray[Any]] | None = None,
) -> bool:
    """Whether the reference is finite, nowhere zero alone, and moves no further than the input does.

    `highest` is the share of an output's largest finite value that it may reach, `here` its answer where it is known.
    """
    unit = unit_roundoff(given[name].dtype)
    here = oracle(task, workload, given) if here is None else here
    dtypes = {output.name: task.dtype_of(output, workload) for output in task.outputs}
    whole = any(not dtype.is_floating for dtype in dtypes.values())
    for _ in range(TRIES if whole else 1):
        there = oracle(task, workload, {**given, name: _moved(given[name], draw)})
        if not all(
            _alike(value, there[output], CONDITION * 2 * unit, highest * finite_limit(dtypes[output]))
            if output in dtypes and dtypes[output].is_floating
            else np.array_equal(value, there[output])
            for output, value in here.items()
        ):
            return False
    return True


def _moved(tensor: HostTensor, draw: np.random.Generator) -> HostTensor:
    """Every element to a neighbour of its dtype, or not; zeros to numbers next to nothing, so that they differ."""
    values = widened(tensor)
    steps = draw.integers(-1, 2, values.shape)
    faint = min(2.0**-20, unit_roundoff(tensor.dtype) / 16) * float(np.abs(values[values != 0]).min(initial=1.0))
    moved = np.where(values == 0, faint * steps, values * (1 + 2 * unit_roundoff(tensor.dtype) * steps))
    return narrowed(moved, tensor.dtype)


def _alike(first: NDArray[Any], second: NDArray[Any], most: float, limit: float) -> bool:
    if not first.size:
        return True
    if not np.isfinite(first).all() or np.abs(first).max() > limit:
        return False
    scale = float(np.sqrt(np.square(first).mean()))
    return scale > 0 and float(np.sqrt(np.square(first - second).mean())) <= most * scale
