"""What a run has used, line by line."""

from __future__ import annotations

from pydantic import Field

from warpsmith.core.calls import Usage
from warpsmith.core.record import Record


class LedgerLine(Record):
    """One kind of work in one phase."""

    phase: str = Field(pattern="^(set-up|search|verification)$")
    what: str
    """`coder openai:gpt-5`, `judge builtin`, or `gate`."""
    times: int = Field(ge=0)
    """Calls or evaluations."""
    failed: int = Field(default=0, ge=0)
    """Of those, calls that brought no answer."""
    usage: Usage = Usage()
    dollars: float = Field(default=0, ge=0)
    """Of calls whose price is known."""
    unpriced: int = Field(default=0, ge=0)
    """Calls whose price is unknown."""
    seconds: float = Field(default=0, ge=0)
    """Of work."""
    waited: float = Field(default=0, ge=0)
    """Seconds between attempts, in queues, or for a person: counted towards no limit."""


class Ledger(Record):
    """All of a run."""

    lines: tuple[LedgerLine, ...]

    @property
    def dollars(self) -> float:
        """Of calls whose price is known."""
        return sum(line.dollars for line in self.lines)

    @property
    def unpriced(self) -> int:
        return sum(line.unpriced for line in self.lines)

    @property
    def tokens(self) -> int:
        return sum(line.usage.total for line in self.lines)
