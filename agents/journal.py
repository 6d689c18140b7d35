"""A run's events as they are written, and on a replay their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from warpsmith.agents.protocols import EventLog, Observer
from warpsmith.agents.state import RunState
from warpsmith.core.calls import Finish
from warpsmith.core.errors import ModelError, SettingsError
from warpsmith.core.events import (
    Abandoned,
    Called,
    Chosen,
    Confirmed,
    Evaluated,
    Event,
    Judged,
    Proposed,
    RunFinished,
    StopReason,
)


class ReplayDivergedError(ModelError):
    """A replayed run did something that the recorded one did not."""


class Journal:
    """The only writer of a run's events; holds the state they add up to."""

    def __init__(self, log: EventLog, run: str, observe: Observer, order: tuple[Event, ...] = ()) -> None:
        """Fold what is recorded.

        Args:
            log: where the run is recorded.
            run: its name.
            observe: hears every event from now on.
            order: events of a recorded run, in whose order this one's must come; empty: any order.

        Raises:
            SettingsError: there is no such run.
        """
        self._log, self._observe = log, observe
        self._order = [place_of(event) for event in order if counts(event)]
        self._at = 0
        self._turn = asyncio.Condition()
        self._waiting: set[str] = set()
        self.state = RunState()
        self.states: dict[str, RunState] = {}
        """Work that is due -> the state in which it became due, so that a resumed run asks what it asked before."""
        events = log.events(run)
        if not events:
            raise SettingsError(f"there is no run {run}.", remedy="`warpsmith runs list` names those there are.")
        for event in events:
            self._fold(event)

    def _fold(self, event: Event) -> None:
        self.state = self.state.advance(event, self._log.get_text)
        self._at += counts(event)
        if isinstance(event, Chosen):
            self.states[f"round {event.round}"] = self.state
        elif isinstance(event, Evaluated):
            self.states[event.evaluation.candidate] = self.state

    def append(self, event: Event) -> None:
        """Write an event, then tell it."""
        self._log.append(self.state.run.run, event, at=self.state.count)
        self._fold(event)
        self._observe(event, self.state)

    async def record(self, event: Event, busy: Callable[[], int]) -> None:
        """Write an event, on a replay when its turn has come.

        Args:
            event: what happened.
            busy: how many pieces of work are under way, this one included.

        Raises:
            ReplayDivergedError: its turn can never come.
        """
        place = place_of(event)
        if self._order and not self._is_next(place):
            await self._wait(place, busy)
        self.append(event)
        if self._order:
            async with self._turn:
                self._turn.notify_all()

    def _is_next(self, place: str) -> bool:
        if self._at >= len(self._order):
            raise ReplayDivergedError(f"the replay goes on ({place}) where the recorded run ended.")
        return self._order[self._at] == place

    async def _wait(self, place: str, busy: Callable[[], int]) -> None:
        self._waiting.add(place)
        try:
            async with self._turn:
                while not self._is_next(place):
                    if len(self._waiting) >= busy() and self._order[self._at] not in self._waiting:
                        expected = self._order[self._at]
                        raise ReplayDivergedError(f"the recorded run went on with {expected}, the replay with {place}.")
                    await self._turn.wait()
        finally:
            self._waiting.discard(place)

    def text(self, digest: str) -> str:
        return self._log.get_text(digest)

    def keep(self, text: str) -> str:
        """Store a text; its digest."""
        return self._log.put_text(text)

    def call(self, label: str) -> Called | None:
        """What was answered to this call, where it was made before."""
        return next((call for call in reversed(self.state.calls) if call.label == label and call.reply), None)


def counts(event: Event) -> bool:
    """Whether a replay has this event too: interruptions and failed calls are of their day."""
    if isinstance(event, RunFinished):
        return event.reason is not StopReason.INTERRUPTED
    return not (isinstance(event, Called) and event.finish is Finish.FAILED)


def place_of(event: Event) -> str:
    """What an event is about, without what may differ between two equal runs."""
    match event:
        case Called():
            return f"call {event.label}"
        case Chosen() | Abandoned() | Proposed():
            return f"{event.kind} {event.round}"
        case Evaluated() | Confirmed():
            return f"{event.kind} {event.evaluation.candidate[:12]}"
        case Judged():
            return f"{event.kind} {event.critique.candidate[:12]}"
        case _:
            return event.kind
