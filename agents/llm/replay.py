"""A model that gives the answers of a recorded run again: offline, free, and the same every time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from warpsmith.agents.llm.model import Reply, Request
from warpsmith.core.calls import Usage
from warpsmith.core.errors import ModelError


class RecordingEndedError(ModelError):
    """The recorded run has no further answer: here it ended, too."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Answers call by call: a run's result follows from answers and gate, not from how prompts read today."""

    name: str
    """Of the model that gave the answers."""
    answers: Mapping[str, Reply]
    """By the call's label."""

    def price(self, usage: Usage) -> float | None:
        return 0.0

    async def check(self) -> None:
        """Nothing to find out."""

    async def complete(self, request: Request) -> Reply:
        """The recorded answer.

        Raises:
            RecordingEndedError: this call was never made.
        """
        reply = self.answers.get(request.label)
        if reply is None:
            raise RecordingEndedError(
                f"the recording has no answer to call {request.label}.",
                remedy="The recorded run ended here, or the gate now judges otherwise than it did.",
            )
        return reply
