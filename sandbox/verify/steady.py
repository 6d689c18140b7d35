"""Whether float32 bears inputs: else no kernel could be judged on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from warpsmith.core.outcome import WorkloadCheck
from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.compare import compare
from warpsmith.tasks.oracle import honest, jittered, oracle

Answer = Mapping[str, NDArray[Any]]
JITTERS = 3
"""Times that errors are drawn for every step of the reference."""


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
    return are_right(task, workload, given, here, moved)


def are_right(
    task: Task,
    workload: Workload,
    given: Mapping[str, HostTensor],
    here: Answer,
    answers: Iterable[Mapping[str, HostTensor]],
) -> bool:
    """Whether the comparison accepts every one of some answers; the other arguments as for `is_steady`."""
    ideal = honest(task, workload, given)
    return all(isinstance(compare(task, workload, one, here, ideal, inputs=given), WorkloadCheck) for one in answers)
