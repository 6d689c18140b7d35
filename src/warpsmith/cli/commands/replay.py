"""`warpsmith replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from warpsmith.cli.options import Json, Library, StoreFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from warpsmith.core.events import Event
    from warpsmith.core.summary import RunSummary


def replay(
    run: Annotated[str, typer.Argument(help="Run in the store, or a file from `runs export`.", metavar="RUN")],
    library: Library = None,
    store: StoreFile = None,
    as_json: Json = False,
) -> int:
    """Run a recorded run again, offline: its answers are repeated, its candidates are evaluated anew."""
    from warpsmith import runs
    from warpsmith.cli.output import UNHAPPY, say
    from warpsmith.cli.runs import follow
    from warpsmith.settings import read_settings

    settings = read_settings()
    path, found = store or settings.store, list[str]()

    def work(observe: Callable[[Event], None]) -> RunSummary:
        where = library or settings.library
        summary, differences = runs.replay(run, store=path, library=where, observe=observe, tell=say)
        found.extend(differences)
        return summary

    code = follow(work, store=path, as_json=as_json)
    for difference in found:
        say(f"differs from the recording: {difference}")
    if not found:
        say("the replay came to the same result as the recording")
    return UNHAPPY if found else code
