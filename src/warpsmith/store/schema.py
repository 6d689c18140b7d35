"""Tables of the store, their version, and the way from each older one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

APPLICATION_ID = 0x77736D74
"""`wsmt`: marks a SQLite file as a warpsmith store (SQLite's file format, section 1.3.16)."""

VERSION = 3
"""Kept in SQLite's `user_version`."""

FIRST = """
CREATE TABLE runs (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL UNIQUE,
    task TEXT NOT NULL,
    target TEXT NOT NULL,
    device TEXT NOT NULL
) STRICT;

CREATE TABLE events (
    run TEXT NOT NULL REFERENCES runs (run),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    recorded_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE texts (
    digest TEXT PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;

CREATE TABLE incumbents (
    task TEXT NOT NULL,
    task_digest TEXT NOT NULL,
    target TEXT NOT NULL,
    source TEXT NOT NULL,
    candidate TEXT NOT NULL,
    kernel TEXT NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (task, task_digest, target, source)
) STRICT;
"""
"""The first version. It and the steps below never change: a store of any age passes through each of them once."""

STEPS: Mapping[int, str] = MappingProxyType(
    {
        0: FIRST,
        # Listing runs counts events and looks at their times: without reading every payload on the way.
        1: "CREATE INDEX events_listed ON events (run, seq, kind, recorded_at)",
        # Pages about runs need outcomes and times of evaluations: without reading the counters of every source line.
        # An event from before has no brief, and is read whole until `store compact` writes one.
        2: """
        CREATE TABLE briefs (
            run TEXT NOT NULL,
            seq INTEGER NOT NULL,
            payload TEXT NOT NULL,
            PRIMARY KEY (run, seq),
            FOREIGN KEY (run, seq) REFERENCES events (run, seq)
        ) STRICT, WITHOUT ROWID
        """,
    }
)
"""Version -> statements that make the next one of it; version 0 is an empty file."""
