"""What NVIDIA's tools add to an evaluation: compute-sanitizer's word on a call, and Nsight Compute's counters."""

from __future__ import annotations

from warpsmith.core.outcome import Failure, Outcome
from warpsmith.core.profile import LaunchProfile, Metric, WorkloadProfile
from warpsmith.core.quantity import Source
from warpsmith.profiler.ncu import CounterReport, LaunchMetrics, Rung
from warpsmith.sandbox.device.lowering import Lowered
from warpsmith.sandbox.device.sanitizer import Tool
from warpsmith.sandbox.device.tools import Tools

CLEAN = "compute-sanitizer clean"
"""What `sanitize` says where all of its checkers ran and found nothing."""


def sanitize(tools: Tools, call: Lowered) -> tuple[Outcome | None, str]:
    """compute-sanitizer's four checkers over one call: the candidate's failure, and in words what they came to."""
    said: list[str] = []
    for tool in Tool:
        answer = tools.check(tool, call)
        if isinstance(answer.failure, Failure):
            return answer.failure, f"{tool.value} failed"
        said.append(f"{tool.value} {'clean' if answer.ran else 'did not run: ' + answer.reason}")
    if len({text.partition(" ")[2] for text in said}) == 1:
        return None, f"compute-sanitizer {said[0].partition(' ')[2]}"
    return None, "; ".join(said)


def with_counters(workload: WorkloadProfile, report: CounterReport) -> WorkloadProfile:
    """Each launch with its counters, the rung and what is missing in the notes.

    Nsight Compute sees memsets as no launch; counts that do not match the plan's launches are kept in order.
    """
    notes = [*workload.notes, f"counters: {report.rung.value}" + (f": {report.reason}" if report.reason else "")]
    if report.rung is Rung.EVENTS:
        return workload.model_copy(update={"notes": (*notes, *filter(None, [report.remedy]))})
    counted = report.launches[len(report.launches) - len(workload.launches) :]
    launches = tuple(_with_metrics(launch, found) for launch, found in zip(workload.launches, counted, strict=False))
    lacking = {item.name: item.reason for found in counted for item in found.metrics if item.reason}
    notes += [f"{name}: {reason}" for name, reason in lacking.items()]
    return workload.model_copy(
        update={"launches": (*launches, *workload.launches[len(launches) :]), "notes": tuple(notes)}
    )


def _with_metrics(launch: LaunchProfile, found: LaunchMetrics) -> LaunchProfile:
    metrics = tuple(
        Metric(name=item.name, value=item.value, unit=item.unit or "1", source=Source.MEASURED)
        for item in found.metrics
        if item.value is not None
    )
    return launch.model_copy(update={"hardware": metrics})
