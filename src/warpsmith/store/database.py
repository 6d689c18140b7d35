"""Opens the file, brings it to the present schema, and turns SQLite's complaints into StoreErrors."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from warpsmith.core.errors import StoreError
from warpsmith.store.schema import APPLICATION_ID, STEPS, VERSION

BUSY_SECONDS = 30
PAUSE_SECONDS = 0.01
OLDEST_SQLITE = (3, 37)
"""STRICT tables."""
CHOOSE_ANOTHER = "Choose another file with --store FILE or WARPSMITH_STORE."

OWNERSHIP = """
SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema)
FROM pragma_user_version, pragma_application_id
"""
"""In one statement, for between two another process may make the file a store."""

SALVAGE = (
    "Save what can be read with `warpsmith store export DIR`, move the file away, and put it into a fresh store with "
    "`warpsmith store import DIR`."
)


@contextmanager
def complaints_of(path: Path) -> Iterator[None]:
    """Map SQLite's exceptions to ours, once.

    Raises:
        StoreError: with a remedy that fits the complaint.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreError(f"the store {path} failed: {error}.", remedy=_remedy(str(error))) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"the store {path} is damaged or is no store: {error}.", remedy=SALVAGE) from error


def _remedy(complaint: str) -> str:
    if "locked" in complaint:
        return "Another process holds it; wait for that one to end, or stop it."
    if "full" in complaint or "disk I/O" in complaint:
        return "Free some disk space and run the command again; what was recorded before is safe."
    if "readonly" in complaint:
        return f"Make the file and its folder writable. {CHOOSE_ANOTHER}"
    return f"Check that its folder exists and can be written. {CHOOSE_ANOTHER}"


def connect(path: Path) -> sqlite3.Connection:
    """Open the store at `path`, creating folders and tables where they are missing.

    The write-ahead log keeps a committed event through the death of the process; `synchronous = FULL`
    keeps it through loss of power as well, for one fsync an event (https://sqlite.org/pragma.html).

    Raises:
        StoreError: the path cannot be written, or holds something else, something damaged or a newer schema,
            or SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(
            f"this Python has SQLite {sqlite3.sqlite_version}; the store needs 3.37.",
            remedy="Use a Python that brings its own, such as uv's or conda's.",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"no folder {path.parent} for the store: {error.strerror}.", remedy=CHOOSE_ANOTHER) from error
    with complaints_of(path), ExitStack() as undo:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        undo.callback(connection.close)
        _prepare(connection, path)
        undo.pop_all()
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    _check_ownership(connection, path)
    _keep_a_log(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    if _check_ownership(connection, path) < VERSION:
        with transaction(connection):
            # Asked again behind the lock: another process may have brought it up to date meanwhile.
            _migrate(connection, _check_ownership(connection, path))


def _keep_a_log(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. SQLite itself does not wait here for another process that is doing the same."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Take every step from `version` to the present; all in one transaction, so that a cut leaves the old store."""
    for step in range(version, VERSION):
        for statement in STEPS[step].split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _check_ownership(connection: sqlite3.Connection, path: Path) -> int:
    """The schema's version, 0 for an empty file; StoreError where the file is not ours or newer than we are."""
    version, owner, tables = connection.execute(OWNERSHIP).fetchone()
    if owner != APPLICATION_ID and (owner or version or tables):
        raise StoreError(f"{path} is a database of another program.", remedy=CHOOSE_ANOTHER)
    if version > VERSION:
        raise StoreError(
            f"the store {path} has schema {version}; this warpsmith knows {VERSION}.",
            remedy=f"Upgrade warpsmith. {CHOOSE_ANOTHER}",
        )
    return int(version)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, with the write lock held from the start so that what is read stays true."""
    connection.execute("BEGIN IMMEDIATE")
    with ExitStack() as undo:
        undo.callback(_roll_back, connection)
        yield
        undo.pop_all()
    connection.execute("COMMIT")


def _roll_back(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # SQLite may have done it already, on a full disk for one
        connection.execute("ROLLBACK")


@contextmanager
def unsynced(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit without waiting for the disk; in the write-ahead log's order, what follows takes this along."""
    connection.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        connection.execute("PRAGMA synchronous = FULL")
