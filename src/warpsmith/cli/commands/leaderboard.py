"""`warpsmith leaderboard`."""

from __future__ import annotations

from typing import Annotated

import typer

from warpsmith.cli.options import Json, Library
from warpsmith.cli.output import GOOD, console, emit, say


def leaderboard(
    task: Annotated[str | None, typer.Argument(help="Task to show; default: all.", metavar="[TASK]")] = None,
    library: Library = None,
    as_json: Json = False,
) -> int:
    """Rank accepted kernels by their fraction of the speed of light; measured and modelled apart."""
    from warpsmith.kernels_generated.library import list_entries, search_path
    from warpsmith.leaderboard import make_boards
    from warpsmith.leaderboard.table import show_board
    from warpsmith.settings import read_settings

    listings = [list_entries(folder) for folder in search_path(library or read_settings().library)]
    refused = [item for listing in listings for item in listing.refused]
    entries = [entry for listing in listings for entry in listing.entries if task in (None, entry.manifest.task)]
    boards = make_boards(entries)
    if as_json:
        emit(
            {
                "boards": [board.model_dump(mode="json") for board in boards],
                "refused": [{"path": str(item.folder), "reason": item.reason} for item in refused],
            }
        )
        return GOOD
    for board in boards:
        show_board(board, console())
    if not boards:
        say(f"No accepted kernels{f' of {task}' if task else ''} yet; `warpsmith optimize TASK` makes one.")
    for item in refused:
        say(f"refused: {item.reason}")
    return GOOD
