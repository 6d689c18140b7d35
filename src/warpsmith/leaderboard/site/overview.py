"""What the first page says: the best kernel of each board, and how many tasks are won at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from markupsafe import Markup

from warpsmith.core.quantity import Source
from warpsmith.kernels_generated.summary import Summary
from warpsmith.leaderboard.board import Board
from warpsmith.leaderboard.site import charts
from warpsmith.leaderboard.site.data import board_page
from warpsmith.leaderboard.site.trail import Trail


@dataclass(frozen=True, slots=True)
class Row:
    """The best kernel of one board."""

    board: Board
    page: str

    @property
    def best(self) -> Summary:
        return self.board.best

    @property
    def library(self) -> float | None:
        """How many times as fast as the fastest library that was timed."""
        return min(self.best.baselines.values(), default=None)


@dataclass(frozen=True, slots=True)
class Section:
    """Boards whose times come from one source, and how often kernels win there."""

    source: Source
    rows: tuple[Row, ...]
    failures: tuple[str, ...]
    """Tasks with runs and no kernel."""
    against: str
    chart: Markup
    unknown: int
    """Won tasks whose ratio nobody knows; they are left out of the chart and the mean."""
    mean: float | None
    """Geometric mean of the ratios with a failure counted as 1: one falls back to what one had."""


def sections(boards: Iterable[Board], trails: Sequence[Trail]) -> tuple[Section, ...]:
    """One section a source of times, measured first; a source with neither kernel nor run has none."""
    rows = [Row(board, board_page(board)) for board in boards]
    found = [
        _section(source, [row for row in rows if row.board.source == source], trails)
        for source in (Source.MEASURED, Source.MODELLED)
    ]
    return tuple(section for section in found if section.rows or section.failures)


def _section(source: Source, rows: list[Row], trails: Sequence[Trail]) -> Section:
    won = {(row.board.task, row.board.target) for row in rows}
    tried = {(it.started.task, it.started.target) for it in trails if it.source is source}
    failures = tuple(f"{task} on {target}" for task, target in sorted(tried - won))
    libraries = [row.library for row in rows]
    measured = bool(rows) and all(ratio is not None for ratio in libraries)
    against = "the fastest library" if measured else "the naive seed"
    known = [row.library if measured else row.best.speedup_over_seed for row in rows]
    ratios = [*(ratio for ratio in known if ratio is not None), *(0.0 for _ in failures)]
    mean = geometric_mean([ratio or 1.0 for ratio in ratios]) if ratios else None
    ordered = sorted(rows, key=lambda row: (row.board.task, row.board.target))
    chart = charts.fast_p(ratios, against)
    return Section(source, tuple(ordered), failures, against, chart, known.count(None), mean)
