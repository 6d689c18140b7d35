"""Tables of the store and their version."""

from __future__ import annotations

APPLICATION_ID = 0x77736D74
"""`wsmt`: marks a SQLite file as a warpsmith store (SQLite's file format, section 1.3.16)."""

VERSION = 1
"""Kept in SQLite's `user_version`; raise it with every change below."""

TABLES = """
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
