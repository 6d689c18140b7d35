"""How small a fault a task's comparison still catches: faults of growing size planted into right results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.outcome import Wrong
from warpsmith.core.task import Task
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.measure import REGION
from warpsmith.sandbox.verify.standard import Standard
from warpsmith.tasks.convert import narrowed, widened
from warpsmith.tasks.sample import make_inputs

Floats = NDArray[np.float64]
Plant = Callable[[Floats, float], Floats]

SIZES = tuple(2.0**-step for step in range(14, -4, -1))
"""Fault sizes tried, smallest first."""


@dataclass(frozen=True, slots=True)
class Sharpness:
    """The smallest caught fault of one kind in one output."""

    output: str
    fault: str
    """`every value off by this share of itself`."""
    size: float | None
    """A power of two, caught at one verify workload at least, where a kernel with the fault is refused; None: none."""


def _scaled(values: Floats, size: float) -> Floats:
    return values * (1 + size)


def _region(values: Floats, size: float) -> Floats:
    """The last REGION values in memory."""
    wrong = values.copy()
    wrong.reshape(-1)[-REGION:] *= 1 + size
    return wrong


def _single(values: Floats, size: float) -> Floats:
    """A value about as large as the output's RMS, by a multiple of that."""
    wrong = values.copy()
    finite = np.where(np.isfinite(values), values, 0.0)
    rms = float(np.sqrt(np.mean(np.square(finite))))
    wrong.reshape(-1)[int(np.abs(np.abs(finite) - rms).argmin())] += size * rms
    return wrong


FAULTS: dict[str, Plant] = {
    "every value off by this share of itself": _scaled,
    f"{REGION} neighbouring values off by this share of themselves": _region,
    "a single value off by this share of the output's RMS": _single,
}


MOVED = "this share of its values replaced by their neighbours"
"""The fault planted into outputs that a check of the task's own judges."""


def sharpness(task: Task, *, seed: int = 0) -> tuple[Sharpness, ...]:
    """Try every kind of fault in every floating output that is compared, and one of its own where checks judge.

    Integers that are compared match exactly.
    """
    found: dict[tuple[str, str], float | None] = {}
    for workload in task.verify:
        inputs = make_inputs(task, workload, seed)
        standard = Standard(task, workload, inputs)
        for name, tensor in standard.honest.items():
            if not tensor.array.size or not (tensor.dtype.is_floating or name in task.judged):
                continue
            kinds = (
                {MOVED: _moved} if name in task.judged else {fault: _rounded(plant) for fault, plant in FAULTS.items()}
            )
            for fault, plant in kinds.items():
                smallest = found.get((name, fault))
                caught = _smallest(standard, name, plant, smallest)
                found[name, fault] = caught if caught is not None else smallest
    return tuple(Sharpness(name, fault, size) for (name, fault), size in found.items())


Spoil = Callable[[HostTensor, float], HostTensor | None]
"""A right output with a fault of a size; None where it is too small to have one."""


def _smallest(standard: Standard, name: str, spoil: Spoil, known: float | None) -> float | None:
    """The smallest size that this workload catches, of those smaller than what others catch."""
    right = standard.honest
    for size in SIZES:
        if known is not None and size >= known:
            return None
        wrong = spoil(right[name], size)
        if wrong is None:
            continue
        if isinstance(standard.verdict({**right, name: wrong}), Wrong):
            return size
    return None


def _rounded(plant: Plant) -> Spoil:
    return lambda tensor, size: narrowed(plant(widened(tensor), size), tensor.dtype)


def _moved(tensor: HostTensor, share: float) -> HostTensor | None:
    """Values evenly spread over those that differ from the next one in memory take its value."""
    values = tensor.array.reshape(-1).copy()
    following = np.roll(values, -1)
    places, count = np.flatnonzero(values != following), int(min(share, 1.0) * values.size)
    if not count or not places.size:
        return None
    chosen = places[np.unique(np.linspace(0, places.size - 1, min(count, places.size)).astype(np.int64))]
    values[chosen] = following[chosen]
    return HostTensor(tensor.dtype, tensor.shape, values.reshape(tensor.shape))
