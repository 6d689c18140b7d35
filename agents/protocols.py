"""Seams of the loop: who proposes, judges, chooses, records and accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from warpsmith.agents.llm.model import Model, Reply, Request
from warpsmith.agents.state import Attempt, RunState
from warpsmith.core.candidate import Candidate
from warpsmith.core.events import Event, StopReason
from warpsmith.core.profile import Critique


@dataclass(frozen=True, slots=True)
class Start:
    """Begin: no candidate yet, or none to build on."""


@dataclass(frozen=True, slots=True)
class Improve:
    """Make a verified candidate faster, or mend a failed one, following its critique."""

    parent: Attempt

    @property
    def critique(self) -> Critique | None:
        return self.parent.critique


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run."""

    reason: StopReason


Move: TypeAlias = Start | Improve


@dataclass(frozen=True, slots=True)
class Proposal:
    """A candidate and where it came from."""

    candidate: Candidate
    idea: str
    """What was changed, in a few words."""
    by: str
    parent: str = ""
    """Identity of the candidate it was made from."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The library's answer to a confirmed candidate."""

    kernel: str
    """Digest of the kernel in the library; empty where it was refused."""
    path: str = ""
    reason: str = ""
    """Why it was refused."""

    @property
    def accepted(self) -> bool:
        return bool(self.kernel)


class Ask(Protocol):
    """Asks a model on behalf of one round; what it answers is recorded before it is returned."""

    async def __call__(self, model: Model, request: Request) -> Reply:
        """Ask, or give the answer that was given before an interruption."""
        ...


class RoundEndedError(Exception):
    """This round comes to no candidate; says why, and whether it ends the search."""

    def __init__(self, reason: str, stop: StopReason | None = None) -> None:
        super().__init__(reason)
        self.stop = stop


class Coder(Protocol):
    """Writes candidates."""

    @property
    def name(self) -> str: ...

    @property
    def at_once(self) -> int:
        """How many proposals it may be asked for at a time."""
        ...

    async def write(self, state: RunState, move: Move, number: int, ask: Ask) -> Proposal | None:
        """The candidate of round `number`, or None where there is nothing new to propose.

        Raises:
            RoundEndedError: what was answered holds no candidate, or the budget is spent.
            ModelError: nobody answers.
        """
        ...


class Judge(Protocol):
    """Reads evaluations. It advises; what is accepted is not its business."""

    @property
    def name(self) -> str: ...

    async def judge(self, state: RunState, attempt: Attempt, ask: Ask) -> Critique:
        """One bottleneck, what proves it, one action, for an attempt that is evaluated.

        Raises:
            ValueError: the evaluation or its profile belongs to another candidate.
            ModelError: nobody answers.
        """
        ...


class Strategy(Protocol):
    """Chooses what to build on. Holds no state of its own: a resumed run must choose alike."""

    @property
    def name(self) -> str: ...

    def select(self, state: RunState) -> Move | Stop:
        """The next move. Called between rounds: the last attempt is evaluated and judged."""
        ...


class EventLog(Protocol):
    """Where a run is recorded; the store is one."""

    def append(self, run: str, event: Event, *, at: int) -> None: ...

    def events(self, run: str) -> tuple[Event, ...]: ...

    def put_text(self, text: str) -> str: ...

    def get_text(self, digest: str) -> str: ...


Acceptor: TypeAlias = Callable[[Attempt], Acceptance]
"""Writes a confirmed attempt into the library, or says why not. Called again after a crash: must be idempotent."""

Observer: TypeAlias = Callable[[Event, RunState], None]
"""Hears each event after it was recorded, with the state it led to."""
