"""What answers are held against: the oracle's, and beside it an honest result whose nearness is no luck.

An honest result's error says what its precision costs, but it is one of several: another order of the same operations,
or a fused one, errs otherwise. Where terms cancel, the reference may come near by luck: a single element in one case of
five three times nearer than another honest kernel, and second differences of a smooth field to the last bit, since
each of its steps happens to be exact. So a kernel that is too far off by the reference alone is held against the
farthest, element by element, of several results, each of whose steps errs by a last place. Where the reference makes
choices, an error in the scores of a tie moves the answer by any amount: what moves far counts for nothing there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.outcome import WorkloadCheck, Wrong
from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.compare import Explainer, compare
from warpsmith.tasks.choices import chooses
from warpsmith.tasks.convert import narrowed, widened
from warpsmith.tasks.jitter import A_ROUNDING
from warpsmith.tasks.oracle import honest, jittered, oracle

Inputs = Mapping[str, HostTensor]
Answer = Mapping[str, NDArray[Any]]

OTHERS = range(200, 203)
"""Seeds of the other honest results."""
MOST = 0.05
"""Of an output's RMS, as far as those others count, and of a part's at bench shapes: so much that an element counted
twice or left out shows where float32 hardly bears the inputs at all."""


@dataclass(frozen=True)
class Standard:
    """One workload's inputs, and what is right for them.

    Raises:
        TaskError: the reference raised, or returned something that does not fit the declared outputs.
    """

    task: Task
    workload: Workload
    inputs: Inputs

    @cached_property
    def expected(self) -> dict[str, NDArray[Any]]:
        return oracle(self.task, self.workload, self.inputs)

    @cached_property
    def honest(self) -> dict[str, HostTensor]:
        return honest(self.task, self.workload, self.inputs)

    @cached_property
    def _farthest(self) -> dict[str, HostTensor]:
        return farthest(self.task, self.workload, self.inputs, self.expected, self.honest)

    def verdict(
        self, got: Mapping[str, HostTensor], *, seed: int = 0, explain: Explainer | None = None
    ) -> WorkloadCheck | Wrong:
        """Decide whether outputs are right: `compare` says how.

        Args:
            got: The run's outputs, and in-place inputs; those that the reference does not return are scratch.
            seed: Of the inputs; recorded in the check.
            explain: As for `compare`.
        """
        asked = self.task, self.workload, {name: value for name, value in got.items() if name in self.expected}
        found = compare(*asked, self.expected, self.honest, inputs=self.inputs, seed=seed)
        if isinstance(found, WorkloadCheck):
            return found
        return compare(*asked, self.expected, self._farthest, inputs=self.inputs, seed=seed, explain=explain)


def farthest(
    task: Task,
    workload: Workload,
    inputs: Inputs,
    expected: Answer,
    first: Mapping[str, HostTensor],
    rows: NDArray[np.int64] | None = None,
) -> dict[str, HostTensor]:
    """The farthest from what is expected, by element, of several honest results: of `first`, which `honest` gave, and
    others; of all rows or of the given ones.
    """
    found, flips = dict(first), chooses(task)
    floats = [name for name, tensor in found.items() if tensor.dtype.is_floating]
    for seed in OTHERS if floats else ():
        moved = jittered(task, workload, inputs, seed, places=A_ROUNDING, rows=rows)
        for name in floats:
            found[name] = _farther(expected[name], found[name], moved[name], flips=flips)
    return found


@np.errstate(over="ignore", invalid="ignore")
def _farther(expected: NDArray[Any], one: HostTensor, other: HostTensor, *, flips: bool) -> HostTensor:
    """By element, of two results the one farther from what is expected; the first where either is not finite, and, with
    `flips`, where the other is farther than MOST.
    """
    here, there = widened(one), widened(other)
    finite = np.isfinite(here) & np.isfinite(there) & np.isfinite(expected)
    right = np.where(finite, expected, 0.0)
    most = MOST * float(np.sqrt(np.square(right).sum() / max(finite.sum(), 1)))
    if flips:
        finite &= np.abs(there - right) <= most
    there = np.clip(there, right - most, right + most)
    return narrowed(np.where(finite & (np.abs(there - expected) > np.abs(here - expected)), there, here), one.dtype)
