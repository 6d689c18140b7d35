"""Which optional inputs each workload of a task leaves out: a distribution draws one always or never."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from warpsmith.core.errors import TaskError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Task, Workload
from warpsmith.tasks.sample import drawn_names


def with_presence(task: Task) -> Task:
    """The task, every workload of which says what its distribution leaves out.

    One draw tells it for a distribution; `make_inputs` holds every other draw to that.
    """
    if not task.optional:
        return task
    absent = {name: _absent(task, name) for name in {item.distribution for item in (*task.verify, *task.bench)}}

    def told(workloads: tuple[Workload, ...]) -> tuple[Workload, ...]:
        return tuple(replace(item, absent=absent[item.distribution]) for item in workloads)

    return replace(task, verify=told(task.verify), bench=told(task.bench))


def absent_from(task: Task, distribution: str) -> frozenset[str]:
    """Optional inputs that a distribution never draws; as the task's own workloads say, else by a draw."""
    for workload in (*task.verify, *task.bench):
        if workload.distribution == distribution:
            return workload.absent
    return _absent(task, distribution)


def _absent(task: Task, distribution: str) -> frozenset[str]:
    for workload in _where_to_draw(task, distribution):
        try:
            return task.optional - drawn_names(task, workload)
        except TaskError:
            continue  # It may not be made for these sizes; what is drawn for a run says what is wrong.
    return frozenset()


def _where_to_draw(task: Task, distribution: str) -> Iterator[Workload]:
    """Verify workloads, those of the distribution first and cheap ones before dear ones; then where it is used."""

    def order(workload: Workload) -> tuple[bool, float]:
        return workload.distribution != distribution, task.cost(dims_of(task, workload)).bytes

    for workload in sorted(task.verify, key=order):
        yield replace(workload, distribution=distribution)
    yield from (item for item in task.bench if item.distribution == distribution)
