"""Boards on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from warpsmith.kernels_generated.summary import Summary
    from warpsmith.leaderboard.board import Board


def show_board(board: Board, out: Console, top: int) -> None:
    """Print one board: the ranking's `top` (0: all of it), then the best kernel's time at each workload."""
    from rich.markup import escape

    about = f" on {board.target}, times {board.source}, task {board.task_digest[:12]}"
    out.print(f"\n[bold]{escape(board.task)}[/]{escape(about)}")
    # Not rich's tables: forty of them take a third of a second.
    out.out("\n".join([*_ranking(board, top), *_workloads(board.best)]), highlight=False)


def _ranking(board: Board, top: int) -> Iterator[str]:
    shown = board.places[:top] if top else board.places
    libraries = sorted({name for place in shown for name in place.baselines})
    titles = ("#", "kernel", "of bound", *(f"over {name}" for name in libraries), "by", "over naive seed")
    yield from _columns(titles, [_cells(rank, place, libraries) for rank, place in enumerate(shown, 1)])
    if len(shown) < len(board.places):
        yield f"{len(board.places) - len(shown):,} more; --top 0 shows all"


def _cells(rank: int, place: Summary, libraries: Sequence[str]) -> tuple[str, ...]:
    ratios = (_ratio(place.baselines.get(name)) for name in libraries)
    seed = _ratio(place.speedup_over_seed)
    return str(rank), place.kernel[:12], f"{place.fraction:.1%}", *ratios, place.coder, seed


def _workloads(best: Summary) -> Iterator[str]:
    yield f"{best.kernel[:12]} by workload"
    rows = [(it.workload, f"{it.time_us:.2f}", f"{it.bound_us:.2f}", f"{it.fraction:.1%}") for it in best.timings]
    yield from _columns(("workload", "time us", "bound us", "of bound"), rows)


_WORDS = ("kernel", "by", "workload")
"""Columns of words, which begin where their titles do; numbers end there."""


def _columns(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of aligned cells below their titles."""
    widths = [max(len(line[at]) for line in (titles, *rows)) for at in range(len(titles))]
    for line in (titles, *rows):
        cells = zip(titles, line, widths, strict=True)
        placed = (text.ljust(width) if title in _WORDS else text.rjust(width) for title, text, width in cells)
        yield "  ".join(placed).rstrip()


def _ratio(value: float | None) -> str:
    return f"{value:.2f}x" if value else "-"
