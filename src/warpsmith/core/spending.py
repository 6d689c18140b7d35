"""What a run has used of its limits, added up as its events come: for those who watch it."""

from __future__ import annotations

from dataclasses import dataclass, field

from warpsmith.core.events import Called, Proposed, RunSettings

STAGES = {
    "RunStarted": "starts",
    "Chosen": "the Coder writes",
    "Called": "a model answered",
    "Abandoned": "the next round is chosen",
    "Proposed": "the gate evaluates",
    "Evaluated": "the Judge reads",
    "Judged": "the next round is chosen",
    "Confirmed": "the best is accepted or not",
    "Accepted": "ends",
    "RunFinished": "ended",
}
"""Kind of the last event -> what is being done now."""


@dataclass(frozen=True, slots=True)
class Use:
    """How much of one thing is used."""

    name: str
    """`rounds`, `evaluations`, `tokens`, `dollars` or `minutes`."""
    spent: float | None
    """None: unknown, where a price is."""
    limit: float | None
    """None: there is none."""

    @property
    def left(self) -> float | None:
        """None where there is no limit or nobody knows what is spent."""
        return None if self.limit is None or self.spent is None else max(0.0, self.limit - self.spent)


@dataclass(slots=True)
class Spending:
    """The same sums as the budget's: what the run began with and confirmations count towards no limit."""

    tokens: int = 0
    dollars: float | None = 0.0
    """None: a price is unknown."""
    seconds: float = 0.0
    """Of models and gate; waiting does not count."""
    evaluations: int = 0
    rounds: int = 0
    _first: str = ""
    """Candidate that the run began with, which no model was asked for."""
    _asked: set[int] = field(default_factory=set)

    def called(self, call: Called) -> None:
        """Take in a model's answer."""
        self.tokens += call.usage.total
        self.seconds += call.seconds
        self.dollars = None if call.dollars is None or self.dollars is None else self.dollars + call.dollars
        if call.role == "coder":
            self._asked.add(call.round)

    def proposed(self, event: Proposed) -> None:
        """Take in a candidate."""
        if not self.rounds and event.round not in self._asked:
            self._first = event.candidate
        self.rounds = max(self.rounds, event.round)

    def evaluated(self, candidate: str, seconds: float) -> None:
        """Take in the gate's first answer on a candidate, and how long it took."""
        if candidate == self._first:
            self._first = ""
            return
        self.evaluations += 1
        self.seconds += seconds

    def uses(self, settings: RunSettings, working_s: float = 0.0) -> tuple[Use, ...]:
        """Each thing that a run can be limited in.

        Args:
            settings: of the run.
            working_s: seconds since its last event, where it is at work.
        """
        budget = settings.budget
        return (
            Use("rounds", self.rounds, settings.rounds),
            Use("evaluations", self.evaluations, budget.evaluations),
            Use("tokens", self.tokens, budget.tokens),
            Use("dollars", self.dollars, budget.dollars),
            Use("minutes", (self.seconds + working_s) / 60, budget.minutes),
        )


def said(use: Use) -> str:
    """`minutes: 3.2 of 10, 6.8 left`, or `minutes: 3.2` where there is no limit."""
    spent = "unknown" if use.spent is None else _amount(use.name, use.spent)
    if use.limit is None:
        return f"{use.name}: {spent}"
    left = "" if use.left is None else f", {_amount(use.name, use.left)} left"
    return f"{use.name}: {spent} of {use.limit:,g}{left}"


def _amount(name: str, value: float) -> str:
    return f"{value:.1f}" if name == "minutes" else f"{value:.4g}" if name == "dollars" else f"{value:,.0f}"
