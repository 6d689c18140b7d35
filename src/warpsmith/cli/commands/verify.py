"""`warpsmith verify`."""

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
    Seed,
    TaskChoice,
    Whole,
)
from warpsmith.cli.output import GOOD, UNHAPPY, console, emit

if TYPE_CHECKING:
    from warpsmith.core.protocols import Evaluation


def verify(
    kernel: KernelChoice,
    task: TaskChoice = None,
    arch: DeviceArch = None,
    device: OnDevice = Device.AUTO,
    seed: Seed = None,
    whole: Whole = False,
    knob: Knobs = None,
    library: Library = None,
    require_jail: RequireJail = None,
    as_json: Json = False,
) -> int:
    """Judge one kernel file: compiled, emulated under checkers, compared with a float64 oracle."""
    from warpsmith import app
    from warpsmith.cli.kernels import find_kernel
    from warpsmith.cli.options import parse_knobs
    from warpsmith.core.outcome import Verified
    from warpsmith.settings import read_settings

    path, knobs = find_kernel(kernel, library or read_settings().library)
    chosen = parse_knobs(knob) or knobs
    evaluation = app.verify(path, task=task, arch=arch, device=device.value, seed=seed, knobs=chosen, thorough=whole)
    if as_json:
        emit(verdict(evaluation))
    else:
        show(evaluation)
    return GOOD if isinstance(evaluation.outcome, Verified) else UNHAPPY


def verdict(evaluation: Evaluation) -> dict[str, Any]:
    """The JSON of `verify`: outcome, reason, line, workload, stages."""
    outcome = evaluation.outcome
    return {
        "outcome": outcome.kind,
        "reason": getattr(outcome, "message", ""),
        "line": getattr(outcome, "line", None),
        "workload": getattr(outcome, "workload", None),
        "details": list(getattr(outcome, "details", ())),
        "notes": list(getattr(outcome, "notes", ())),
        "checks": [check.model_dump(mode="json") for check in getattr(outcome, "checks", ())],
        "candidate": evaluation.candidate,
        "toolchain": evaluation.toolchain,
        "stages": [stage.model_dump(mode="json") for stage in evaluation.stages],
    }


def show(evaluation: Evaluation) -> None:
    """Print the verdict and how each stage went."""
    from rich.markup import escape

    out, found = console(), verdict(evaluation)
    for stage in evaluation.stages:
        mark = "[green]ok[/]  " if stage.passed else "[red]no[/]  "
        out.print(f"{mark} {stage.stage.value:<8} {stage.seconds:7.2f} s  {escape(stage.detail)}")
    colour = "green" if found["outcome"] == "Verified" else "red"
    where = f" at line {found['line']}" if found["line"] else ""
    where += f", workload {found['workload']}" if found["workload"] else ""
    out.print(f"[{colour}]{found['outcome']}[/]{escape(where)} {escape(found['reason'])}".rstrip())
    for extra in (*found["details"], *found["notes"]):
        out.print(f"  {escape(extra)}")
