"""Sizes that a task lists nowhere: a kernel need not run there, but where it does it is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from warpsmith.core.errors import KernelFileError
from warpsmith.core.outcome import CompileFailed, Failure, Outcome, OverBudget, Stage, Unsupported
from warpsmith.core.task import Workload
from warpsmith.sandbox.builds import Builds

LOUD = (CompileFailed, OverBudget, Unsupported)
"""Failures before anything runs: who asks for such a size is told, and gets no wrong result."""
PATIENCE = 4
"""Times the budget of a workload within what is listed. There, little is what a task's cost leaves out, such as what a
block does that has a row of one element, or a thousand experts to look through. Far beyond, that may be all."""


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
            note(f"not tried, since it cannot be launched: {_class(workload)} ({_first(why)})")


def excused(failure: Outcome | None, workload: Workload, note: Callable[[str], None]) -> bool:
    """Whether a run there says nothing of the kernel since it took too long, of which `note` is told."""
    late = isinstance(failure, OverBudget) and failure.stage is Stage.EMULATE
    if late:
        note(f"not judged, since a launch ran out of its budget of warp instructions: {_class(workload)}")
    return late


def _class(workload: Workload) -> str:
    return workload.name.removeprefix("hidden: ")


def _first(text: str) -> str:
    return text.splitlines()[0].rstrip(".")
