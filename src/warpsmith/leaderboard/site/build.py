"""The site as a whole: which pages there are and what each is given."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from warpsmith.core.arch import find_architecture
from warpsmith.core.events import EVENT, Evaluated
from warpsmith.kernels_generated.library import Entry, Refusal
from warpsmith.leaderboard.board import Board, make_boards
from warpsmith.leaderboard.site import charts
from warpsmith.leaderboard.site.brief import read_briefly
from warpsmith.leaderboard.site.deltas import deltas
from warpsmith.leaderboard.site.overview import board_page, sections
from warpsmith.leaderboard.site.pages import Pages, bounded
from warpsmith.leaderboard.site.source import annotated, difference
from warpsmith.leaderboard.site.trail import Step, Trail, follow

if TYPE_CHECKING:
    from warpsmith.core.profile import Profile
    from warpsmith.store import Store

RANKED = 400
"""Kernels of one board on a page; more go to further pages."""
DETAILED = 25
"""The best kernels of one board: their pages show profile and changes, the others' text and times alone."""
COMPARED = 500
"""Kernels that can be compared side by side: the best of each board come first."""


@dataclass(frozen=True, slots=True)
class Comparable:
    """A kernel as the comparison page holds it."""

    entry: Entry
    board: Board
    rank: int

    @property
    def times(self) -> str:
        """Workload and microseconds, as JSON pairs."""
        return json.dumps([(it.workload, round(it.time_us, 4)) for it in self.entry.manifest.workloads])


def write_site(
    folder: Path, entries: Sequence[Entry], refused: Sequence[Refusal], store: Store | None
) -> tuple[Path, ...]:
    """Write the whole site.

    Args:
        folder: where; made where it is missing, and pages of an earlier site in it are replaced.
        entries: kernels of the library.
        refused: entries that nobody should trust, listed with the reason.
        store: recorded runs; None leaves run pages, progress and differences to parents out.

    Raises:
        LibraryError: the folder cannot be written, or an entry's evidence was changed.
        StoreError: a run cannot be read.
    """
    site = _Site(Pages(folder), tuple(entries), store)
    site.write(refused)
    return tuple(site.pages.written)


class _Site:
    def __init__(self, pages: Pages, entries: tuple[Entry, ...], store: Store | None) -> None:
        self.pages, self.entries, self.store = pages, entries, store
        self.boards = make_boards(entries)
        self.by_digest = {entry.digest: entry for entry in entries}
        self.trails = list(self._trails())
        self.by_run = {trail.started.run: trail for trail in self.trails}

    def _trails(self) -> Iterable[Trail]:
        for run in self.store.runs() if self.store else ():
            if self.store and (trail := follow(read_briefly(self.store.each_payload(run.run)))):
                yield trail

    def write(self, refused: Sequence[Refusal]) -> None:
        found = sections(self.boards, self.entries, self.trails)
        self.pages.write(
            "overview.html.j2", "index.html", sections=found, trails=self.trails, refused=refused, boards=self.boards
        )
        for board in self.boards:
            self._board(board)
        for trail in self.trails:
            self._run(trail)
        self._compare()

    def _board(self, board: Board) -> None:
        page = board_page(board)
        batches = [board.places[at : at + RANKED] for at in range(0, len(board.places), RANKED)]
        names = [page, *(page.removesuffix(".html") + f"-{number}.html" for number in range(2, len(batches) + 1))]
        profile = self._profile(self.by_digest[board.places[0].kernel])
        trails = [trail for trail in self.trails if _of(trail, board)]
        for name, places in zip(names, batches, strict=True):
            self.pages.write(
                "task.html.j2",
                name,
                board=board,
                places=places,
                entries=self.by_digest,
                names=names,
                roofline=_roofline(profile, board.target) if profile else "",
                trails=[(it, charts.progress(it.by_evaluations, "evaluations"), _by_dollars(it)) for it in trails[:8]],
            )
        for place in board.places:
            self._kernel(board, place.rank, self.by_digest[place.kernel])

    def _kernel(self, board: Board, rank: int, entry: Entry) -> None:
        detailed = rank <= DETAILED
        profile = self._profile(entry) if detailed else None
        parent = self._parent(entry) if detailed else None
        before = self._digested(parent.proposed.text_digest) if parent else None
        changed = self._whole_profile(entry.manifest.lineage.run, parent) if parent else None
        self.pages.write(
            "kernel.html.j2",
            f"kernels/{entry.digest[:12]}.html",
            entry=entry,
            manifest=entry.manifest,
            board=board,
            board_page=board_page(board),
            rank=rank,
            detailed=detailed,
            profile=profile,
            lines=annotated(entry.text, profile),
            parent=parent,
            changes=difference(before, entry.text) if before is not None else (),
            deltas=deltas(changed, profile) if changed and profile else (),
            run=self.by_run.get(entry.manifest.lineage.run),
        )

    def _profile(self, entry: Entry) -> Profile | None:
        evaluation = entry.evaluation()
        return evaluation.profile if evaluation else None

    def _parent(self, entry: Entry) -> Step | None:
        trail = self.by_run.get(entry.manifest.lineage.run)
        step = trail.find(entry.manifest.candidate) if trail else None
        return trail.find(step.proposed.parent) if trail and step else None

    def _whole_profile(self, run: str, step: Step) -> Profile | None:
        """With counters, read again from the store."""
        if step.profile is None or self.store is None:
            return None
        for payload in self.store.each_payload(run):
            if '"Evaluated"' in payload[:40] and step.identity in payload:
                event = EVENT.validate_json(payload)
                if isinstance(event, Evaluated) and event.evaluation.candidate == step.identity:
                    return event.evaluation.profile
        return None

    def _digested(self, digest: str) -> str:
        """A text of the store; empty where there is none."""
        return self.store.get_text(digest) if self.store and digest else ""

    def _run(self, trail: Trail) -> None:
        run = trail.started.run
        accepted = self.by_digest.get(trail.accepted.kernel) if trail.accepted else None
        self.pages.write(
            "run.html.j2",
            f"runs/{run}.html",
            trail=trail,
            accepted=accepted,
            rows=trail.tree(),
            by_evaluations=charts.progress(trail.by_evaluations, "evaluations"),
            by_dollars=_by_dollars(trail),
        )
        for call in trail.calls:
            prompt, reply = (bounded(self._digested(it)) for it in (call.prompt, call.reply))
            place = f"runs/{run}/{call.label}.html"
            self.pages.write("call.html.j2", place, trail=trail, call=call, prompt=prompt, reply=reply)

    def _compare(self) -> None:
        ranked = [Comparable(self.by_digest[it.kernel], board, it.rank) for board in self.boards for it in board.places]
        ranked.sort(key=lambda it: (it.rank, it.board.task, it.board.target))
        left_out = max(0, len(ranked) - COMPARED)
        self.pages.write("compare.html.j2", "compare.html", kernels=ranked[:COMPARED], left_out=left_out)


def _of(trail: Trail, board: Board) -> bool:
    started = trail.started
    about = (started.task, started.task_digest, started.target, trail.source)
    return about == (board.task, board.task_digest, board.target, board.source)


def _by_dollars(trail: Trail) -> str:
    """Nothing where no call was paid for."""
    return charts.progress(trail.by_dollars, "dollars") if trail.dollars and trail.by_dollars else ""


def _roofline(profile: Profile, target: str) -> str:
    items = [
        charts.Attained(it.workload, it.bound.flops, it.bound.bytes, it.duration.us, it.bound.us)
        for it in profile.workloads
    ]
    return charts.roofline(items, find_architecture(target).dram_gbps)
