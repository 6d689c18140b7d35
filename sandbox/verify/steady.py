"""Whether float32 bears inputs: else no kernel could be judged on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.outcome import WorkloadCheck
from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.compare import compare
from warpsmith.tasks.convert import narrowed, widened
from warpsmith.tasks.oracle import honest, jittered, oracle

Answer = Mapping[str, NDArray[Any]]
JITTERS = 3
"""Times that errors are drawn for every step of the reference."""
FAR = range(-16, 17)
"""Last places of float32 by which values move for `bears`: several times what a kernel's own order of steps takes."""
FAR_JITTERS = range(200, 208)
"""Seeds of those."""


def as_steady(
    task: Task, workload: Workload, before: Mapping[str, HostTensor], given: Mapping[str, HostTensor], here: Answer
) -> bool:
    """Whether float32 bears the inputs `given`, or did not bear those they were made of, either; `here` as below."""
    return is_steady(task, workload, given, here) or not is_steady(
        task, workload, before, oracle(task, workload, before)
    )


def is_steady(task: Task, workload: Workload, given: Mapping[str, HostTensor], here: Answer) -> bool:
    """Whether an error in every step, as large as float32 makes one, is too small for the answer to be refused.

    Args:
        task: Its reference and tolerance.
        workload: What `given` was drawn for.
        given: All inputs.
        here: The oracle's answer.
    """
    moved = (jittered(task, workload, given, seed) for seed in range(JITTERS))
    return _are_right(task, workload, given, here, moved)


def bears(task: Task, workload: Workload, given: Mapping[str, HostTensor], here: Answer) -> bool:
    """Whether answers are right that are off by far more than float32 makes them, in each input and every step.

    Asked where a check of the task's own judges what is computed: what it allows is made for the values that the task
    draws, and these are others. Inputs move, too, since sums that cancel hide from an error of their result. Arguments
    as for `is_steady`.
    """

    def far(seed: int) -> dict[str, HostTensor]:
        draw = np.random.default_rng(seed)
        near = {name: _moved(tensor, draw) for name, tensor in given.items()}
        return jittered(task, workload, near, seed, places=FAR)

    return _are_right(task, workload, given, here, map(far, FAR_JITTERS))


def _are_right(
    task: Task,
    workload: Workload,
    given: Mapping[str, HostTensor],
    here: Answer,
    answers: Iterable[Mapping[str, HostTensor]],
) -> bool:
    ideal = honest(task, workload, given)
    return all(isinstance(compare(task, workload, one, here, ideal, inputs=given), WorkloadCheck) for one in answers)


def _moved(tensor: HostTensor, draw: np.random.Generator) -> HostTensor:
    """Every floating value some last places of float32 off, in as wide a dtype as that takes."""
    if not tensor.dtype.is_floating:
        return tensor
    steps = draw.integers(FAR.start, FAR.stop, tensor.shape)
    wide = DType.FLOAT64 if tensor.dtype is DType.FLOAT64 else DType.FLOAT32
    return narrowed(widened(tensor) * (1 + steps * float(np.finfo(np.float32).eps)), wide)
