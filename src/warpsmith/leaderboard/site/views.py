"""What each kind of page is given: a template and its values, for a place below the site's folder."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from markupsafe import Markup

from warpsmith.core.arch import find_architecture
from warpsmith.kernels_generated.library import read_entry
from warpsmith.kernels_generated.summary import Summary
from warpsmith.leaderboard.board import Board
from warpsmith.leaderboard.site import charts
from warpsmith.leaderboard.site.data import LISTED, RANKED, SHORT, Data, Place, board_name, board_page, runs_page
from warpsmith.leaderboard.site.deltas import deltas
from warpsmith.leaderboard.site.overview import sections
from warpsmith.leaderboard.site.pages import bounded
from warpsmith.leaderboard.site.profiles import ProfileShown, shown
from warpsmith.leaderboard.site.source import annotated, difference
from warpsmith.leaderboard.site.trail import Step, Trail

View: TypeAlias = tuple[str, dict[str, Any]]
"""A template, and what it is given."""

DETAILED = 25
"""The best kernels of one board: their pages show profile and changes, the others' text and times alone."""
COMPARED = 3000
"""Kernels of one board that can be compared: the best ones."""
MOST_FACTS = 350_000
"""Bytes that they may take on the page."""
NEWEST = 12
"""Runs that the first page shows."""
PLOTTED = 6
"""Runs of a board whose progress its page draws."""
BRANCHES, CALLS = 250, 400
"""Candidates and calls of a run that its page lists."""


def overview(data: Data) -> View:
    trails = list(data.trails.values())
    view = {
        "sections": sections(data.boards, trails),
        "boards": data.boards,
        "trails": trails[:NEWEST],
        "runs": len(trails),
        "updated": data.updated,
        "shelf": data.shelf,
    }
    return "overview.html.j2", view


def runs(data: Data, number: int) -> View:
    trails = list(data.trails.values())
    names = [runs_page(at) for at in range(1, -(-len(trails) // LISTED) + 1)]
    shown_ = trails[(number - 1) * LISTED : number * LISTED]
    return "runs.html.j2", {"trails": shown_, "runs": len(trails), "names": names, "updated": data.updated}


def board(data: Data, of: Board, number: int) -> View:
    first = (number - 1) * RANKED
    profile = _profile(of.best)
    trails = data.of_board(of)
    view = {
        "board": of,
        "places": list(enumerate(of.places[first : first + RANKED], first + 1)),
        "names": [board_page(of, at) for at in range(1, -(-len(of.places) // RANKED) + 1)],
        "compare": f"compare/{board_name(of)}.html",
        "roofline": _roofline(profile, of.target) if profile else "",
        "trails": [(it, _by_evaluations(it), _by_dollars(it)) for it in trails[:PLOTTED]],
        "runs": len(trails),
        "updated": data.updated,
    }
    return "task.html.j2", view


def comparison(data: Data, of: Board) -> View:
    """Times of a board's kernels as JSON, for the page's script."""
    kernels = of.places[:COMPARED]
    workloads = list(dict.fromkeys(item.workload for it in kernels for item in it.timings))
    facts = [_facts(it, workloads) for it in kernels]
    size = len(json.dumps(facts))
    kept = len(facts) if size <= MOST_FACTS else len(facts) * MOST_FACTS // size
    view = {
        "board": of,
        "board_page": board_page(of),
        "left_out": len(of.places) - kept,
        "facts": {"workloads": workloads, "kernels": facts[:kept]},
    }
    return "compare.html.j2", view


def _facts(kernel: Summary, workloads: list[str]) -> list[Any]:
    """Digest, fraction, ratio to the seed, coder, day, and microseconds at each workload or null."""
    times = {item.workload: float(f"{item.time_us:.5g}") for item in kernel.timings}
    ratio = kernel.speedup_over_seed
    about = (kernel.kernel[:SHORT], round(kernel.fraction, 6), ratio and round(ratio, 2), kernel.coder)
    return [*about, kernel.created[:10], [times.get(name) for name in workloads]]


def comparisons(data: Data) -> View:
    boards = [(board, f"compare/{board_name(board)}.html") for board in data.boards if len(board.places) > 1]
    return "comparisons.html.j2", {"boards": boards}


def kernel(data: Data, place: Place) -> View:
    entry = read_entry(place.kernel.folder)
    detailed = place.rank <= DETAILED
    profile = _profile(place.kernel) if detailed else None
    trail = data.find_trail(place.kernel)
    parent = _parent(place.kernel, trail) if detailed and trail else None
    before = data.text(parent.proposed.text_digest) if parent else ""
    theirs = _whole_profile(data, trail, parent) if parent and trail else None
    view = {
        "entry": entry,
        "manifest": entry.manifest,
        "board": place.board,
        "board_page": board_page(place.board),
        "compare": f"compare/{board_name(place.board)}.html" if len(place.board.places) > 1 else "",
        "rank": place.rank,
        "detailed": detailed,
        "profile": profile,
        "lines": annotated(entry.text, profile),
        "parent": parent,
        "changes": difference(before, entry.text) if before else "",
        "deltas": deltas(theirs, profile) if theirs and profile else (),
        "run": trail,
    }
    return "kernel.html.j2", view


def _profile(of: Summary) -> ProfileShown | None:
    evidence = read_entry(of.folder).evidence()
    return shown(evidence) if evidence else None


def _parent(of: Summary, trail: Trail) -> Step | None:
    step = trail.find(of.candidate)
    return trail.find(step.proposed.parent) if step else None


def _whole_profile(data: Data, trail: Trail, step: Step) -> ProfileShown | None:
    """With counters, read again from the store."""
    if step.profile is None or step.evaluated_at is None or data.store is None:
        return None
    event = data.store.event_at(trail.run, step.evaluated_at)
    return shown(event.evaluation.model_dump_json()) if event and event.kind == "Evaluated" else None


def run(data: Data, trail: Trail) -> View:
    rows = trail.tree()
    accepted = data.kernels.get(trail.accepted.kernel[:SHORT]) if trail.accepted else None
    view = {
        "trail": trail,
        "accepted": accepted,
        "rows": rows[:BRANCHES],
        "left_out": max(0, len(rows) - BRANCHES),
        "calls": trail.calls[:CALLS],
        "by_evaluations": _by_evaluations(trail),
        "by_dollars": _by_dollars(trail),
        "updated": data.updated.get(trail.run, ""),
    }
    return "run.html.j2", view


def call(data: Data, trail: Trail, label: str) -> View | None:
    found = next((it for it in trail.calls if it.label == label), None)
    if found is None:
        return None
    prompt, reply = (bounded(data.text(digest)) for digest in (found.prompt, found.reply))
    return "call.html.j2", {"trail": trail, "call": found, "prompt": prompt, "reply": reply}


def _by_evaluations(trail: Trail) -> Markup:
    return charts.progress(trail.by_evaluations, "evaluations")


def _by_dollars(trail: Trail) -> Markup | str:
    """Nothing where no call was paid for."""
    return charts.progress(trail.by_dollars, "dollars") if trail.dollars and trail.by_dollars else ""


def _roofline(profile: ProfileShown, target: str) -> Markup:
    items = [charts.Attained(it.workload, it.flops, it.bytes, it.time_us, it.bound_us) for it in profile.workloads]
    return charts.roofline(items, find_architecture(target).dram_gbps)
