"""`warpsmith optimize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warpsmith.cli.options import Device, DeviceArch, Json, Library, OnDevice, Seed, StoreFile


def optimize(
    task: Annotated[str, typer.Argument(help="Task name or task file.", metavar="TASK")],
    coder: Annotated[
        str, typer.Option(help="Who writes candidates; builtin selects and tunes seeds by rules.", metavar="CODER")
    ] = "builtin",
    arch: DeviceArch = None,
    device: OnDevice = Device.AUTO,
    rounds: Annotated[int, typer.Option(min=1, help="Candidates to try at most.")] = 24,
    seed: Seed = None,
    seed_kernel: Annotated[
        Path | None, typer.Option(help="Kernel file to start from instead of the shipped seeds.", metavar="FILE")
    ] = None,
    library: Library = None,
    store: StoreFile = None,
    as_json: Json = False,
) -> int:
    """Search for the fastest verified kernel of a task and put it into the library."""
    from warpsmith import app
    from warpsmith.cli.runs import follow
    from warpsmith.settings import read_settings

    settings = read_settings()
    store = store or settings.store
    return follow(
        lambda observe: app.optimize(
            task,
            coder=coder,
            arch=arch,
            device=device.value,
            rounds=rounds,
            seed=seed,
            seed_kernel=seed_kernel,
            library=library or settings.library,
            store=store,
            observe=observe,
        ),
        store=store,
        as_json=as_json,
    )
