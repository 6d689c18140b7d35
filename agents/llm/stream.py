"""Reads a provider's stream as far as it is of use, and ends it there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Protocol


class Reading(Protocol):
    """Adds up the events of one answer."""

    @property
    def done(self) -> bool:
        """Nothing that may still come is of use."""
        ...

    def take(self, event: Any) -> None: ...


async def read(stream: Any, reading: Reading) -> None:
    """Give `reading` the events of `stream` until it is done or they end; nothing of the stream outlives this."""
    async with stream:
        try:
            async for event in stream:
                reading.take(event)
                if reading.done:
                    break
        finally:
            await _unwind(stream)


async def _unwind(stream: Any) -> None:
    """Cancel the next read, so that every generator behind the stream ends here.

    A stream is a dozen async generators, one inside the other, of the client and of its HTTP library; OpenAI's is also
    referred to by one of them, a cycle. Left half-way it would be garbage, which Python collects in whichever thread
    comes by (candidates are evaluated in others) while the event loop closes the same generators: "async generator
    already executing". The clients' own `close` ends the connection and leaves the generators.
    """
    rest = asyncio.gather(_exhaust(stream), return_exceptions=True)  # what it says no longer matters
    with suppress(TimeoutError):
        async with asyncio.timeout(0):  # set after `rest` was due, which so has begun when it is cancelled
            await rest


async def _exhaust(stream: Any) -> None:
    async for _ in stream:
        pass
