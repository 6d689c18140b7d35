"""`warpsmith leaderboard`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warpsmith.cli.options import Json, Library, StoreFile
from warpsmith.cli.output import GOOD, console, emit, say

if TYPE_CHECKING:
    from warpsmith.kernels_generated.shelf import Shelf
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
    top: Annotated[int, typer.Option(min=0, help="Kernels of each ranking to show on the terminal; 0 shows all.")] = 10,
    as_json: Json = False,
) -> int:
    """Rank accepted kernels by their fraction of the speed of light; measured and modelled apart."""
    from warpsmith.kernels_generated.places import search_path
    from warpsmith.kernels_generated.shelf import read_shelf
    from warpsmith.leaderboard import make_boards
    from warpsmith.settings import read_settings

    settings = read_settings()
    whole = read_shelf(search_path(library or settings.library), settings.cache)
    if task:
        _require_known(task, whole, store or settings.store)
    shelf = whole.of_task(task) if task else whole
    if html is not None:
        return _write(html, shelf, store or settings.store, as_json=as_json)
    boards = make_boards(shelf.kernels)
    if as_json:
        emit(
            {
                "boards": [board.to_json() for board in boards],
                "stale": [
                    {"path": str(item.kernel.folder), "kernel": item.kernel.kernel, "reason": item.reason}
                    for item in shelf.stale
                ],
                "refused": [{"path": str(item.folder), "reason": item.reason} for item in shelf.refused],
            }
        )
        return GOOD
    _print(boards, form, top)
    if not boards:
        say(_nothing(task, whole.tasks))
    for line in _left_out(shelf):
        say(line)
    return GOOD


def _require_known(task: str, whole: Shelf, store: Path) -> None:
    """Refuse what names no task that ships, that a kernel is of or that a recorded run is of."""
    from warpsmith.core.errors import SettingsError
    from warpsmith.core.nearest import did_you_mean
    from warpsmith.store.archive import reading
    from warpsmith.tasks.find import find_tasks

    known = {*(found.name for found in find_tasks()), *whole.tasks, *(it.folder.parent.name for it in whole.refused)}
    if task not in known and store.expanduser().is_file():
        with reading(store) as opened:
            known.update(run.task for run in opened.runs())
    if task not in known:
        remedy = f"{did_you_mean(task, sorted(known), listed=20)} A task of your own is known by name once it was run."
        raise SettingsError(f"no task is called {task}.", remedy=remedy)


def _nothing(task: str | None, others: tuple[str, ...]) -> str:
    if task is None:
        return "No accepted kernels yet; `warpsmith optimize TASK` makes one."
    there = f" There are kernels of: {', '.join(others)}." if others else ""
    return f"No accepted kernels of {task}; `warpsmith optimize {task}` may make one.{there}"


def _left_out(shelf: Shelf) -> Iterator[str]:
    """What is not ranked, and why: stale kernels by reason, each refused one."""
    counts = Counter((item.kernel.task, item.reason) for item in shelf.stale)
    for (task, reason), count in counts.items():
        kernels = f"{count} kernels" if count > 1 else "1 kernel"
        yield f"stale: {kernels} of {task} not ranked: {reason}. Judge again: warpsmith library verify --stale"
    yield from (f"refused: {item.reason}" for item in shelf.refused)


def _print(boards: tuple[Board, ...], form: Format, top: int) -> None:
    from warpsmith.kernels_generated.library import read_entry
    from warpsmith.leaderboard.results import results_page
    from warpsmith.leaderboard.table import show_board
    from warpsmith.leaderboard.text import as_csv, as_markdown

    out = console()
    match form:
        case Format.TERMINAL:
            for board in boards:
                show_board(board, out, top)
        case Format.MARKDOWN:
            out.print(as_markdown(boards), markup=False, highlight=False, soft_wrap=True)
        case Format.CSV:
            out.print(as_csv(boards), markup=False, highlight=False, soft_wrap=True, end="")
        case Format.RESULTS:
            entries = [read_entry(place.folder) for board in boards for place in board.places]
            out.print(results_page(entries), markup=False, highlight=False, soft_wrap=True, end="")


def _write(html: Path, shelf: Shelf, store: Path, *, as_json: bool) -> int:
    from warpsmith.leaderboard.site import write_site
    from warpsmith.store.archive import reading

    with reading(store) if store.exists() else nullcontext() as opened:
        pages = write_site(html, shelf, opened)
    if as_json:
        emit({"index": str(html / "index.html"), "pages": len(pages)})
    else:
        console().print(f"{len(pages)} pages written; open {html / 'index.html'}", markup=False, soft_wrap=True)
    return GOOD
