"""A library and a store of any size: pages stay below their limit, and rankings and lists go on where they end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.site.recorded import record
from warpsmith.core.digest import digest_text
from warpsmith.kernels_generated.shelf import Shelf, read_shelf
from warpsmith.leaderboard.site.data import LISTED, RANKED, Data
from warpsmith.leaderboard.site.pages import MOST_BYTES, Pages
from warpsmith.leaderboard.site.places import every_place, view_of
from warpsmith.leaderboard.site.views import COMPARED, comparison
from warpsmith.store import Store

KERNELS, RUNS = 2 * RANKED + 1, 2 * LISTED + 1


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Data]:
    """One ranking of many kernels, many runs, one of them long; all of them copies of recorded ones."""
    folder = tmp_path_factory.mktemp("large")
    with Store.open(folder / "store.sqlite") as store:
        record(store, folder / "library")
        yield multiplied(folder, store)


def multiplied(folder: Path, store: Store) -> Data:
    shelf = read_shelf([folder / "library"], folder / "cache")
    best = max(shelf.kernels, key=lambda it: it.fraction)
    copies = tuple(
        replace(best, kernel=digest_text(str(number)), fraction=best.fraction / (1 + number), coder="x" * 60)
        for number in range(KERNELS)
    )
    data = Data(Shelf(kernels=copies), store)
    (trail,) = data.trails.values()
    names = [f"{trail.run}-{number}" for number in range(RUNS)]
    trails = [replace(trail, started=trail.started.model_copy(update={"run": name})) for name in names]
    trails[0] = replace(trails[0], steps=trail.steps * 60, calls=trail.calls * 40)
    data.trails = dict(zip(names, trails, strict=True))
    return data


def test_every_kind_of_page_stays_below_its_limit(large: Data) -> None:
    pages, kinds = Pages(), set[str]()
    for place in every_place(large):
        kind = place.split("/")[0] + str(place.count("/"))
        if kind == "kernels1" or (kind in kinds and not place.startswith("tasks/")):
            continue
        kinds.add(kind)
        found = view_of(large, place)
        assert found, place
        assert len(pages.render(found[0], place, **found[1]).encode()) <= MOST_BYTES, place
    assert {"index.html0", "compare.html0", "runs1", "tasks1", "compare1"} <= kinds


def test_a_run_of_many_candidates_and_calls_says_what_it_leaves_out(large: Data) -> None:
    trail = next(iter(large.trails.values()))
    template, view = view_of(large, f"runs/{next(iter(large.trails))}.html") or ("", {})
    text = Pages().render(template, "runs/x.html", **view)
    assert len(text.encode()) <= MOST_BYTES
    assert "more candidates: <code>warpsmith runs export" in text
    assert f"{len(trail.calls) - 400} more have pages" in text


def test_a_ranking_goes_on_on_further_pages_and_each_kernel_stands_on_one(large: Data) -> None:
    places = [place for place in every_place(large) if place.startswith("tasks/")]
    assert 3 == len(places)
    ranks = [rank for place in places for rank, _ in (view_of(large, place) or ("", {}))[1]["places"]]
    assert list(range(1, KERNELS + 1)) == ranks
    template, view = view_of(large, places[0]) or ("", {})
    first = Pages().render(template, places[0], **view)
    assert all(f'href="../{place}"' in first for place in places)


def test_the_list_of_runs_goes_on_on_further_pages(large: Data) -> None:
    places = [place for place in every_place(large) if place.startswith("runs/index")]
    assert ["runs/index.html", "runs/index-2.html", "runs/index-3.html"] == places
    assert RUNS == sum(len((view_of(large, place) or ("", {}))[1]["trails"]) for place in places)


def test_a_comparison_holds_the_best_kernels_of_a_ranking(large: Data) -> None:
    (place,) = [place for place in every_place(large) if place.startswith("compare/")]
    _, view = view_of(large, place) or ("", {})
    assert min(KERNELS, COMPARED) == len(view["facts"]["kernels"])


def test_a_comparison_of_many_workloads_holds_fewer_kernels_and_says_so(large: Data) -> None:
    board = large.boards[0]
    timings = tuple(board.best.timings[0]._replace(workload=f"workload {number}") for number in range(60))
    wide = replace(board, places=tuple(replace(it, timings=timings) for it in board.places * 4))
    template, view = comparison(large, wide)
    text = Pages().render(template, "compare/x.html", **view)
    assert len(text.encode()) <= MOST_BYTES
    assert 0 < len(view["facts"]["kernels"]) == 4 * KERNELS - view["left_out"] < COMPARED
    assert "kernels of lower rank are left out" in text
