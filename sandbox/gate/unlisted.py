"""Sizes that a task lists nowhere: a kernel need not run there, but where it does it is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from warpsmith.core.errors import KernelFileError
from warpsmith.core.outcome import CompileFailed, Failure, OverBudget, Unsupported
from warpsmith.core.task import Workload
from warpsmith.sandbox.builds import Builds

LOUD = (CompileFailed, OverBudget, Unsupported)
"""Failures before anything runs: who asks for such a size is told, and gets no wrong result."""


def runnable(builds: Builds, workloads: Iterable[Workload], note: Callable[[str], None]) -> Iterator[Workload]:
    """Those of the workloads at which a kernel can be launched; `note` is told of the others."""
    for workload in workloads:
        try:
            problem = builds.build(workload)
            if problem is None:
                builds.plan(workload)
            why = problem.message if isinstance(problem, Failure) else ""
        except KernelFileError as error:
            problem, why = None, error.message
        if not why or not (problem is None or isinstance(problem, LOUD)):
            yield workload
        else:
            note(f"not tried, since it cannot be launched: {workload.name.removeprefix('hidden: ')} ({_first(why)})")


def _first(text: str) -> str:
    return text.splitlines()[0].rstrip(".")
