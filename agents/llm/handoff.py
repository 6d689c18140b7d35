"""A model that is whoever reads a folder: a person, or a coding agent with a subscription of its own.

Each prompt is written as `<label>.prompt.md`; the answer is expected beside it as `<label>.reply.md`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from warpsmith.agents.llm.model import LARGEST_REPLY, Reply, Request, as_markdown, estimate_tokens
from warpsmith.core.calls import Finish, Usage
from warpsmith.core.digest import digest_text
from warpsmith.core.errors import ModelError

LOOK_EVERY = 0.5
"""Seconds between looks at the folder."""
STILL_FOR = 1.0
"""Seconds an answer's file must not change before it is taken for finished."""
WHERE = "\n## Where to reply\n\nWrite the reply, and nothing else, into `{}` beside this file.\n"
ABORT = "ABORT"
"""A file of this name ends the wait."""


class HandoffAbortedError(ModelError):
    """Somebody asked the run to stop."""


@dataclass(frozen=True, slots=True)
class Handoff:
    """Writes prompts into a folder and waits for answers."""

    folder: Path
    run: str = ""
    """Subfolder, so that two runs never read each other's answers."""
    time_limit: float = 24 * 3600.0
    """Seconds that one answer may take."""
    who: str = ""
    """Who answers, for the record."""
    tell: Callable[[str], None] = lambda text: None
    """Hears where a prompt waits."""

    @property
    def name(self) -> str:
        return f"handoff:{self.who or self.folder.name}"

    @property
    def place(self) -> Path:
        return self.folder / self.run if self.run else self.folder

    def price(self, usage: Usage) -> float | None:
        """Nobody bills us; what the answer cost its writer is not known here."""
        return None

    async def check(self) -> None:
        try:
            self.place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ModelError(
                f"{self.place} cannot be made: {error.strerror}.", remedy="Choose another folder."
            ) from error

    async def complete(self, request: Request) -> Reply:
        """Write the prompt and wait. An answer that is already there, from before an interruption, is taken.

        Raises:
            HandoffAbortedError: a file ABORT appeared.
            ModelError: no answer came in time.
        """
        await self.check()
        reply = self.place / f"{request.label}.reply.md"
        prompt = self.place / f"{request.label}.prompt.md"
        self._publish(prompt, reply, as_markdown(request) + WHERE.format(reply.name))
        self.tell(f"waiting for {reply}; the question is in {prompt.name} (touch {self.place / ABORT} to stop)")
        start = time.monotonic()
        text = await self._answer(reply, start)
        asked, wrote = estimate_tokens(request.text), estimate_tokens(text)
        usage = Usage(input_tokens=asked, output_tokens=wrote, estimated=True)
        finish = Finish.TOO_LONG if len(text) > LARGEST_REPLY else Finish.COMPLETE
        return Reply(text[:LARGEST_REPLY], finish, usage, None, 0.0, waited=time.monotonic() - start)

    @staticmethod
    def _publish(prompt: Path, reply: Path, text: str) -> None:
        """A prompt appears whole or not at all; an answer to another question of that name is put aside."""
        if prompt.is_file() and digest_text(prompt.read_text(encoding="utf-8")) == digest_text(text):
            return
        if reply.is_file():
            reply.rename(reply.with_suffix(".stale.md"))
        draft = prompt.with_suffix(".draft")
        draft.write_text(text, encoding="utf-8")
        draft.replace(prompt)

    async def _answer(self, reply: Path, start: float) -> str:
        seen: tuple[int, int] = (0, 0)
        still_since = time.monotonic()
        while True:
            if (self.place / ABORT).exists() or (self.folder / ABORT).exists():
                raise HandoffAbortedError(f"{ABORT} lies in {self.place}.", remedy="Remove it, then resume the run.")
            now, state = time.monotonic(), _state(reply)
            if state != seen:
                seen, still_since = state, now
            if state[0] and now - still_since >= STILL_FOR:
                return await asyncio.to_thread(_read, reply)
            if now - start > self.time_limit:
                raise ModelError(
                    f"nobody wrote {reply} within {self.time_limit / 60:.0f} minutes.",
                    remedy="Write it, then resume the run.",
                )
            await asyncio.sleep(LOOK_EVERY)


def _state(path: Path) -> tuple[int, int]:
    """(bytes, time of the last change); zeros where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(LARGEST_REPLY + 1)
