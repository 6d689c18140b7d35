"""`warpsmith resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from warpsmith.cli.options import Json, StoreFile


def resume(
    run: Annotated[str | None, typer.Argument(help="Run to continue; default: the latest.", metavar="[RUN]")] = None,
    store: StoreFile = None,
    as_json: Json = False,
) -> int:
    """Continue an interrupted run; nothing that was recorded is done, or paid, again."""
    from warpsmith import runs
    from warpsmith.cli.output import say
    from warpsmith.cli.runs import follow
    from warpsmith.settings import read_settings

    store = store or read_settings().store
    return follow(
        lambda observe: runs.resume(run, store=store, observe=observe, tell=say), store=store, as_json=as_json
    )
