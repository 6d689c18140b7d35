"""The page of results says what the kernels that ship say, and is current."""

from __future__ import annotations

from pathlib import Path

from warpsmith.kernels_generated.library import list_entries
from warpsmith.kernels_generated.places import SHIPPED
from warpsmith.leaderboard.results import results_page
from warpsmith.tasks import find_tasks, load_task

PAGE = Path(__file__).parents[2] / "docs" / "results.md"
ENTRIES = list_entries(SHIPPED).entries


def test_the_page_of_results_is_current() -> None:
    assert results_page(ENTRIES) == PAGE.read_text(encoding="utf-8"), (
        "write it anew: warpsmith leaderboard --format results --library kernels_generated > docs/results.md"
    )


def test_every_kernel_stands_on_the_page_with_each_of_its_times() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert ENTRIES
    for entry in ENTRIES:
        assert entry.digest[:12] in page
        for item in entry.manifest.workloads:
            assert f"| {item.workload} | {item.time_us:.2f} | {item.source.value} |" in page


def test_the_kernels_that_ship_are_of_todays_tasks() -> None:
    digests = {item.name: load_task(item.name).source_digest for item in find_tasks()}
    assert [] == [
        entry.manifest.task for entry in ENTRIES if digests[entry.manifest.task] != entry.manifest.task_digest
    ]


def test_the_order_of_entries_makes_no_difference() -> None:
    assert results_page(ENTRIES) == results_page(tuple(reversed(ENTRIES)))
