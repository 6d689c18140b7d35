"""Boards on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from warpsmith.leaderboard.board import Board, Place


def show_board(board: Board, out: Console) -> None:
    """Print one board: the ranking, then the best kernel's time at each workload."""
    from rich.table import Table

    out.print(f"\n[bold]{board.task}[/] on {board.target}, times {board.source.value}, task {board.task_digest[:12]}")
    baselines = sorted({name for place in board.places for name in place.baselines})
    table = Table(box=None, pad_edge=False)
    for title in ("#", "kernel", "of bound", *(f"over {name}" for name in baselines), "by", "over naive seed"):
        table.add_column(title, justify="left" if title in ("kernel", "by") else "right")
    for place in board.places:
        ratios = (_ratio(place.baselines.get(name)) for name in baselines)
        seed = _ratio(place.speedup_over_seed)
        table.add_row(str(place.rank), place.kernel[:12], f"{place.fraction:.1%}", *ratios, place.by, seed)
    out.print(table)
    out.print(_workloads(board.places[0]))


def _workloads(best: Place) -> object:
    from rich.table import Table

    table = Table(title=f"{best.kernel[:12]} by workload", title_justify="left", box=None, pad_edge=False)
    table.add_column("workload")
    for title in ("time us", "bound us", "of bound"):
        table.add_column(title, justify="right")
    for item in best.workloads:
        table.add_row(item.workload, f"{item.time_us:.2f}", f"{item.bound_us:.2f}", f"{item.fraction:.1%}")
    return table


def _ratio(value: float | None) -> str:
    return f"{value:.2f}x" if value else "-"
