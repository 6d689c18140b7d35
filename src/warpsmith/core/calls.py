"""One answer of a language model: how it ended, what it used, what it cost."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from warpsmith.core.record import Record


class Finish(StrEnum):
    """How an answer ended."""

    COMPLETE = "complete"
    CUT = "cut"
    """At the limit of output tokens."""
    REFUSED = "refused"
    TOO_LONG = "too long"
    """Longer than we read on."""
    FAILED = "failed"
    """No answer came; what the attempts used is counted all the same."""


class Usage(Record):
    """Tokens of one call, or of several added up."""

    input_tokens: int = Field(default=0, ge=0)
    """Of the whole prompt, cached ones included."""
    cached_tokens: int = Field(default=0, ge=0)
    """Of those, read from the provider's cache."""
    cache_written_tokens: int = Field(default=0, ge=0)
    """Of those, written into it."""
    output_tokens: int = Field(default=0, ge=0)
    """Thinking included."""
    thinking_tokens: int = Field(default=0, ge=0)
    estimated: bool = False
    """Counted by us, as nobody reported it."""

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_written_tokens=self.cache_written_tokens + other.cache_written_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            thinking_tokens=self.thinking_tokens + other.thinking_tokens,
            estimated=self.estimated or other.estimated,
        )
