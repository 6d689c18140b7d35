"""Which pages there are, and what stands on each: a place such as `kernels/0123456789ab.html` leads to its view."""

from __future__ import annotations

from collections.abc import Iterator

from warpsmith.leaderboard.board import Board
from warpsmith.leaderboard.site import views
from warpsmith.leaderboard.site.data import LISTED, RANKED, Data, board_name, board_page, runs_page
from warpsmith.leaderboard.site.views import View


def every_place(data: Data) -> Iterator[str]:
    """Each page of a site, the first one first."""
    yield "index.html"
    yield "compare.html"
    yield from (runs_page(number) for number in _numbers(len(data.trails), LISTED))
    for board in data.boards:
        yield from (board_page(board, number) for number in _numbers(len(board.places), RANKED))
        if len(board.places) > 1:
            yield f"compare/{board_name(board)}.html"
    yield from (f"kernels/{name}.html" for name in data.kernels)
    for trail in data.trails.values():
        yield f"runs/{trail.run}.html"
        yield from (f"runs/{trail.run}/{call.label}.html" for call in trail.calls)


def view_of(data: Data, place: str) -> View | None:
    """What stands at a place; None where there is no such page.

    Raises:
        LibraryError: the kernel was changed since the library was listed.
        StoreError: the store cannot be read.
    """
    if place == "index.html":
        return views.overview(data)
    if place == "compare.html":
        return views.comparisons(data)
    if not place.endswith(".html"):
        return None
    kind, _, rest = place.removesuffix(".html").partition("/")
    match kind:
        case "tasks":
            return _board(data, rest)
        case "compare":
            found = _boards(data).get(rest)
            return views.comparison(data, found) if found and len(found.places) > 1 else None
        case "kernels":
            kernel = data.kernels.get(rest)
            return views.kernel(data, kernel) if kernel else None
        case "runs":
            return _run(data, rest)
        case _:
            return None


def _board(data: Data, name: str) -> View | None:
    boards = _boards(data)
    if name in boards:
        return views.board(data, boards[name], 1)
    name, _, number = name.rpartition("-")
    found = boards.get(name)
    fits = found and number.isdecimal() and int(number) in _numbers(len(found.places), RANKED)
    return views.board(data, found, int(number)) if found and fits else None


def _run(data: Data, rest: str) -> View | None:
    name, _, label = rest.partition("/")
    trail = data.trails.get(name)
    if trail is not None:
        return views.call(data, trail, label) if label else views.run(data, trail)
    number = "1" if rest == "index" else rest.removeprefix("index-") if rest.startswith("index-") else ""
    fits = number.isdecimal() and int(number) in _numbers(len(data.trails), LISTED)
    return views.runs(data, int(number)) if fits else None


def _boards(data: Data) -> dict[str, Board]:
    return {board_name(board): board for board in data.boards}


def _numbers(items: int, most: int) -> range:
    """Of the pages it takes to hold so many; there is always a first one."""
    return range(1, max(1, -(-items // most)) + 1)
