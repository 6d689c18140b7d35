"""`warpsmith emulate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from warpsmith.cli.options import Arch, Json, KernelChoice, Knobs, Library, RequireJail, TaskChoice
from warpsmith.cli.output import GOOD, UNHAPPY, console, emit
from warpsmith.core.errors import SettingsError

Workload = Annotated[
    str | None,
    typer.Option(
        "--workload", help="Workload of the task, or sizes: M=16,N=64. Default: its first.", metavar="NAME|SIZES"
    ),
]
Schedule = Annotated[
    int,
    typer.Option(
        "--seed", min=0, help="Order of blocks, warps and sides of branches, poison, addresses; 0 is launch order."
    ),
]
DataSeed = Annotated[int, typer.Option("--data-seed", min=0, help="Mints random inputs.")]
Fast = Annotated[bool, typer.Option("--fast", help="No uninitialised-read and race checks, and no counters.")]
_MOST_BUDGET = 1 << 40
"""Warp instructions; a launch would take days."""
_MOST_TOLERANCE = 1e9
Budget = Annotated[
    int | None,
    typer.Option("--budget", min=1, max=_MOST_BUDGET, help="Warp instructions a launch may issue.", metavar="N"),
]
Trace = Annotated[
    str,
    typer.Option(
        "--trace",
        help="Show what was executed: 'block=0,0,0 thread=5,0,0', 'block=0 warp=2', 'line=37' or 'fault'.",
        metavar="WHAT",
    ),
]
TraceLimit = Annotated[int, typer.Option("--trace-limit", min=1, max=100_000, help="Most steps a trace has.")]
Dumps = Annotated[
    list[str] | None,
    typer.Option("--dump", help="Show an output, or write it: y, y=out.npy; repeatable.", metavar="NAME[=FILE]"),
]
KernelName = Annotated[
    str, typer.Option("--kernel", help="Of a plain file: which kernel; default: its only one.", metavar="NAME")
]
Grid = Annotated[
    str, typer.Option("--grid", help="Launch a plain .ptx or .cu file with so many blocks.", metavar="X[,Y[,Z]]")
]
Block = Annotated[str, typer.Option("--block", help="Threads of a block.", metavar="X[,Y[,Z]]")]
Shared = Annotated[int, typer.Option("--shared", min=0, help="Bytes of dynamic shared memory.")]
Arguments = Annotated[
    list[str] | None,
    typer.Option(
        "--arg",
        help="One for each parameter, in order: f32[1024]=random, y:out:f32[1024], i32=1024, null.",
        metavar="ARG",
    ),
]
Expects = Annotated[
    list[str] | None,
    typer.Option("--expect", help="What a tensor should hold: y=want.npy; repeatable.", metavar="NAME=FILE"),
]
Tolerance = Annotated[
    float,
    typer.Option("--tolerance", min=0.0, max=_MOST_TOLERANCE, help="Relative L2 error that --expect allows."),
]


def emulate(
    kernel: KernelChoice,
    workload: Workload = None,
    task: TaskChoice = None,
    arch: Arch = "h200",
    seed: Schedule = 0,
    data_seed: DataSeed = 0,
    fast: Fast = False,
    budget: Budget = None,
    trace: Trace = "",
    trace_limit: TraceLimit = 200,
    dump: Dumps = None,
    knob: Knobs = None,
    library: Library = None,
    kernel_name: KernelName = "",
    grid: Grid = "",
    block: Block = "",
    shared: Shared = 0,
    arg: Arguments = None,
    expect: Expects = None,
    tolerance: Tolerance = 1e-3,
    require_jail: RequireJail = None,
    as_json: Json = False,
) -> int:
    """Run one kernel once on the emulator: faults, counters, values, and every instruction if you ask."""
    from warpsmith import app
    from warpsmith.cli.emulation import show
    from warpsmith.cli.kernels import find_kernel
    from warpsmith.cli.options import parse_knobs
    from warpsmith.core.emulation import EmulationSettings, LaunchSettings
    from warpsmith.settings import read_settings

    settings = EmulationSettings(
        checks=not fast,
        seed=seed,
        data_seed=data_seed,
        budget=budget,
        trace=trace,
        trace_limit=trace_limit,
        dumps=tuple(dump or ()),
    )
    if grid or kernel.endswith(".ptx"):
        if not Path(kernel).is_file():
            raise SettingsError(f"there is no file {kernel}.", remedy="Give a .ptx or .cu file.")
        _refuse({"--workload": workload, "--task": task, "--knob": knob}, "a file launched by --grid has no task")
        launch = LaunchSettings(
            kernel=kernel_name,
            grid=_given("--grid", grid),
            block=_given("--block", block),
            shared=shared,
            args=tuple(arg or ()),
            expects=tuple(expect or ()),
            tolerance=tolerance,
        )
        found = app.emulate_source(Path(kernel), launch, arch=arch, settings=settings)
    else:
        path, knobs = find_kernel(kernel, library or read_settings().library)
        plain = {"--kernel": kernel_name, "--block": block, "--shared": shared, "--arg": arg, "--expect": expect}
        _refuse(plain, "a kernel file's own plan says how it is launched; a plain file needs --grid too")
        if path.suffix == ".cu" and "/// kernel" not in app.read_text(path):
            raise SettingsError(
                f"{path} has no head block, so it is a plain file that must be told how to launch.",
                remedy="Give --grid 4 --block 128 and one --arg for each parameter: --arg f32[8]=random --arg i32=8.",
            )
        found = app.emulate_kernel(
            path, task=task, workload=workload, arch=arch, knobs=parse_knobs(knob) or knobs, settings=settings
        )
    if as_json:
        emit(json.loads(found.model_dump_json()) | {"passed": found.passed})
    else:
        show(found, console())
    return GOOD if found.passed else UNHAPPY


def _refuse(options: dict[str, object], why: str) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise SettingsError(f"{given[0]} does not fit: {why}.", remedy="See warpsmith emulate --help.")


def _given(option: str, value: str) -> str:
    if not value:
        raise SettingsError(f"{option} is missing.", remedy="Launch a plain file with --grid 4,1,1 --block 128,1,1.")
    return value
