"""What a run's events add up to. `fold` is pure: equal events give an equal state, on any day and any machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce

from warpsmith.core.candidate import Candidate
from warpsmith.core.events import (
    Accepted,
    Confirmed,
    Evaluated,
    Event,
    Judged,
    Proposed,
    RunFinished,
    RunStarted,
    StopReason,
)
from warpsmith.core.outcome import Verified
from warpsmith.core.profile import Critique, Profile
from warpsmith.core.protocols import Evaluation


@dataclass(frozen=True, slots=True)
class Attempt:
    """One round so far."""

    proposed: Proposed
    candidate: Candidate
    evaluation: Evaluation | None = None
    critique: Critique | None = None
    confirmation: Evaluation | None = None

    @property
    def identity(self) -> str:
        return self.proposed.candidate

    @property
    def profile(self) -> Profile | None:
        """Present where the candidate is verified and no confirmation has said otherwise."""
        if self.confirmation and not isinstance(self.confirmation.outcome, Verified):
            return None
        return self.evaluation.profile if self.evaluation else None

    @property
    def verdict(self) -> Evaluation | None:
        """The latest word of the gate: the confirmation, where it was sought."""
        return self.confirmation or self.evaluation


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as far as it has come."""

    count: int = 0
    """Events so far."""
    started: RunStarted | None = None
    attempts: tuple[Attempt, ...] = ()
    """One a round, in order."""
    accepted: Accepted | None = None
    finished: RunFinished | None = None
    """Stays None through an interruption."""

    @property
    def run(self) -> RunStarted:
        """The first event; a run without one is not a run."""
        if self.started is None:
            raise ValueError("a run begins with RunStarted")
        return self.started

    @property
    def tried(self) -> frozenset[str]:
        """Identities of all candidates proposed."""
        return frozenset(attempt.identity for attempt in self.attempts)

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def baseline(self) -> Attempt | None:
        """What the run began with, where that is verified: the first kernel to beat."""
        first = self.attempts[0] if self.attempts else None
        return first if first and first.profile else None

    @property
    def best(self) -> Attempt | None:
        """The fastest verified candidate, by any margin; the earlier one of equals."""
        return fastest(self.attempts)

    def find(self, identity: str) -> Attempt | None:
        """The first attempt at this candidate."""
        return next((attempt for attempt in self.attempts if attempt.identity == identity), None)

    def advance(self, event: Event, texts: Callable[[str], str]) -> RunState:
        """The state one event later.

        Raises:
            ValueError: the event does not fit: it speaks of a candidate that was not proposed, or follows the end.
        """
        if self.finished is not None:
            raise ValueError(f"{event.kind} after the run finished")
        return replace(self._with(event, texts), count=self.count + 1)

    def _with(self, event: Event, texts: Callable[[str], str]) -> RunState:
        match event:
            case RunStarted():
                return replace(self, started=event)
            case Proposed():
                return replace(self, attempts=(*self.attempts, self._open(event, texts)))
            case Evaluated():
                return self._amend(event.evaluation.candidate, lambda it: replace(it, evaluation=event.evaluation))
            case Judged():
                return self._amend(event.critique.candidate, lambda it: replace(it, critique=event.critique))
            case Confirmed():
                return self._amend(event.evaluation.candidate, lambda it: replace(it, confirmation=event.evaluation))
            case Accepted():
                return replace(self, accepted=event)
            case RunFinished():
                return self if event.reason is StopReason.INTERRUPTED else replace(self, finished=event)

    def _open(self, event: Proposed, texts: Callable[[str], str]) -> Attempt:
        earlier = self.find(event.candidate)
        if earlier:  # a repeated candidate is not evaluated again: it has its answer
            return replace(earlier, proposed=event)
        return Attempt(event, self._candidate(event, texts))

    def _candidate(self, event: Proposed, texts: Callable[[str], str]) -> Candidate:
        text = texts(event.text_digest)
        candidate = Candidate(task=self.run.task, language=event.language, text=text, knobs=event.knobs)
        if candidate.identity != event.candidate:
            raise ValueError(f"round {event.round} does not match its text and knobs")
        return candidate

    def _amend(self, identity: str, change: Callable[[Attempt], Attempt]) -> RunState:
        if identity not in self.tried:
            raise ValueError(f"candidate {identity[:12]} was never proposed")
        return replace(self, attempts=tuple(change(it) if it.identity == identity else it for it in self.attempts))


def fastest(attempts: Iterable[Attempt]) -> Attempt | None:
    """The verified attempt with the largest geometric-mean speedup; the earlier one of equals."""
    best: Attempt | None = None
    for attempt in attempts:
        if attempt.profile is None:
            continue
        if best is None or best.profile is None or attempt.profile.speedup_over(best.profile) > 1:
            best = attempt
    return best


def fold(events: Iterable[Event], texts: Callable[[str], str]) -> RunState:
    """Add up a run's events, from the first.

    Args:
        events: in order.
        texts: digest -> kernel text.

    Raises:
        ValueError: the sequence is not a run's.
    """
    return reduce(lambda state, event: state.advance(event, texts), events, RunState())
