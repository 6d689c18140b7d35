"""Boards as Markdown and as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from warpsmith.kernels_generated.summary import Summary
from warpsmith.leaderboard.board import Board

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
        about = (board.task, board.task_digest, board.target, board.source)
        for rank, place in enumerate(board.places, 1):
            kernel = (rank, place.kernel, place.coder, place.created)
            for item in place.timings:
                writer.writerow((*about, *kernel, item.workload, item.time_us, item.bound_us, item.fraction))
    return out.getvalue()


def as_markdown(boards: Iterable[Board]) -> str:
    """A section for each board: the ranking as a table."""
    return "\n".join(_section(board) for board in boards)


def _section(board: Board) -> str:
    libraries = board.baselines
    titles = ["#", "kernel", "of bound", *(f"over {name}" for name in libraries), "by", "over naive seed"]
    ranked = (_row(_cells(rank, place, libraries)) for rank, place in enumerate(board.places, 1))
    rows = [_row(titles), _row(["---"] * len(titles)), *ranked]
    return f"## {board.task} on {board.target}, times {board.source}\n\n" + "\n".join(rows) + "\n"


def _cells(rank: int, place: Summary, libraries: tuple[str, ...]) -> list[str]:
    ratios = [_ratio(place.baselines.get(name)) for name in libraries]
    kernel = f"`{place.kernel[:12]}`"
    return [str(rank), kernel, f"{place.fraction:.1%}", *ratios, place.coder, _ratio(place.speedup_over_seed)]


def _ratio(value: float | None) -> str:
    return f"{value:.2f}x" if value else "-"


def _row(cells: list[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"
