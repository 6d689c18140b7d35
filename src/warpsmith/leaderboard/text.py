"""Boards as Markdown and as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from warpsmith.leaderboard.board import Board, Place

COLUMNS = (
    *("task", "task_digest", "target", "source", "rank", "kernel", "by", "created"),
    *("workload", "time_us", "bound_us", "fraction"),
)
"""Of the comma-separated form: one row for each kernel and workload."""


def as_csv(boards: Iterable[Board]) -> str:
    """One row for each kernel at each bench workload, below a row of `COLUMNS`; times in microseconds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for board in boards:
        for place in board.places:
            about = (board.task, board.task_digest, board.target, board.source.value)
            kernel = (place.rank, place.kernel, place.by, place.created)
            for item in place.workloads:
                writer.writerow((*about, *kernel, item.workload, item.time_us, item.bound_us, item.fraction))
    return out.getvalue()


def as_markdown(boards: Iterable[Board]) -> str:
    """A section for each board: the ranking as a table."""
    return "\n".join(_section(board) for board in boards)


def _section(board: Board) -> str:
    libraries = sorted({name for place in board.places for name in place.baselines})
    titles = ["#", "kernel", "of bound", *(f"over {name}" for name in libraries), "by", "over naive seed"]
    rows = [_row(titles), _row(["---"] * len(titles)), *(_row(_cells(place, libraries)) for place in board.places)]
    return f"## {board.task} on {board.target}, times {board.source.value}\n\n" + "\n".join(rows) + "\n"


def _cells(place: Place, libraries: list[str]) -> list[str]:
    ratios = [_ratio(place.baselines.get(name)) for name in libraries]
    kernel = f"`{place.kernel[:12]}`"
    return [str(place.rank), kernel, f"{place.fraction:.1%}", *ratios, place.by, _ratio(place.speedup_over_seed)]


def _ratio(value: float | None) -> str:
    return f"{value:.2f}x" if value else "-"


def _row(cells: list[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"
