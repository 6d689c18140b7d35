"""Inputs at every amplitude that their dtype holds: a kernel may do less where values are large or small.

A whole input takes values of a few octaves, so that nothing small hides beside something large. What it is computed
with is scaled, too, where that is needed for the outputs to stay finite, and to show the input at all. Last, inputs
are scaled until the outputs nearly reach the largest value of their dtype.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import floor, log2

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.altered import Inputs, well_posed
from warpsmith.sandbox.verify.exact import only_chooses
from warpsmith.sandbox.verify.kinds import Kind, Range, kind_of
from warpsmith.sandbox.verify.steady import Answer, as_steady
from warpsmith.tasks.convert import finite_limit, narrowed, smallest, unit_roundoff, widened
from warpsmith.tasks.oracle import floating, honest, oracle
from warpsmith.tasks.sample import make_inputs

STEP = 4
"""Octaves from one amplitude to the next; the values of one take one more."""
REACH = 32
"""Octaves from what a distribution draws, up and down; fewer where the dtype ends before."""
WHOLE_REACH = 1 << 11
"""The same for a reference that chooses among values and computes none: nothing overflows on the way."""
LEAST, MOST, WORK = 4, 36, 4e6
"""Amplitudes that an evaluation tries: at least so many; more while they cost fewer operations and bytes than that."""
TRIES = 8
"""Ways to scale the other inputs that are tried for one amplitude."""
SHOWS = 0.05
"""Relative change of an output, when the input is halved, from which the output shows the input."""
FAINTLY = 1e-6
"""The same for inputs as drawn: one that shows less at first is not looked at."""
HONEST = 8.0
"""Roundings of an output's dtype by which the honest result may be off: else there is little left to compare."""

HIGHEST = 0.9
"""Of the largest finite value, that outputs may take."""


@dataclass(frozen=True, slots=True)
class Step:
    """One amplitude of one input."""

    name: str
    octaves: int
    """By which its largest value grows."""
    spread: bool = True
    """Whether its values are spread evenly over the octaves below that; else they are scaled as they are."""
    reach: int = REACH
    """Octaves by which any input may grow and shrink."""


def at_amplitudes(task: Task, workload: Workload, seed: int) -> Iterator[tuple[Workload, dict[str, HostTensor]]]:
    """What an evaluation of this seed runs at a workload: it and its inputs, at each amplitude that can be judged."""
    inputs = make_inputs(task, workload, seed)
    for step in ladder(task, workload, inputs, seed):
        found = at_amplitude(task, workload, inputs, step, seed)
        if found is not None:
            yield found


def ladder(task: Task, workload: Workload, inputs: Inputs, seed: int) -> list[Step]:
    """The amplitudes that an evaluation tries at a workload: the ends of each range first, the rest shuffled."""
    ends: list[Step] = []
    rest: list[Step] = []
    answer = oracle(task, workload, inputs)
    room, reach = _room(task, workload, answer), WHOLE_REACH if only_chooses(task, workload, inputs) else REACH
    for name, tensor in inputs.items():
        limits = _limits(task, name, tensor, seed, reach)
        if limits is None or not _shows(task, workload, inputs, name, answer, FAINTLY):
            continue
        low, high = limits
        steps = sorted({low, high, *range(high, low, -STEP)})
        ends += [Step(name, octaves, reach=reach) for octaves in {steps[0], steps[-1]}]
        rest += [Step(name, octaves, reach=reach) for octaves in steps[1:-1]]
        rest += [Step(name, room, spread=False, reach=reach)] if room and high else []
    draw = random.Random(f"amplitudes {seed}")  # noqa: S311 - seeded on purpose
    ends.sort(key=lambda step: (step.name, step.octaves))
    draw.shuffle(ends)
    draw.shuffle(rest)
    cost = task.cost(dims_of(task, workload))
    return (ends + rest)[: min(max(LEAST, int(WORK / max(cost.work, 1))), MOST)]


def at_amplitude(
    task: Task, workload: Workload, inputs: Inputs, step: Step, seed: int
) -> tuple[Workload, dict[str, HostTensor]] | None:
    """The inputs with one of them at another amplitude, and the workload named after it; None where no output could be
    judged.

    Args:
        task: Its reference says whether one can.
        workload: What `inputs` were drawn for.
        inputs: All of them.
        step: One of `ladder`'s.
        seed: Draws values, and the order in which ways to scale the other inputs are tried.
    """
    draw = np.random.default_rng([seed, step.octaves + WHOLE_REACH])
    limits = {
        name: _limits(task, name, tensor, seed, step.reach) for name, tensor in inputs.items() if name != step.name
    }
    others = [name for name, found in limits.items() if found is not None]
    ways = (
        [*product((0, step.octaves, -step.octaves, -step.octaves // 2), repeat=len(others))]
        if step.octaves
        else [(0,) * len(others)]
    )
    draw.shuffle(ways)
    ways.sort(key=lambda way: sum(map(bool, way)))
    tensor = inputs[step.name]
    chosen = _spread(tensor, step.octaves, draw, step.reach) if step.spread else _loud(task, workload, inputs, step)
    for way in ways[: TRIES if step.spread else 1]:
        given = {**inputs, step.name: chosen}
        for other, by in zip(others, way, strict=True):
            low, high = limits[other] or (0, 0)
            given[other] = _scaled(inputs[other], min(max(by, low), high))
        here = oracle(task, workload, given)
        if not _is_sound(task, workload, given, here) or not _shows(task, workload, given, step.name, here):
            continue
        posed = well_posed(task, workload, given, step.name, draw, HIGHEST, here)
        if posed and as_steady(task, workload, inputs, given, here):
            return replace(workload, name=f"{workload.name}, {step.name} times 2^{step.octaves}"), given
    return None


def _limits(task: Task, name: str, tensor: HostTensor, seed: int, reach: int) -> tuple[int, int] | None:
    """Octaves by which an input may shrink and grow; None where its values might obey a rule."""
    kind = kind_of(task, name, tensor)
    if kind is Kind.FREE:
        return _range(tensor, reach)
    if kind is not Kind.ONE_SIGN:
        return None
    low, high = _range(tensor, reach)
    return low, high if Range.drawn(task, name, tensor, task.verify, seed).may_grow else 0


def _loud(task: Task, workload: Workload, inputs: Inputs, step: Step) -> HostTensor:
    """The input scaled until the outputs nearly reach their largest value, whatever they were made of before."""
    tensor = inputs[step.name]
    once = _scaled(tensor, step.octaves)
    more = _room(task, workload, oracle(task, workload, {**inputs, step.name: once}))
    return _scaled(tensor, min(step.octaves + more, _range(tensor)[1]))


def _room(task: Task, workload: Workload, answer: Answer) -> int:
    """Octaves by which the outputs may grow."""
    found = [
        floor(log2(HIGHEST * finite_limit(dtype) / largest))
        for name, dtype in floating(task, workload, answer).items()
        if answer[name].size and 0 < (largest := float(np.abs(answer[name]).max())) < np.inf
    ]
    return max(min(found, key=abs), 0) if found and max(found) <= REACH else 0


def _range(tensor: HostTensor, reach: int = REACH) -> tuple[int, int]:
    """Octaves by which a tensor's largest value may shrink and grow, to some steps above nothing and to the end."""
    largest = float(np.abs(widened(tensor)).max())
    least = smallest(tensor.dtype)
    high = floor(log2(finite_limit(tensor.dtype) / largest))
    low = -floor(log2(largest / (least * 2 ** (STEP + 1))))
    return max(min(low, 0), -reach), min(max(high, 0), reach)


def _spread(tensor: HostTensor, octaves: int, draw: np.random.Generator, reach: int) -> HostTensor:
    """Magnitudes spread over the octaves below the largest, one of which is the largest; the same zeros and signs. What
    is only chosen among has rows of one sign, too: no positive value hides there what becomes of negative ones.
    """
    values = widened(tensor)
    if reach == WHOLE_REACH and values.min() < 0 < values.max() and values.ndim > 1:
        values[1::3], values[2::3] = -np.abs(values[1::3]), np.abs(values[2::3])
    top = min(float(np.abs(values).max()) * 2.0**octaves, finite_limit(tensor.dtype))
    if octaves == _range(tensor, reach)[1] < reach:
        top = finite_limit(tensor.dtype)
    magnitudes = top * 2.0 ** -(draw.random(values.shape) * (STEP + 1))
    magnitudes.reshape(-1)[draw.integers(magnitudes.size)] = top
    return narrowed(np.sign(values) * magnitudes, tensor.dtype)


def _scaled(tensor: HostTensor, octaves: int) -> HostTensor:
    limit = finite_limit(tensor.dtype)
    return narrowed(np.clip(widened(tensor) * 2.0**octaves, -limit, limit), tensor.dtype) if octaves else tensor


def _is_sound(task: Task, workload: Workload, given: Inputs, here: Answer) -> bool:
    """Whether the reference's answer fits the outputs' dtypes, and the honest result is near it."""
    floats = floating(task, workload, here)
    for name, dtype in floats.items():
        value = here[name]
        if not value.size or not value.any() or not np.isfinite(value).all():
            return False
        if np.abs(value).max() > HIGHEST * finite_limit(dtype):
            return False
    ideal = honest(task, workload, given)
    return all(
        _apart(here[name], widened(ideal[name])) <= max(HONEST * unit_roundoff(dtype), 1e-5)
        for name, dtype in floats.items()
    )


def _shows(task: Task, workload: Workload, given: Inputs, name: str, here: Answer, least: float = SHOWS) -> bool:
    """Whether some output moves by `least` at least, relative, when the input is halved.

    Where all are integers: whether so many of them change when its values change places.
    """
    floats = floating(task, workload, here)
    if floats:
        there = oracle(task, workload, {**given, name: _scaled(given[name], -1)})
        return any(_apart(here[output], there[output]) >= least for output in floats)
    tensor = given[name]
    rolled = HostTensor(tensor.dtype, tensor.shape, np.roll(tensor.array, 1))
    there = oracle(task, workload, {**given, name: rolled})
    return any(value.size and (value != there[output]).mean() >= least for output, value in here.items())


def _apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Relative L2 distance; infinite where the second is not finite, none from nothing."""
    if not np.isfinite(second).all():
        return float("inf")
    if not first.size or not first.any():
        return 0.0
    scale = float(np.abs(first).max())
    return float(np.linalg.norm((first - second) / scale) / np.linalg.norm(first / scale))
