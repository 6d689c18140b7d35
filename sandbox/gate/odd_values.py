"""Values that no distribution draws: first where little is to be done, then where there is much."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Protocol

from warpsmith.core.task import Task, Workload
from warpsmith.sandbox.gate.trials import SCHEDULES
from warpsmith.sandbox.verify.altered import Pair, ways
from warpsmith.sandbox.verify.at_size import INPUTS, ways_at_size
from warpsmith.sandbox.verify.hidden import BENCH_SIZED


class Bears(Protocol):
    """Runs a workload with inputs altered; False where nothing could be judged. A failure ends the evaluation."""

    def __call__(self, at: Workload, *pairs: Pair, schedules: int = SCHEDULES) -> bool: ...


def try_odd_values(
    task: Task,
    workloads: Sequence[Workload],
    cheap: Sequence[Workload],
    minted: Sequence[Workload],
    seed: int,
    bears: Bears,
) -> list[str]:
    """Everything that an evaluation of this seed tries, and what it was.

    Args:
        task: Its inputs.
        workloads: Verify workloads that the kernel handles.
        cheap: The cheaper ones of them.
        minted: Hidden workloads that ran; those that are bench-sized are tried, under one schedule.
        seed: Of the evaluation.
        bears: Runs each.
    """
    names = [
        " and ".join(f"{name} with {alteration}" for name, alteration in pairs)
        for at, pairs in ways(task, workloads, cheap, seed)
        if bears(at, *pairs)
    ]
    sized = [item for item in minted if item.name.startswith(BENCH_SIZED)]
    for at, pairs in ways_at_size(task, sized, seed):
        judged = (pair for pair in pairs if bears(at, pair, schedules=1))
        names += [f"{name} with {alteration} at {at.name}" for name, alteration in islice(judged, INPUTS)]
    return names
