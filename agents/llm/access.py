"""How a provider is reached: the key, which never shows, and the address."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Access:
    """What a client needs. Its `repr` shows no key, and neither do the messages it cleans."""

    key: str = field(repr=False)
    variable: str
    """Environment variable that the key came from, or should have."""
    base_url: str
    own_server: bool = False
    """The address is the user's own choice and not the provider's."""

    def clean(self, text: str, limit: int = 300) -> str:
        """A server's words, fit for a message: without the key, on one line, not long."""
        hidden = text.replace(self.key, "[key]") if self.key else text
        line = " ".join(hidden.split())
        return line if len(line) <= limit else f"{line[:limit]}…"
