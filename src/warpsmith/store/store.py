"""One SQLite file that holds every run."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from warpsmith.core.digest import digest_text
from warpsmith.core.errors import StoreError
from warpsmith.core.events import EVENT, Accepted, Called, Confirmed, Evaluated, Event, RunFinished, RunStarted
from warpsmith.core.quantity import Source
from warpsmith.store.database import complaints_of, connect, transaction, unsynced
from warpsmith.store.incumbents import Incumbent
from warpsmith.store.runs import SUMMARIES, StoredRun

COSTLY = (RunStarted, Called, Evaluated, Confirmed, Accepted, RunFinished)
"""Events that are on disk before `append` returns."""


class Store:
    """Append-only events, texts by digest, and incumbents. One per thread: it holds one SQLite connection."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path | str) -> Store:
        """Open or create the store.

        Raises:
            StoreError: unwritable, damaged, another program's, or written by a newer warpsmith.
        """
        path = Path(path).expanduser()
        return cls(path, connect(path))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def append(self, run: str, event: Event, *, at: int) -> None:
        """Write the event as number `at` of the run, counted from 0; on return it survives the process.

        What cost time or money survives loss of power too; the rest follows from it and is on disk with the next.

        Raises:
            StoreError: the run already has an event `at` or none before it: somebody else continues this run.
        """
        synced = nullcontext() if isinstance(event, COSTLY) else unsynced(self._connection)
        with self._guarded(), synced, transaction(self._connection):
            if at == 0 and isinstance(event, RunStarted):
                self._enter_run(run, event)
            present = self._count(run)
            if present != at:
                raise StoreError(
                    f"run {run} has {present} events where {at} were expected: another process continues it.",
                    remedy="Let that process end, then resume.",
                )
            self._connection.execute(
                "INSERT INTO events (run, seq, kind, payload) VALUES (?, ?, ?, ?)",
                (run, at, event.kind, event.model_dump_json()),
            )

    def _enter_run(self, run: str, event: RunStarted) -> None:
        self._connection.execute(
            "INSERT INTO runs (run, task, target, device) VALUES (?, ?, ?, ?) ON CONFLICT (run) DO NOTHING",
            (run, event.task, event.target, event.device),
        )

    def _count(self, run: str) -> int:
        return int(self._connection.execute("SELECT count(*) FROM events WHERE run = ?", (run,)).fetchone()[0])

    def events(self, run: str) -> tuple[Event, ...]:
        """All events of the run, in order; empty for a run that does not exist.

        Raises:
            StoreError: a payload is damaged.
        """
        with self._guarded():
            rows = self._connection.execute("SELECT seq, payload FROM events WHERE run = ? ORDER BY seq", (run,))
            return tuple(self._read_event(run, seq, payload) for seq, payload in rows)

    def _read_event(self, run: str, seq: int, payload: str) -> Event:
        try:
            return EVENT.validate_json(payload)
        except ValidationError as error:
            raise StoreError(
                f"event {seq} of run {run} in {self.path} cannot be read: {error.errors()[0]['msg']}.",
                remedy="The run was written by a different warpsmith; start a new one.",
            ) from error

    def put_text(self, text: str) -> str:
        """Keep a text; answers its digest.

        It is on disk when the next event is: that one's fsync covers the whole log, so this one is spared.
        """
        digest = digest_text(text)
        with self._guarded(), unsynced(self._connection):
            self._connection.execute(
                "INSERT INTO texts (digest, text) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING", (digest, text)
            )
        return digest

    def get_text(self, digest: str) -> str:
        """The text with this digest.

        Raises:
            StoreError: there is none, or it is not what its digest says.
        """
        with self._guarded():
            row = self._connection.execute("SELECT text FROM texts WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            raise StoreError(f"the store {self.path} holds no text {digest[:12]}.")
        text = str(row[0])
        if digest_text(text) != digest:
            raise StoreError(f"text {digest[:12]} in {self.path} is damaged.", remedy="Start a new run.")
        return text

    def runs(self) -> tuple[StoredRun, ...]:
        """Every run, newest first."""
        with self._guarded():
            rows = self._connection.execute(SUMMARIES).fetchall()
        return tuple(StoredRun(*row) for row in rows)

    def newest_run(self) -> StoredRun | None:
        """The run that started last, or None."""
        return next(iter(self.runs()), None)

    def incumbent(self, task: str, task_digest: str, target: str, source: Source) -> Incumbent | None:
        """The kernel to beat, or None while there is none."""
        with self._guarded():
            return self._incumbent((task, task_digest, target, source.value))

    def _incumbent(self, key: tuple[str, str, str, str]) -> Incumbent | None:
        row = self._connection.execute(
            "SELECT payload FROM incumbents WHERE (task, task_digest, target, source) = (?, ?, ?, ?)", key
        ).fetchone()
        return None if row is None else Incumbent.model_validate_json(row[0])

    def swap_incumbent(self, challenger: Incumbent, *, expected: str | None) -> bool:
        """Put the challenger in place if the present incumbent's kernel digest is `expected` (None: there is none).

        True also where the challenger already stands there, so that a swap cut short can be repeated.
        False where another kernel stands there: compare with that one first.
        """
        with self._guarded(), transaction(self._connection):
            present = self._incumbent(challenger.key)
            kernel = present.kernel if present else None
            if kernel == challenger.kernel:
                return True
            if kernel != expected:
                return False
            self._connection.execute(
                "INSERT OR REPLACE INTO incumbents VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*challenger.key, challenger.candidate, challenger.kernel, challenger.model_dump_json()),
            )
            return True

    def integrity_check(self) -> None:
        """Read every page and every event.

        Raises:
            StoreError: naming the first damage.
        """
        with self._guarded():
            verdict = str(self._connection.execute("PRAGMA integrity_check").fetchone()[0])
        if verdict != "ok":
            raise StoreError(f"the store {self.path} is damaged: {verdict}.", remedy="Move the file away.")
        for summary in self.runs():
            self.events(summary.run)

    def _guarded(self) -> AbstractContextManager[None]:
        return complaints_of(self.path)
