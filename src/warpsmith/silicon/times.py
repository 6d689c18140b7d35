"""What every kernel takes at its task's bench shapes, measured beside modelled, with counters and baselines."""

from __future__ import annotations

from functools import partial
from typing import Any

from warpsmith.core.outcome import Failure
from warpsmith.core.profile import Profile
from warpsmith.core.task import Task, Workload
from warpsmith.profiler.timing import Timing
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.device.baselines import names_of
from warpsmith.sandbox.device.duel import timed_request
from warpsmith.sandbox.device.lowering import lower
from warpsmith.sandbox.device.timer import TimedRun, unsteady
from warpsmith.sandbox.gate.bench import Bench
from warpsmith.silicon.box import Box, Unit
from warpsmith.silicon.rig import SEED, Rig, Subject

TIMES, COUNTERS = "times.json", "counters.json"
SECONDS = 0.6
"""Of samples for one kernel at one workload."""


def time_all(rig: Rig, box: Box, subjects: tuple[Subject, ...]) -> None:
    """The step: every kernel at every bench workload, round after round so that each task has some."""
    for subject in subjects:
        for workload in subject.task.bench:
            name = f"{subject.name}/{workload.name}"
            box.unit(TIMES, name, partial(time_kernel, rig, subject, workload))


def model_all(rig: Rig, box: Box, subjects: tuple[Subject, ...]) -> None:
    """The step: modelled times of the same kernels; the emulator's work, so it comes after what only a GPU can do."""
    for subject in subjects:
        box.unit(TIMES, f"model/{subject.name}", partial(model, rig, subject), needs=15)


def baseline_all(rig: Rig, box: Box, subjects: tuple[Subject, ...]) -> None:
    """The step: every task's baselines at its bench workloads, eager first of all tasks."""
    tasks = list({subject.task.name: subject.task for subject in subjects}.values())
    most = max((len(names_of(task)) for task in tasks), default=0)
    wanted = [(task, names_of(task)[turn]) for turn in range(most) for task in tasks if turn < len(names_of(task))]
    for task, baseline in wanted:
        for workload in task.bench:
            name = f"baseline/{task.name}/{task.source_digest[:8]}/{workload.name}/{baseline}"
            box.unit(TIMES, name, partial(time_baseline, rig, box, task, workload, baseline), needs=20)


def count_all(rig: Rig, box: Box, subjects: tuple[Subject, ...]) -> None:
    """The step: counters of every kernel at its first bench workload, in one call of ncu each."""
    for subject in subjects:
        name = subject.name
        box.unit(COUNTERS, name, partial(count, rig, box, subject), needs=30)


def time_kernel(rig: Rig, subject: Subject, workload: Workload) -> Unit:
    """Cold times on rotating inputs."""
    builds = rig.built(subject)
    if not isinstance(builds, Builds):
        return {"failed": getattr(builds, "message", "")}
    if not builds.inside(workload):
        return {"failed": "outside `requires`"}
    run = rig.timer.time(lambda number: timed_request(subject.task, builds, workload, SEED + number), seconds=SECONDS)
    if not isinstance(run, TimedRun):
        return {"failed": run.message if isinstance(run, Failure) else run.kind}
    loose = unsteady(run.timing)
    return {
        "subject": subject.name,
        "task": subject.task.name,
        "kernel": subject.candidate.identity,
        "origin": subject.origin,
        "workload": workload.name,
        "results repeat": loose is None,
        **columns(run.timing),
    }


def model(rig: Rig, subject: Subject) -> Unit:
    """Modelled times and bounds at every bench workload."""
    builds = rig.built(subject)
    if not isinstance(builds, Builds):
        return {"failed": getattr(builds, "message", "")}
    profile = Bench(subject.task, builds, rig.emulator, SEED).profile(subject.candidate)
    if not isinstance(profile, Profile):
        return {"failed": getattr(profile, "message", "")}
    return {
        "workloads": {
            item.workload: {"modelled us": item.duration.us, "bound us": item.bound.us, "bound by": item.bound.limit}
            for item in profile.workloads
        }
    }


def time_baseline(rig: Rig, box: Box, task: Task, workload: Workload, baseline: str) -> Unit:
    """A baseline on the kernels' own input sets."""
    limit = max(20.0, box.left + 60.0)
    answer = rig.baselines.time(task, workload, baseline, SEED, seconds=SECONDS, limit=limit)
    found: dict[str, Any] = {"task": task.name, "workload": workload.name, "baseline": baseline}
    if answer.timing is None:
        return {**found, "absent": answer.absent}
    told = {"version": answer.version, "computes otherwise": answer.note, "relative l2": answer.error}
    return {**found, **told, **columns(answer.timing)}


def count(rig: Rig, box: Box, subject: Subject) -> Unit:
    """Every wanted metric, or the reason there is none."""
    builds = rig.built(subject)
    if not isinstance(builds, Builds):
        return {"failed": getattr(builds, "message", "")}
    workload = next((item for item in subject.task.bench if builds.inside(item)), None)
    if workload is None:
        return {"failed": "outside `requires`"}
    call = lower(timed_request(subject.task, builds, workload, SEED))
    report = rig.tools.counters([call], seconds=max(30.0, box.left + 30.0))
    return {"workload": workload.name, **report.model_dump(mode="json")}


def columns(timing: Timing) -> dict[str, Any]:
    """A Timing as columns of samples: a tenth of the text of one object a sample."""
    duration = timing.duration
    states = [sample.after for sample in timing.samples]
    return {
        "us": duration.us,
        "low us": duration.low_us,
        "high us": duration.high_us,
        "source": duration.source.value,
        "device": timing.device,
        "plan": timing.plan.model_dump(mode="json"),
        "empty event us": timing.empty_event_us,
        "empty host us": timing.empty_host_us,
        "throttled": timing.throttled,
        "notes": list(timing.notes),
        "outputs": [{"set": it.input_set, "calls": it.calls, "results": len(it.digests)} for it in timing.checks],
        "samples": {
            "set": [sample.input_set for sample in timing.samples],
            "event us": [round(sample.event_us, 3) for sample in timing.samples],
            "bracket us": [round(sample.bracket_us, 2) for sample in timing.samples],
            "host us": [round(sample.host_us, 2) for sample in timing.samples],
            "sm mhz": [state.sm_mhz for state in states],
            "memory mhz": [state.memory_mhz for state in states],
            "power w": [state.power_w for state in states],
            "temperature c": [state.temperature_c for state in states],
            "reasons": ["+".join(state.reasons) for state in states],
        },
    }
