"""What a run's events add up to. `fold` is pure: equal events give an equal state, on any day and any machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import reduce

from warpsmith.core.candidate import Candidate
from warpsmith.core.events import (
    Abandoned,
    Accepted,
    Called,
    Chosen,
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
from warpsmith.core.profile import Critique, Profile, Score
from warpsmith.core.protocols import Evaluation


@dataclass(frozen=True, slots=True)
class Attempt:
    """One round so far."""

    proposed: Proposed
    candidate: Candidate
    evaluation: Evaluation | None = None
    critique: Critique | None = None
    score: Score | None = None
    """How the prediction made for its parent came out."""
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
    """One a round that came to a candidate, in the order they came."""
    chosen: tuple[Chosen, ...] = ()
    """Rounds for which the Coder is being asked."""
    abandoned: tuple[Abandoned, ...] = ()
    calls: tuple[Called, ...] = ()
    rounds: int = 0
    """Rounds opened so far."""
    identities: tuple[str, ...] = field(default=(), repr=False)
    """Of `attempts`, in their order."""
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
        return frozenset(self.identities)

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def open_attempts(self) -> tuple[Attempt, ...]:
        """Proposed, and not yet evaluated and judged."""
        return tuple(attempt for attempt in self.attempts if attempt.critique is None)

    @property
    def settled(self) -> tuple[Attempt, ...]:
        """Evaluated and judged."""
        return tuple(attempt for attempt in self.attempts if attempt.critique is not None)

    @property
    def halt(self) -> Abandoned | None:
        """The abandoned round whose reason ends the search."""
        return next((it for it in self.abandoned if it.stop is not None), None)

    @property
    def given(self) -> Attempt | None:
        """The first candidate, where the run began with it: a seed or a user's kernel, which no model was asked for."""
        first = self.attempts[0] if self.attempts else None
        asked = first and any((call.round, call.role) == (first.proposed.round, "coder") for call in self.calls[:8])
        return None if asked else first

    @property
    def baseline(self) -> Attempt | None:
        """What the run began with, where that is verified: the first kernel to beat."""
        return self.given if self.given and self.given.profile else None

    @property
    def best(self) -> Attempt | None:
        """The fastest verified candidate, by any margin; the earlier one of equals."""
        return fastest(self.attempts)

    def find(self, identity: str) -> Attempt | None:
        """The first attempt at this candidate."""
        return self.attempts[self.identities.index(identity)] if identity in self.identities else None

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
            case Chosen():
                return replace(self, chosen=(*self.chosen, event), rounds=max(self.rounds, event.round))
            case Called():
                return replace(self, calls=(*self.calls, event))
            case Abandoned():
                return replace(self._without(event.round), abandoned=(*self.abandoned, event))
            case Proposed():
                return self._without(event.round)._open(event, texts)
            case Evaluated():
                return self._amend(event.evaluation.candidate, lambda it: replace(it, evaluation=event.evaluation))
            case Judged():
                return self._amend(
                    event.critique.candidate, lambda it: replace(it, critique=event.critique, score=event.score)
                )
            case Confirmed():
                return self._amend(event.evaluation.candidate, lambda it: replace(it, confirmation=event.evaluation))
            case Accepted():
                return replace(self, accepted=event)
            case RunFinished():
                return self if event.reason is StopReason.INTERRUPTED else replace(self, finished=event)

    def _without(self, number: int) -> RunState:
        """The round is no longer one for which the Coder is being asked."""
        return replace(self, chosen=tuple(it for it in self.chosen if it.round != number))

    def _open(self, event: Proposed, texts: Callable[[str], str]) -> RunState:
        earlier = self.find(event.candidate)
        # A repeated candidate is not evaluated again: it has its answer.
        attempt = replace(earlier, proposed=event) if earlier else Attempt(event, self._candidate(event, texts))
        return replace(
            self,
            attempts=(*self.attempts, attempt),
            identities=(*self.identities, event.candidate),
            rounds=max(self.rounds, event.round),
        )

    def _candidate(self, event: Proposed, texts: Callable[[str], str]) -> Candidate:
        text = texts(event.text_digest)
        candidate = Candidate(task=self.run.task, language=event.language, text=text, knobs=event.knobs)
        if candidate.identity != event.candidate:
            raise ValueError(f"round {event.round} does not match its text and knobs")
        return candidate

    def _amend(self, identity: str, change: Callable[[Attempt], Attempt]) -> RunState:
        if identity not in self.identities:
            raise ValueError(f"candidate {identity[:12]} was never proposed")
        attempts, place = list(self.attempts), -1
        for _ in range(self.identities.count(identity)):
            place = self.identities.index(identity, place + 1)
            attempts[place] = change(attempts[place])
        return replace(self, attempts=tuple(attempts))


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
