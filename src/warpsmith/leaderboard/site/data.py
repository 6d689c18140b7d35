"""All that the pages tell of: kernels by board, runs by name; brought up to date as the store grows."""

from __future__ import annotations

from dataclasses import dataclass, field

from warpsmith.kernels_generated.shelf import Shelf
from warpsmith.kernels_generated.summary import Summary
from warpsmith.leaderboard.board import Board, make_boards
from warpsmith.leaderboard.site.brief import read_briefly
from warpsmith.leaderboard.site.trail import Trail, follow
from warpsmith.store import Store, StoredRun

RANKED = 400
"""Kernels of one board on a page; more go to further pages."""
LISTED = 300
"""Runs on a page, likewise."""
SHORT = 12
"""Digits of a digest that name a page."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a kernel stands."""

    board: Board
    rank: int
    kernel: Summary


def board_name(board: Board) -> str:
    """What a board's pages are called."""
    return f"{board.task}-{board.target}-{board.source}-{board.task_digest[:8]}"


def board_page(board: Board, number: int = 1) -> str:
    """Where a page of a board lies below the site's folder."""
    return f"tasks/{board_name(board)}{'' if number == 1 else f'-{number}'}.html"


def runs_page(number: int = 1) -> str:
    """Where a page of the list of runs lies below the site's folder."""
    return f"runs/index{'' if number == 1 else f'-{number}'}.html"


@dataclass(slots=True)
class Data:
    """What a site is made from."""

    shelf: Shelf
    store: Store | None
    """None: runs, progress and differences to parents are left out."""
    boards: tuple[Board, ...] = ()
    kernels: dict[str, Place] = field(default_factory=dict)
    """By the first digits of their digest."""
    trails: dict[str, Trail] = field(default_factory=dict)
    """Runs by name, the newest first."""
    updated: dict[str, str] = field(default_factory=dict)
    """Run -> when its last event was recorded, UTC."""

    def __post_init__(self) -> None:
        self.stock(self.shelf)
        self.follow_runs()

    def stock(self, shelf: Shelf) -> None:
        """Put other kernels in place."""
        self.shelf = shelf
        self.boards = make_boards(shelf.kernels)
        self.kernels = {
            kernel.kernel[:SHORT]: Place(board, rank, kernel)
            for board in self.boards
            for rank, kernel in enumerate(board.places, 1)
        }

    def follow_runs(self) -> bool:
        """Read what was recorded since the last time; whether there was anything.

        Raises:
            StoreError: the store cannot be read.
        """
        stored = self.store.runs() if self.store else ()
        fresh = {run.run for run in stored if run.updated_at != self.updated.get(run.run)}
        self.updated = {run.run: run.updated_at for run in stored}
        trails = {run.run: self._trail(run, read=run.run in fresh) for run in stored}
        self.trails = {run: trail for run, trail in trails.items() if trail}
        return bool(fresh)

    def _trail(self, run: StoredRun, *, read: bool) -> Trail | None:
        trail = self.trails.get(run.run)
        if not read or self.store is None:
            return trail
        if trail is None:
            return follow(read_briefly(self.store.each_brief(run.run)))
        for event in read_briefly(self.store.each_brief(run.run, trail.events), trail.events):
            trail.hear(event)
        return trail

    def of_board(self, board: Board) -> list[Trail]:
        """Runs of a board's task, target and source of times, the newest first."""
        about = (board.task, board.task_digest, board.target, board.source)
        return [trail for trail in self.trails.values() if trail.about == about]

    def find_trail(self, kernel: Summary) -> Trail | None:
        """The run that a kernel comes from."""
        return self.trails.get(kernel.run)

    def text(self, digest: str) -> str:
        """A text of the store; empty where there is none."""
        return self.store.get_text(digest) if self.store and digest else ""
