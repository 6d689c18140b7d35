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
    StopReason,
)
from warpsmith.core.outcome import Outcome
from warpsmith.core.profile import Critique
from warpsmith.core.quantity import Source
from warpsmith.core.spending import STAGES, Spending, Use
from warpsmith.leaderboard.site.brief import BriefEvaluated, BriefEvent, BriefProfile
from warpsmith.leaderboard.site.charts import Point


@dataclass(slots=True)
class Step:
    """One candidate of a run, filled as its events come."""

    proposed: Proposed
    outcome: Outcome | None = None
    profile: BriefProfile | None = None
    critique: Critique | None = None
    evaluated_at: int | None = None
    """Number of the event that holds the whole evaluation."""
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
    events: int = 1
    """So many are told."""
    last: str = "RunStarted"
    """Kind of the last one."""
    steps: list[Step] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    accepted: Accepted | None = None
    finished: RunFinished | None = None
    spending: Spending = field(default_factory=Spending)
    by_evaluations: list[Point] = field(default_factory=list)
    """(evaluations, best fraction of the bound so far)."""
    by_dollars: list[Point] = field(default_factory=list)
    _known: dict[str, Step] = field(default_factory=dict)
    _evaluations: int = 0

    @property
    def run(self) -> str:
        return self.started.run

    @property
    def about(self) -> tuple[str, str, str, str]:
        """Task, its digest, target and source of times: of the board that its kernels stand on."""
        started = self.started
        return started.task, started.task_digest, started.target, self.source.value

    @property
    def evaluations(self) -> int:
        """All of them, that of the first candidate included."""
        return self._evaluations

    @property
    def dollars(self) -> float | None:
        """None: a price is unknown."""
        return self.spending.dollars

    @property
    def tokens(self) -> int:
        return self.spending.tokens

    @property
    def uses(self) -> tuple[Use, ...]:
        """What is spent of each limit."""
        return self.spending.uses(self.started.settings)

    @property
    def stage(self) -> str:
        """What is being done, as far as its last event tells."""
        return STAGES[self.last]

    @property
    def ended(self) -> bool:
        return self.finished is not None and self.finished.reason is not StopReason.INTERRUPTED

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
        return self._known.get(identity)

    def hear(self, event: BriefEvent) -> None:
        """Take in the next event."""
        match event:
            case Called():
                self.calls.append(event)
                self.spending.called(event)
            case Proposed() if event.candidate not in self._known:
                self._propose(event)
            case BriefEvaluated():
                if step := self.find(event.evaluation.candidate):
                    self._evaluate(step, event)
            case Judged():
                if judged := self.find(event.critique.candidate):
                    judged.critique = event.critique
            case Accepted():
                self.accepted = event
            case RunFinished():
                self.finished = event
        if self.finished is not None and not isinstance(event, RunFinished):
            self.finished = None  # it was interrupted, and goes on
        self.events, self.last = self.events + 1, event.kind

    def _propose(self, event: Proposed) -> None:
        step = self._known[event.candidate] = Step(event)
        self.steps.append(step)
        self.spending.proposed(event)
        if parent := self.find(event.parent):
            parent.children.append(step)

    def _evaluate(self, step: Step, event: BriefEvaluated) -> None:
        """A confirmation has the last word on the outcome; the figures stay those of the first evaluation."""
        again = step.outcome is not None
        step.outcome = event.evaluation.outcome
        if event.kind == "Confirmed":
            step.profile = step.profile if event.evaluation.outcome.kind == "Verified" else None
            return
        step.profile, step.evaluated_at = event.evaluation.profile, self.events
        self._evaluations += not again
        self.spending.evaluated(step.identity, sum(stage.seconds for stage in event.evaluation.stages))
        _note(self.by_evaluations, float(self._evaluations), step.fraction)
        if self.dollars is not None:
            _note(self.by_dollars, self.dollars, step.fraction)


def follow(events: Iterable[BriefEvent]) -> Trail | None:
    """Tell a run from its events; None where they do not begin one."""
    trail: Trail | None = None
    for event in events:
        if isinstance(event, RunStarted):
            trail = Trail(event)
        elif trail is not None:
            trail.hear(event)
    return trail


def _note(points: list[Point], at: float, fraction: float | None) -> None:
    best = points[-1][1] if points else 0.0
    points.append((at, max(best, fraction or 0.0)))
