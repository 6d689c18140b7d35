"""`warpsmith profile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warpsmith.cli.options import (
    Device,
    DeviceArch,
    Json,
    KernelChoice,
    Knobs,
    Library,
    OnDevice,
    RequireJail,
    TaskChoice,
)
from warpsmith.cli.output import GOOD, UNHAPPY, console, emit

if TYPE_CHECKING:
    from warpsmith.core.profile import Profile


def profile(
    kernel: KernelChoice,
    task: TaskChoice = None,
    arch: DeviceArch = None,
    device: OnDevice = Device.AUTO,
    knob: Knobs = None,
    library: Library = None,
    require_jail: RequireJail = None,
    as_json: Json = False,
) -> int:
    """Show where a kernel's time goes at its bench workloads: limits, occupancy, traffic, hot lines."""
    from warpsmith import app
    from warpsmith.cli.commands.verify import show, verdict
    from warpsmith.cli.kernels import find_kernel
    from warpsmith.cli.options import parse_knobs
    from warpsmith.settings import read_settings

    path, knobs = find_kernel(kernel, library or read_settings().library)
    evaluation = app.profile(path, task=task, arch=arch, device=device.value, knobs=parse_knobs(knob) or knobs)
    if as_json:
        found = evaluation.profile
        emit(
            verdict(evaluation)
            | {"profile": found.model_dump(mode="json") if found else None}
            | {"nsight": _nsight(found) if found else None}
        )
    elif evaluation.profile is None:
        show(evaluation)
    else:
        from warpsmith.profiler.report import render

        console().print(render(evaluation.profile, source=path.read_text()), markup=False)
    return GOOD if evaluation.profile is not None else UNHAPPY


def _nsight(profile: Profile) -> dict[str, Any]:
    """Each launch under Nsight Compute's names, and why some have no value."""
    from warpsmith.core.arch import find_architecture
    from warpsmith.profiler.nsight import nsight_metrics
    from warpsmith.profiler.nsight_page import UNAVAILABLE

    arch = find_architecture(profile.target)
    launches = [
        {
            "workload": workload.workload,
            "kernel": launch.kernel,
            "metrics": [metric.model_dump(mode="json") for metric in nsight_metrics(launch, arch).values()],
        }
        for workload in profile.workloads
        for launch in workload.launches
    ]
    return {"launches": launches, "unavailable": dict(UNAVAILABLE)}
