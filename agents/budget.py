"""What a run has used, and whether it may use more. Counted from its events, so a resumed run knows what it spent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from warpsmith.agents.state import RunState
from warpsmith.core.calls import Usage
from warpsmith.core.protocols import Evaluation


@dataclass(frozen=True, slots=True)
class Spent:
    """One sum."""

    tokens: int = 0
    dollars: float = 0.0
    """Of calls whose price is known."""
    unpriced: int = 0
    """Calls whose price is not."""
    seconds: float = 0.0
    """Of work: thinking and evaluating, added up; never of waiting."""
    evaluations: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.tokens + other.tokens,
            self.dollars + other.dollars,
            self.unpriced + other.unpriced,
            self.seconds + other.seconds,
            self.evaluations + other.evaluations,
        )


def spent_on_search(state: RunState) -> Spent:
    """All calls, and all evaluations but that of what the run began with; confirmations verify."""
    total = Spent()
    for call in state.calls:
        total += Spent(call.usage.total, call.dollars or 0.0, int(call.dollars is None), call.seconds)
    searched = state.attempts[1 if state.given else 0 :]
    seconds = sum(seconds_of(attempt.evaluation for attempt in searched))
    return total + Spent(seconds=seconds, evaluations=len(searched))


def seconds_of(evaluations: Iterable[Evaluation | None]) -> Iterable[float]:
    """Time each took in the gate."""
    return (sum(stage.seconds for stage in it.stages) for it in evaluations if it is not None)


def overspent(state: RunState, promised: Spent | None = None) -> str:
    """Which limit is reached, in words; empty while there is room.

    Args:
        state: the run.
        promised: what calls under way may use at most.
    """
    budget = state.run.settings.budget
    if budget.model_dump(exclude_none=True) == {}:
        return ""
    spent = spent_on_search(state) + (promised or Spent())
    if budget.tokens is not None and spent.tokens >= budget.tokens:
        return f"{spent.tokens} of {budget.tokens} tokens are spent"
    if budget.dollars is not None and spent.dollars >= budget.dollars:
        return f"{spent.dollars:.2f} of {budget.dollars:.2f} dollars are spent"
    if budget.minutes is not None and spent.seconds >= 60 * budget.minutes:
        return f"{spent.seconds / 60:.1f} of {budget.minutes:g} minutes are spent"
    if budget.evaluations is not None and spent.evaluations >= budget.evaluations:
        return f"{spent.evaluations} of {budget.evaluations} evaluations are spent"
    return ""


def at_most(usage: Usage, price: float | None) -> Spent:
    """What a call under way may come to."""
    return Spent(tokens=usage.total, dollars=price or 0.0)
