"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from warpsmith.core.errors import SettingsError


class Device(StrEnum):
    """Where kernels run."""

    AUTO = "auto"
    EMULATOR = "emulator"
    CUDA = "cuda"


Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, the rest on stderr.")]
_TARGETS = "Target: a100 rtx4090 h100 h200 b200, or sm_80, sm_90."
Arch: TypeAlias = Annotated[str, typer.Option("--arch", help=_TARGETS, metavar="TARGET")]
DeviceArch: TypeAlias = Annotated[
    str | None,
    typer.Option("--arch", help=f"{_TARGETS} Default: the GPU's; without one, h200.", metavar="TARGET"),
]
OnDevice: TypeAlias = Annotated[Device, typer.Option("--device", help="auto takes a GPU where one is usable.")]
Library: TypeAlias = Annotated[
    Path | None, typer.Option("--library", help="Folder of accepted kernels. [WARPSMITH_LIBRARY]", metavar="DIR")
]
StoreFile: TypeAlias = Annotated[
    Path | None, typer.Option("--store", help="File that runs are recorded in. [WARPSMITH_STORE]", metavar="FILE")
]
TaskChoice: TypeAlias = Annotated[
    str | None, typer.Option("--task", help="Task name or file; default: what the kernel names.", metavar="TASK")
]
Seed: TypeAlias = Annotated[int | None, typer.Option("--seed", min=0, help="Mints inputs; default: drawn afresh.")]
Whole: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--whole", help="Run bench workloads whole and compare all of each: up to minutes instead of seconds."
    ),
]
Knobs: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--knob", help="Assign a knob, repeatable; default: each knob's first value.", metavar="NAME=N"),
]
KernelChoice: TypeAlias = Annotated[
    str, typer.Argument(help="Kernel file, or the first digits of a digest in the library.", metavar="KERNEL")
]


def _require_jail(level: str | None) -> str | None:
    if level is not None:
        from warpsmith import app

        app.require_jail(level)
    return level


RequireJail: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--require-jail",
        help="Refuse to run below this level: bubblewrap, landlock or rlimits.",
        metavar="LEVEL",
        callback=_require_jail,
    ),
]


def parse_knobs(texts: list[str] | None) -> dict[str, int] | None:
    """Read `BN=64` assignments; None where there are none.

    Raises:
        SettingsError: one does not read as NAME=integer.
    """
    knobs: dict[str, int] = {}
    for text in texts or ():
        name, _, value = text.partition("=")
        if not name.isidentifier() or not value.removeprefix("-").isdecimal():
            raise SettingsError(f"--knob {text} is no assignment.", remedy="Write NAME=integer, such as BN=64.")
        knobs[name] = int(value)
    return knobs or None
