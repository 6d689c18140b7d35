"""What is asked of a language model and what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from warpsmith.core.calls import Finish, Usage
from warpsmith.core.digest import digest_json
from warpsmith.core.errors import ModelError

LARGEST_REPLY = 512 * 1024
"""Characters of an answer that are read: twice the largest kernel file."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a dialogue."""

    by: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """A dialogue that waits for the model's next message."""

    label: str
    """Round, role, stage and turn, unique in a run: `003-coder-repair-1`. Names files; no model sees it."""
    system: str
    """The same for many calls of a run, so that a provider can cache it."""
    turns: tuple[Turn, ...]
    """User and assistant by turns; the last is the user's."""
    schema: Mapping[str, Any] | None = None
    """JSON schema the answer must fit; None: free text."""
    max_output: int = 32_000
    """Tokens, thinking included."""
    time_limit: float = 900.0
    """Seconds for one attempt."""

    def digest(self) -> str:
        """Names what the model is shown."""
        turns = [[turn.by, turn.text] for turn in self.turns]
        return digest_json([self.system, turns, dict(self.schema) if self.schema else None])

    @property
    def text(self) -> str:
        """All that is shown, for counting."""
        return "\n".join((self.system, *(turn.text for turn in self.turns)))

    def answered(self, label: str, reply: str, objection: str) -> Request:
        """The same dialogue, one reply and one objection longer."""
        return replace(self, label=label, turns=(*self.turns, Turn("assistant", reply), Turn("user", objection)))


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    text: str
    finish: Finish
    usage: Usage
    """Of all attempts, those that failed half-way included."""
    dollars: float | None
    """None where the price is unknown."""
    seconds: float
    """From sending to the last byte, waiting between attempts left out."""
    waited: float = 0.0
    """Seconds between attempts, in queues, or for a person."""
    attempts: int = 1


class Model(Protocol):
    """A language model."""

    @property
    def name(self) -> str:
        """As a person writes it: `openai:gpt-5`."""
        ...

    def price(self, usage: Usage) -> float | None:
        """Dollars, or None where nobody knows."""
        ...

    async def check(self) -> None:
        """Find out cheaply whether it can be asked.

        Raises:
            ModelError: no, and why.
        """
        ...

    async def complete(self, request: Request) -> Reply:
        """Ask once.

        Raises:
            BusyError: it may answer later.
            ModelError: it will not.
        """
        ...


class BusyError(ModelError):
    """No answer this time: overloaded, unreachable, dropped. Worth another attempt."""

    def __init__(
        self, message: str, *, remedy: str = "", retry_after: float | None = None, lost: Usage | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after
        """Seconds the server asks us to wait, where it says."""
        self.lost = lost or Usage()
        """What the broken answer used."""


def estimate_tokens(text: str) -> int:
    """Tokens of a text, leaning to too many: one for three bytes of UTF-8.

    Tokenisers differ by model and none is a dependency; English has about four bytes a token, CUDA about three.
    """
    return (len(text.encode()) + 2) // 3


def as_markdown(request: Request) -> str:
    """The dialogue as one document, for the record and for a reader."""
    parts = [f"# {request.label}", request.system]
    for number, turn in enumerate(request.turns):
        title = "Your earlier reply" if turn.by == "assistant" else "What was wrong with it"
        parts += [f"## {title if number else 'Question'}", turn.text]
    if request.schema:
        schema = json.dumps(dict(request.schema), indent=2)
        parts += ["## Form of the reply", "One JSON object that fits this schema:", f"```json\n{schema}\n```"]
    return "\n\n".join(parts) + "\n"
