"""A measured profile: the times of a GPU beside the counts and limits that the emulator and the model give."""

from __future__ import annotations

from collections.abc import Mapping

from warpsmith.core.outcome import Implausible, Stage
from warpsmith.core.profile import Profile, WorkloadProfile
from warpsmith.core.quantity import Bound, Source
from warpsmith.profiler.timing import Timing

FASTEST = 0.98
"""A measured time below this share of the bound is no measurement: clocks and peaks are known to a percent or two."""


def measured_profile(modelled: Profile, timings: Mapping[str, Timing]) -> Profile | Implausible:
    """Replace a profile's times by measured ones.

    Durations of calls become measured. Those of single launches, and their limits, stay what they were and say so.

    Args:
        modelled: of the same candidate and target.
        timings: by workload, one for each of the profile's.

    Raises:
        ValueError: a workload was not timed.
    """
    missing = [item.workload for item in modelled.workloads if item.workload not in timings]
    if missing:
        raise ValueError(f"not timed: {', '.join(missing)}")
    workloads = tuple(_measured(item, timings[item.workload]) for item in modelled.workloads)
    too_fast = _implausible(workloads)
    return too_fast or modelled.model_copy(update={"source": Source.MEASURED, "workloads": workloads})


def unmodelled_profile(
    candidate: str, target: str, bounds: Mapping[str, Bound], timings: Mapping[str, Timing]
) -> Profile | Implausible:
    """Measured times beside their bounds alone, of code that the emulator cannot run: nothing was counted.

    Args:
        candidate: `Candidate.identity`.
        target: Architecture's name.
        bounds: by workload.
        timings: by workload, the same ones.
    """
    workloads = tuple(
        WorkloadProfile(
            workload=name,
            duration=timings[name].duration,
            bound=bound,
            launches=(),
            notes=("not emulated: no counts and no modelled limits", *_how(timings[name])),
        )
        for name, bound in bounds.items()
    )
    too_fast = _implausible(workloads)
    return too_fast or Profile(candidate=candidate, target=target, source=Source.MEASURED, workloads=workloads)


def _implausible(workloads: tuple[WorkloadProfile, ...]) -> Implausible | None:
    """Light is faster than every kernel."""
    for item in workloads:
        if item.duration.us < FASTEST * item.bound.us:
            return Implausible(
                stage=Stage.PROFILE,
                message=f"{item.duration.us:.4g} us are less than {item.bound.limit} allows, {item.bound.us:.4g} us.",
                workload=item.workload,
            )
    return None


def _measured(item: WorkloadProfile, timing: Timing) -> WorkloadProfile:
    notes = (*item.notes, *_how(timing), f"modelled: {item.duration.us:.4g} us")
    return item.model_copy(update={"duration": timing.duration, "notes": notes})


def _how(timing: Timing) -> list[str]:
    """In what state and how often it was timed."""
    plan = timing.plan
    each = f" of {plan.calls} calls in a graph" if plan.calls > 1 else ""
    notes = [
        f"measured on {timing.device}: median of {len(timing.sound)} samples{each}, {plan.sets} input sets, L2 flushed"
    ]
    if timing.throttled:
        notes.append("the GPU was held down during every sample")
    return [*notes, *timing.notes]
