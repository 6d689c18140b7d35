"""A model that reads its answers from files, in order: for rehearsals, demonstrations and tests, with no network."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from warpsmith.agents.llm.model import Reply, Request, estimate_tokens
from warpsmith.core.calls import Finish, Usage
from warpsmith.core.errors import ModelError, SettingsError


@dataclass(frozen=True, slots=True)
class Scripted:
    """Answers call `003-coder-repair-1` with the first file of the folder whose name begins with that, or `003-coder`.

    So one file a round and role is enough: `002-coder.md`. A second turn needs a file of its own.
    """

    folder: Path

    @property
    def name(self) -> str:
        return f"scripted:{self.folder.name}"

    def price(self, usage: Usage) -> float | None:
        return 0.0

    async def check(self) -> None:
        if not self.folder.is_dir():
            raise SettingsError(f"there is no folder {self.folder}.", remedy="scripted: takes a folder of answers.")

    async def complete(self, request: Request) -> Reply:
        """The text of the file.

        Raises:
            ModelError: the script has no answer to this call.
        """
        path = await asyncio.to_thread(self._find, request.label)
        text = path.read_text(encoding="utf-8", errors="replace")
        asked, sent = estimate_tokens(request.text), estimate_tokens(text)
        return Reply(text, Finish.COMPLETE, Usage(input_tokens=asked, output_tokens=sent, estimated=True), 0.0, 0.0)

    def _find(self, label: str) -> Path:
        number, role, *_, turn = label.split("-")
        names = [label, *([f"{number}-{role}"] if turn == "1" else [f"{number}-{role}-{turn}"])]
        for name in names:
            path = self.folder / f"{name}.md"
            if path.is_file():
                return path
        raise ModelError(
            f"{self.name} has no answer to {label}.", remedy=f"Write it into {self.folder / names[-1]}.md, then resume."
        )
