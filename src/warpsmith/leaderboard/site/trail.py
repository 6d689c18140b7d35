"""What a recorded run did, as its page tells it: candidates in a tree, calls of models, the best so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from warpsmith.core.events import (
    Accepted,
    Called,
    Judged,
    Proposed,
    RunFinished,
    RunStarted,
)
from warpsmith.core.outcome import Outcome
from warpsmith.core.profile import Critique
from warpsmith.core.quantity import Source
from warpsmith.leaderboard.site.brief import BriefEvaluated, BriefEvent, BriefProfile
from warpsmith.leaderboard.site.charts import Point


@dataclass(slots=True)
class Step:
    """One candidate of a run, filled as its events come."""

    proposed: Proposed
    outcome: Outcome | None = None
    profile: BriefProfile | None = None
    critique: Critique | None = None
    children: list[Step] = field(default_factory=list)

    @property
    def identity(self) -> str:
        return self.proposed.candidate

    @property
    def fraction(self) -> float | None:
        """Of the bound, geometric mean over workloads; None where it is not verified."""
        return self.profile.fraction if self.profile else None

    @property
    def message(self) -> str:
        return str(getattr(self.outcome, "message", ""))


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate in the tree."""

    step: Step
    parent: Step | None
    depth: int


@dataclass(slots=True)
class Trail:
    """A run, told from its events."""

    started: RunStarted
    steps: list[Step] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    accepted: Accepted | None = None
    finished: RunFinished | None = None
    by_evaluations: list[Point] = field(default_factory=list)
    """(evaluations, best fraction of the bound so far)."""
    by_dollars: list[Point] = field(default_factory=list)

    @property
    def evaluations(self) -> int:
        return sum(step.outcome is not None for step in self.steps)

    @property
    def dollars(self) -> float | None:
        """None: a price is unknown."""
        spent = [call.dollars for call in self.calls]
        return None if None in spent else sum(it for it in spent if it is not None)

    @property
    def tokens(self) -> int:
        return sum(call.usage.input_tokens + call.usage.output_tokens for call in self.calls)

    @property
    def source(self) -> Source:
        """Of its times."""
        return Source.MEASURED if self.started.device == "gpu" else Source.MODELLED

    @property
    def reason(self) -> str:
        return self.finished.reason.value if self.finished else "cut off or running"

    @property
    def best(self) -> float | None:
        """Best fraction of the bound."""
        return max((step.fraction for step in self.steps if step.fraction), default=None)

    def tree(self) -> list[Row]:
        """Each candidate below the one it was made from, depth first; those without a parent in the run come first."""
        rows = list[Row]()
        open_ = [Row(step, None, 0) for step in reversed(self.steps) if not self.find(step.proposed.parent)]
        while open_:
            row = open_.pop()
            rows.append(row)
            open_ += [Row(child, row.step, row.depth + 1) for child in reversed(row.step.children)]
        return rows

    def find(self, identity: str) -> Step | None:
        return next((step for step in self.steps if identity and step.identity == identity), None)


def follow(events: Iterable[BriefEvent]) -> Trail | None:
    """Tell a run from its events; None where they do not begin one."""
    trail: Trail | None = None
    for event in events:
        if isinstance(event, RunStarted):
            trail = Trail(event)
        elif trail is not None:
            _hear(trail, event)
    return trail


def _hear(trail: Trail, event: BriefEvent) -> None:
    match event:
        case Called():
            trail.calls.append(event)
        case Proposed() if not trail.find(event.candidate):
            step = Step(event)
            trail.steps.append(step)
            if parent := trail.find(event.parent):
                parent.children.append(step)
        case BriefEvaluated():
            if evaluated := trail.find(event.evaluation.candidate):
                _evaluated(trail, evaluated, event)
        case Judged():
            if judged := trail.find(event.critique.candidate):
                judged.critique = event.critique
        case Accepted():
            trail.accepted = event
        case RunFinished():
            trail.finished = event


def _evaluated(trail: Trail, step: Step, event: BriefEvaluated) -> None:
    """A confirmation has the last word on the outcome; the figures stay those of the first evaluation."""
    step.outcome = event.evaluation.outcome
    if event.kind == "Confirmed":
        step.profile = step.profile if event.evaluation.outcome.kind == "Verified" else None
        return
    step.profile = event.evaluation.profile
    _note(trail.by_evaluations, float(trail.evaluations), step.fraction)
    if (dollars := trail.dollars) is not None:
        _note(trail.by_dollars, dollars, step.fraction)


def _note(points: list[Point], at: float, fraction: float | None) -> None:
    best = points[-1][1] if points else 0.0
    points.append((at, max(best, fraction or 0.0)))
