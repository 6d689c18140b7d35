"""What an answer is held against: the oracle's, and an honest result beside it whose nearness is no luck.

An honest result's error says what its precision costs where there are many elements. Of a few it says little: where
they cancel, one in five single elements comes out three times nearer than another honest kernel's. Such an output
counts as the farthest, element by element, of several honest ones, each of whose steps errs by some last places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.tasks.convert import narrowed, widened
from warpsmith.tasks.oracle import honest, jittered, oracle

Inputs = Mapping[str, HostTensor]
Answer = Mapping[str, NDArray[Any]]

FEW = 32
"""Elements of an output among which chance evens out: the RMS of so many errors is three times that of as many others
once in a hundred million times where all are alike, of eight once in four hundred."""
OTHERS = range(200, 203)
"""Seeds of the other honest results."""
MOST = 0.02
"""Of the output's RMS, as far as those others count: where one of two equals is taken, they may be anywhere."""


def standard(task: Task, workload: Workload, inputs: Inputs) -> tuple[dict[str, NDArray[Any]], dict[str, HostTensor]]:
    """The `expected` and the `honest` result that `compare` asks for.

    Args:
        task: Its reference.
        workload: What `inputs` were drawn for.
        inputs: All of them.

    Raises:
        TaskError: the reference raised, or returned something that does not fit the declared outputs.
    """
    expected, ideal = oracle(task, workload, inputs), honest(task, workload, inputs)
    few = [name for name, tensor in ideal.items() if tensor.dtype.is_floating and 0 < tensor.array.size <= FEW]
    if few:
        others = [jittered(task, workload, inputs, seed) for seed in OTHERS]
        ideal |= {name: _farthest(expected[name], [ideal[name], *(one[name] for one in others)]) for name in few}
    return expected, ideal


def _farthest(expected: NDArray[Any], results: Sequence[HostTensor]) -> HostTensor:
    """By element the result that is farthest from what is expected; the first one where that is not finite."""
    first = results[0]
    farthest = widened(first)
    finite = np.isfinite(farthest) & np.isfinite(expected)
    right = np.where(finite, expected, 0.0)
    most = MOST * float(np.sqrt(np.square(right).mean()))
    for value in map(widened, results[1:]):
        there = np.clip(np.where(np.isfinite(value), value, right), right - most, right + most)
        farthest = np.where(finite & (np.abs(there - right) > np.abs(farthest - right)), there, farthest)
    return narrowed(farthest, first.dtype)
