"""`warpsmith leaderboard`."""

from __future__ import annotations

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warpsmith.cli.options import Json, Library, StoreFile
from warpsmith.cli.output import GOOD, console, emit, say

if TYPE_CHECKING:
    from warpsmith.kernels_generated.library import Entry, Refusal
    from warpsmith.leaderboard import Board


class Format(StrEnum):
    """How boards are printed."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    CSV = "csv"
    RESULTS = "results"


def leaderboard(
    task: Annotated[str | None, typer.Argument(help="Task to show; default: all.", metavar="[TASK]")] = None,
    library: Library = None,
    store: StoreFile = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a static site to this folder; it opens from a file path.", metavar="DIR")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print the boards.")] = Format.TERMINAL,
    as_json: Json = False,
) -> int:
    """Rank accepted kernels by their fraction of the speed of light; measured and modelled apart."""
    from warpsmith.kernels_generated.library import list_entries, search_path
    from warpsmith.leaderboard import make_boards
    from warpsmith.settings import read_settings

    listings = [list_entries(folder) for folder in search_path(library or read_settings().library)]
    refused = [item for listing in listings for item in listing.refused]
    entries = [entry for listing in listings for entry in listing.entries if task in (None, entry.manifest.task)]
    if html is not None:
        return _write(html, entries, refused, store or read_settings().store, as_json=as_json)
    boards = make_boards(entries)
    if as_json:
        emit(
            {
                "boards": [board.model_dump(mode="json") for board in boards],
                "refused": [{"path": str(item.folder), "reason": item.reason} for item in refused],
            }
        )
        return GOOD
    _print(boards, entries, form)
    if not boards:
        say(f"No accepted kernels{f' of {task}' if task else ''} yet; `warpsmith optimize TASK` makes one.")
    for item in refused:
        say(f"refused: {item.reason}")
    return GOOD


def _print(boards: tuple[Board, ...], entries: list[Entry], form: Format) -> None:
    from warpsmith.leaderboard.results import results_page
    from warpsmith.leaderboard.table import show_board
    from warpsmith.leaderboard.text import as_csv, as_markdown

    out = console()
    match form:
        case Format.TERMINAL:
            for board in boards:
                show_board(board, out)
        case Format.MARKDOWN:
            out.print(as_markdown(boards), markup=False, highlight=False, soft_wrap=True)
        case Format.CSV:
            out.print(as_csv(boards), markup=False, highlight=False, soft_wrap=True, end="")
        case Format.RESULTS:
            out.print(results_page(entries), markup=False, highlight=False, soft_wrap=True, end="")


def _write(html: Path, entries: list[Entry], refused: list[Refusal], store: Path, *, as_json: bool) -> int:
    from warpsmith.leaderboard.site import write_site
    from warpsmith.store import Store

    with Store.open(store) if store.exists() else nullcontext() as opened:
        pages = write_site(html, entries, refused, opened)
    if as_json:
        emit({"index": str(html / "index.html"), "pages": len(pages)})
    else:
        console().print(f"{len(pages)} pages written; open {html / 'index.html'}", markup=False, soft_wrap=True)
    return GOOD
