"""`warpsmith optimize`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from warpsmith.cli.options import Device, DeviceArch, Json, Library, OnDevice, RequireJail, Seed, StoreFile


class Language(StrEnum):
    """What a model writes."""

    CUDA = "cuda"
    TRITON = "triton"


def optimize(
    task: Annotated[str, typer.Argument(help="Task name or task file.", metavar="TASK")],
    coder: Annotated[
        str,
        typer.Option(
            help="Who writes candidates: builtin (selects and tunes seeds by rules), openai:MODEL, anthropic:MODEL, "
            "handoff:DIR, scripted:DIR. MODEL@URL asks a server of your own.",
            metavar="CODER",
        ),
    ] = "builtin",
    judge: Annotated[
        str, typer.Option(help="Who judges them; default: as the coder.", metavar="JUDGE", show_default=False)
    ] = "",
    arch: DeviceArch = None,
    device: OnDevice = Device.AUTO,
    rounds: Annotated[int, typer.Option(min=1, help="Candidates to try at most.")] = 24,
    language: Annotated[Language, typer.Option(help="What a model is asked to write.")] = Language.CUDA,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Candidates in flight at a time.")] = 1,
    max_dollars: Annotated[
        float | None, typer.Option(help="Stop the search at this price; default with a paid model: 5.", metavar="USD")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Stop the search at so many tokens.")] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop the search after so much thinking and evaluating.")
    ] = None,
    max_evaluations: Annotated[int | None, typer.Option(min=1, help="Stop after so many evaluations.")] = None,
    seed: Seed = None,
    seed_kernel: Annotated[
        Path | None, typer.Option(help="Kernel file to start from instead of the shipped seeds.", metavar="FILE")
    ] = None,
    library: Library = None,
    store: StoreFile = None,
    require_jail: RequireJail = None,
    as_json: Json = False,
) -> int:
    """Search for the fastest verified kernel of a task and put it into the library."""
    from warpsmith import runs
    from warpsmith.cli.output import say
    from warpsmith.cli.runs import follow
    from warpsmith.core.errors import SettingsError
    from warpsmith.core.events import Budget
    from warpsmith.settings import read_settings

    for name, limit in (("--max-dollars", max_dollars), ("--max-minutes", max_minutes)):
        if limit is not None and not 0 < limit < float("inf"):
            raise SettingsError(f"{name} is {limit}.", remedy="Give a number above 0.")
    settings = read_settings()
    store = store or settings.store
    options = runs.RunOptions(
        task=task,
        library=library or settings.library,
        coder=coder,
        judge=judge,
        arch=arch,
        device=device.value,
        rounds=rounds,
        seed=seed,
        seed_kernel=seed_kernel,
        language=language.value,
        width=parallel,
        budget=Budget(tokens=max_tokens, dollars=max_dollars, minutes=max_minutes, evaluations=max_evaluations),
    )
    return follow(
        lambda observe: runs.optimize(options, store=store, observe=observe, tell=say), store=store, as_json=as_json
    )
