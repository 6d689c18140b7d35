"""One SQLite file that holds every run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from warpsmith.core.digest import digest_text
from warpsmith.core.errors import StoreError
from warpsmith.core.events import EVENT, Accepted, Called, Confirmed, Evaluated, Event, RunFinished, RunStarted
from warpsmith.core.quantity import Source
from warpsmith.store.briefs import BRIEFLY, UNBRIEFED, brief_of
from warpsmith.store.database import SALVAGE, complaints_of, connect, transaction, unsynced
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
            if brief := brief_of(event):
                self._connection.execute("INSERT INTO briefs VALUES (?, ?, ?)", (run, at, brief))

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
        return tuple(self.each_event(run))

    def each_event(self, run: str) -> Iterator[Event]:
        """The same one by one: what lies before damage is given before the error.

        Raises:
            StoreError: a payload is damaged.
        """
        for seq, payload in enumerate(self.each_payload(run)):
            yield self._read_event(run, seq, payload)

    def each_payload(self, run: str) -> Iterator[str]:
        """The same as the JSON that was written, for readers who need little of it.

        Raises:
            StoreError: an event is missing.
        """
        query = "SELECT seq, payload FROM events WHERE run = ? AND seq >= ? ORDER BY seq"
        return self._in_order(run, 0, query)

    def each_brief(self, run: str, since: int = 0) -> Iterator[str]:
        """The same from event `since` on, evaluations without their counters where the store has them so.

        Raises:
            StoreError: an event is missing.
        """
        return self._in_order(run, since, BRIEFLY)

    def _in_order(self, run: str, since: int, query: str) -> Iterator[str]:
        with self._guarded():
            rows = self._connection.execute(query, (run, since))
            for expected, (seq, payload) in enumerate(rows, since):
                if seq != expected:
                    raise StoreError(f"run {run} in {self.path} lacks event {expected}.", remedy=SALVAGE)
                yield payload

    def event_at(self, run: str, at: int) -> Event | None:
        """One event of a run, whole; None where there is none.

        Raises:
            StoreError: its payload is damaged.
        """
        with self._guarded():
            query = "SELECT payload FROM events WHERE run = ? AND seq = ?"
            row = self._connection.execute(query, (run, at)).fetchone()
        return None if row is None else self._read_event(run, at, row[0])

    def changes(self) -> int:
        """A number that grows whenever another connection has written to the store."""
        with self._guarded():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

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

    def run_names(self) -> tuple[str, ...]:
        """Names of all runs, newest first."""
        with self._guarded():
            rows = self._connection.execute("SELECT run FROM runs ORDER BY position DESC").fetchall()
        return tuple(str(row[0]) for row in rows)

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
        return None if row is None else self._read_incumbent(key[0], key[2], row[0])

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

    def incumbents(self) -> tuple[Incumbent, ...]:
        """Every kernel to beat.

        Raises:
            StoreError: one of them is damaged.
        """
        with self._guarded():
            rows = self._connection.execute("SELECT task, target, payload FROM incumbents ORDER BY 1, 2").fetchall()
        return tuple(self._read_incumbent(*row) for row in rows)

    def _read_incumbent(self, task: str, target: str, payload: str) -> Incumbent:
        try:
            return Incumbent.model_validate_json(payload)
        except ValidationError as error:
            raise StoreError(
                f"the kernel to beat for {task} on {target} in {self.path} cannot be read: {error.errors()[0]['msg']}.",
                remedy=SALVAGE,
            ) from error

    def page_damage(self) -> tuple[str, ...]:
        """What SQLite finds wrong with pages, indices and references; empty where nothing is."""
        try:
            with self._guarded():
                rows = self._connection.execute("PRAGMA integrity_check").fetchall()
                strays = self._connection.execute("PRAGMA foreign_key_check").fetchall()
        except StoreError as error:
            return (error.message,)
        said = [line for row in rows for line in str(row[0]).splitlines() if line != "ok"]
        return tuple(said + [f"a row of {table} belongs to no run" for table, *_ in strays])

    def integrity_check(self) -> None:
        """Read every page and every event.

        Raises:
            StoreError: naming the first damage.
        """
        damage = self.page_damage()
        if damage:
            raise StoreError(f"the store {self.path} is damaged: {damage[0]}.", remedy=SALVAGE)
        for run in self.run_names():
            self.events(run)

    def compact(self) -> tuple[int, int]:
        """Give back the space of what was replaced, and fold the log into the file: bytes before and after.

        Evaluations that an older warpsmith recorded get their briefs.

        Raises:
            StoreError: another process is writing, or there is no disk space for the copy that this takes.
        """
        before = self._bytes()
        with self._guarded():
            self._write_missing_briefs()
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return before, self._bytes()

    def _write_missing_briefs(self) -> None:
        """For evaluations that an older warpsmith recorded."""
        with transaction(self._connection):
            for run, seq in self._connection.execute(UNBRIEFED).fetchall():
                event = self.event_at(run, seq)
                if event is not None and (brief := brief_of(event)):
                    self._connection.execute("INSERT INTO briefs VALUES (?, ?, ?)", (run, seq, brief))

    def files(self) -> tuple[Path, ...]:
        """The store's file, its log and the log's index, whether they are there or not."""
        return (self.path, *(self.path.with_name(self.path.name + part) for part in ("-wal", "-shm")))

    def _bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files()[:2] if path.is_file())

    def _guarded(self) -> AbstractContextManager[None]:
        return complaints_of(self.path)
