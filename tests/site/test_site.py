"""The leaderboard as a site: what its pages say, that hostile text stays text, and that no page is large."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.site.recorded import BEST, digest_of, record
from warpsmith.cli.program import run
from warpsmith.core.errors import LibraryError, StoreError
from warpsmith.core.events import RunStarted
from warpsmith.kernels_generated.shelf import Shelf, read_shelf
from warpsmith.leaderboard import make_boards
from warpsmith.leaderboard.site import charts, write_site
from warpsmith.leaderboard.site.brief import read_briefly
from warpsmith.leaderboard.site.pages import MOST_BYTES, Pages, bounded
from warpsmith.leaderboard.site.source import annotated, difference
from warpsmith.leaderboard.site.trail import follow
from warpsmith.leaderboard.text import COLUMNS, as_csv, as_markdown
from warpsmith.store import Store


class Links(HTMLParser):
    """Every `href` of a page, and every tag that would load something."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.hrefs, self.loaded = list[str](), list[str]()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "a" and named.get("href"):
            self.hrefs.append(str(named["href"]))
        if "src" in named:
            self.loaded.append(tag)


def test_every_link_leads_to_a_page_of_the_site(site: Path) -> None:
    for page in site.rglob("*.html"):
        for href in Links(page).hrefs:
            path = href.partition("#")[0]
            assert not path or (page.parent / path).resolve().is_file(), f"{page}: {href}"


def test_no_page_loads_anything_and_none_is_large(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert Links(page).loaded == []
        assert "http://" not in page.read_text(encoding="utf-8").partition("<main")[0]
        assert page.stat().st_size <= MOST_BYTES


def test_the_first_page_names_the_best_kernel_and_where_its_times_come_from(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert "Times modelled" in text
    assert "Times measured" not in text
    assert "15.5%" in text


def test_a_kernels_page_shows_hot_lines_its_evidence_and_what_changed(site: Path) -> None:
    name = digest_of(site.parent / "library", BEST)
    best = (site / "kernels" / f"{name}.html").read_text(encoding="utf-8")
    assert re.search(r'<tr class="h[1-5]">', best)
    assert "global load sectors" in best
    assert '<tr class="added">' in best
    assert "largest error" in best


def test_a_runs_page_shows_each_candidate_with_its_outcome_and_links_to_what_was_said(site: Path) -> None:
    (page,) = (site / "runs").glob("2*.html")
    text = page.read_text(encoding="utf-8")
    assert text.count("<strong>Round") == 7
    assert "CompileFailed" in text
    calls = sorted(path.name for path in (site / "runs" / page.stem).glob("*.html"))
    assert len(calls) == 13
    assert "001-judge-advise-1.html" in calls


def test_a_script_in_a_kernel_a_reply_or_a_name_stays_text(tmp_path: Path) -> None:
    evil = "</pre><script>alert(1)</script>"
    with Store.open(tmp_path / "store.sqlite") as store:
        name, _ = record(store, tmp_path / "library")
        trail = follow(read_briefly(store.each_payload(name)))
    assert trail
    view = {"trail": trail, "call": trail.calls[0], "prompt": bounded(evil), "reply": bounded(evil)}
    text = Pages().render("call.html.j2", "call.html", **view)
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)") == 2


def test_a_title_in_a_chart_is_escaped() -> None:
    drawn = charts.roofline([charts.Attained("<b>w</b>", 1e9, 1e6, 10.0, 5.0)], 3000)
    assert "<b>" not in drawn
    assert "&lt;b&gt;w" in drawn


def test_the_policy_allows_no_script_but_the_sites_own(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert "default-src &#39;none&#39;" in text
    assert "unsafe-inline" not in text


def test_a_run_named_like_a_path_writes_nothing_outside_the_site(
    tmp_path: Path, open_store: Callable[[Path], Store]
) -> None:
    store = open_store(tmp_path / "store.sqlite")
    name, _ = record(store, tmp_path / "library")
    evil = "../../evil"
    for at, event in enumerate(store.events(name)):
        renamed = event.model_copy(update={"run": evil}) if isinstance(event, RunStarted) else event
        store.append(evil, renamed, at=at)
    with pytest.raises(LibraryError, match="outside"):
        write_site(tmp_path / "a" / "site", Shelf(), store)
    assert not (tmp_path / "evil.html").exists()


@pytest.mark.parametrize("letter", ["x", '"', "<", "\n", "\u00e9", "\U0001f525"])
def test_a_text_of_any_length_fits_a_page_and_says_what_is_left_out(letter: str) -> None:
    kept = bounded(letter * 1_000_000)
    assert len(kept.encode()) <= MOST_BYTES * 2 // 5 + 200
    assert "characters more are in the store" in kept
    assert bounded("short <b>") == "short &lt;b&gt;"


@pytest.mark.parametrize("text", ["x" * 1_000_000, "<\n" * 100_000, ('"&' * 300 + "\n") * 5000])
def test_a_kernel_of_any_length_fits_a_page(text: str) -> None:
    assert len(annotated(text, None).encode()) + len(difference("", text).encode()) <= MOST_BYTES - 60_000


def test_a_folder_that_cannot_be_written_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LibraryError, match=r"cannot be written"):
        write_site(tmp_path / "file", Shelf(), None)


def test_an_empty_library_has_a_site_that_says_so(tmp_path: Path) -> None:
    write_site(tmp_path, Shelf(), None)
    assert "No accepted kernels yet" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_run_without_a_kernel_counts_as_a_failure(tmp_path: Path, open_store: Callable[[Path], Store]) -> None:
    store = open_store(tmp_path / "store.sqlite")
    record(store, tmp_path / "library")
    write_site(tmp_path / "pages", Shelf(), store)
    text = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")
    assert "Tried and not won yet: spconv_forward on h200" in text
    assert "0 of 1 tasks are faster" in text


def test_the_best_so_far_never_falls_and_counts_evaluations(
    tmp_path: Path, open_store: Callable[[Path], Store]
) -> None:
    store = open_store(tmp_path / "store.sqlite")
    name, _ = record(store, tmp_path / "library")
    trail = follow(read_briefly(store.each_payload(name)))
    assert trail
    assert isinstance(store.events(name)[0], RunStarted)
    assert [x for x, _ in trail.by_evaluations] == [1, 2, 3, 4, 5, 6, 7]
    best = [y for _, y in trail.by_evaluations]
    assert best == sorted(best)
    assert len({row.step.identity for row in trail.tree()}) == len(trail.steps)


def test_a_damaged_event_is_named() -> None:
    with pytest.raises(StoreError, match="event 0 cannot be read"):
        list(read_briefly(['{"kind": "Evaluated"}']))


def test_a_difference_marks_added_and_removed_lines() -> None:
    changed = difference("a\nb\nc\n", "a\n<x>\nc\n")
    assert '<tr class="removed"><td class="n">−</td><td>b</td></tr>' in changed
    assert '<tr class="added"><td class="n">+</td><td>&lt;x&gt;</td></tr>' in changed
    assert difference("same\n", "same\n") == ""


@pytest.mark.parametrize(("low", "high"), [(1.0, 1000.0), (40.0, 300.0), (5.0, 6.0)])
def test_a_logarithmic_axis_has_ticks_inside_its_range(low: float, high: float) -> None:
    axis = charts.Axis("x", low, high, log=True)
    assert all(low <= tick <= high for tick in axis.ticks())
    assert axis.place(low) == 0
    assert axis.place(high) == 1


def test_comma_separated_values_read_back(tmp_path: Path, open_store: Callable[[Path], Store]) -> None:
    record(open_store(tmp_path / "store.sqlite"), tmp_path / "library")
    boards = make_boards(read_shelf([tmp_path / "library"], tmp_path / "cache").kernels)
    rows = list(csv.DictReader(io.StringIO(as_csv(boards))))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 6 * 5
    assert {row["source"] for row in rows} == {"modelled"}
    assert float(rows[0]["bound_us"]) / float(rows[0]["time_us"]) == pytest.approx(float(rows[0]["fraction"]))


def test_markdown_has_a_row_a_kernel_and_escapes_bars(tmp_path: Path, open_store: Callable[[Path], Store]) -> None:
    record(open_store(tmp_path / "store.sqlite"), tmp_path / "library")
    (board,) = make_boards(read_shelf([tmp_path / "library"], tmp_path / "cache").kernels)
    odd = replace(board, places=(replace(board.best, coder="a|b"),))
    assert as_markdown([board]).count("\n| ") == 2 + 6
    assert "a\\|b" in as_markdown([odd])


def test_the_command_writes_the_site_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(tmp_path / "store.sqlite") as store:
        record(store, tmp_path / "library")
    where = ["--library", str(tmp_path / "library"), "--store", str(tmp_path / "store.sqlite")]
    assert run(["leaderboard", *where, "--html", str(tmp_path / "out"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert Path(said["index"]).is_file()
    assert run(["leaderboard", *where, "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("task,task_digest,target")
