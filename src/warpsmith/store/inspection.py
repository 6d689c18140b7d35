"""Looks a store over: every page, every event, every text that an event speaks of, every incumbent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from warpsmith.core.errors import StoreError
from warpsmith.store.recording import texts_of
from warpsmith.store.store import Store

_MOST = 100
"""Problems that are told one by one."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a store holds and what is wrong with it."""

    runs: int
    events: int
    incumbents: int
    bytes: int
    problems: tuple[str, ...]
    """Damage: something recorded cannot be read."""
    remarks: tuple[str, ...]
    """Nothing lost: incumbents whose kernel is no longer where it was."""


def inspect(store: Store) -> Inspection:
    """Read everything; nothing is changed."""
    problems: list[str] = list(store.page_damage())
    runs = events = 0
    try:
        names = store.run_names()
    except StoreError as error:
        names = ()
        problems.append(error.message)
    for run in names:
        runs += 1
        events += _read_run(store, run, problems)
    remarks: tuple[str, ...] = ()
    incumbents = 0
    try:
        standing = store.incumbents()
        incumbents = len(standing)
        gone = [item for item in standing if not Path(item.path).is_dir()]
        remarks = tuple(f"the kernel to beat for {it.task} on {it.profile.target} is gone: {it.path}" for it in gone)
    except StoreError as error:
        problems.append(error.message)
    size = sum(part.stat().st_size for part in store.files() if part.is_file())
    return Inspection(runs, events, incumbents, size, tuple(dict.fromkeys(problems))[:_MOST], remarks)


def _read_run(store: Store, run: str, problems: list[str]) -> int:
    count = 0
    try:
        for event in store.each_event(run):
            count += 1
            for digest in texts_of(event):
                try:
                    store.get_text(digest)
                except StoreError as error:
                    problems.append(f"run {run}, event {count - 1}: {error.message}")
    except StoreError as error:
        problems.append(error.message)
    return count
