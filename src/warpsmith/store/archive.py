"""A whole store as text files: to keep, to send, and to save what a damaged one still holds.

One file a run, in the words of `recording.py` but with everything in it, and one file of incumbents.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import W_OK, access
from pathlib import Path

from pydantic import ValidationError

from warpsmith.core.errors import StoreError
from warpsmith.core.events import Event
from warpsmith.store.incumbents import Incumbent
from warpsmith.store.recording import FORMAT, read_recording, texts_of
from warpsmith.store.store import Store

INCUMBENTS = "incumbents.jsonl"


@dataclass(frozen=True, slots=True)
class Archived:
    """What was written or read."""

    runs: int
    events: int
    incumbents: int
    problems: tuple[str, ...]
    """What could not be, and why."""


@contextmanager
def reading(path: Path) -> Iterator[Store]:
    """A store to read from; one in a folder that cannot be written is copied, with its log, and stays as it is.

    Raises:
        StoreError: there is none, or it is damaged beyond opening.
    """
    path = path.expanduser()
    if not path.is_file():
        raise StoreError(f"there is no store {path}.", remedy="Name it with --store FILE or WARPSMITH_STORE.")
    with tempfile.TemporaryDirectory(prefix="warpsmith-store-") as scratch, _opened(path, Path(scratch)) as store:
        yield store


def _opened(path: Path, scratch: Path) -> Store:
    if not (access(path, W_OK) and access(path.parent, W_OK)):
        return _called(path, _copy(path, scratch))
    try:
        return Store.open(path)
    except StoreError:
        # SQLite opens no file that is shorter than its header says. Empty pages in place of the lost ones let it read
        # the others; it finds fault with each of those.
        copy = _copy(path, scratch)
        if not _lengthened(copy):
            raise
        return _called(path, copy)


def _called(path: Path, copy: Path) -> Store:
    """What is wrong with a copy is wrong with the store it was made of, and told by that one's name."""
    try:
        store = Store.open(copy)
    except StoreError as error:
        raise StoreError(error.message.replace(str(copy), str(path)), remedy=error.remedy) from error
    store.path = path
    return store


def _copy(path: Path, folder: Path) -> Path:
    """The store and its log."""
    for part in (path, path.with_name(path.name + "-wal")):
        if part.is_file():
            shutil.copyfile(part, folder / part.name)
    return folder / path.name


def _lengthened(path: Path) -> bool:
    """Give a truncated file its length back; False where that is not what is wrong with it.

    The header has the page size at byte 16 and the pages' number at byte 28, both big-endian
    (https://sqlite.org/fileformat2.html, section 1.3).
    """
    with path.open("r+b") as file:
        header = file.read(100)
        size = int.from_bytes(header[16:18], "big")
        whole = (65536 if size == 1 else size) * int.from_bytes(header[28:32], "big")
        if len(header) < 100 or path.stat().st_size >= whole:
            return False
        file.truncate(whole)
    return True


def write_archive(store: Store, folder: Path) -> Archived:
    """Write every run and incumbent that can be read.

    Raises:
        StoreError: the folder cannot be written, or holds something already.
    """
    problems: list[str] = []
    runs = events = incumbents = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StoreError(f"{folder} is not empty.", remedy="Name a new folder.")
        for run in _readable(store, problems):
            found = _write_run(store, run, folder / f"{run}.jsonl", problems)
            runs, events = runs + bool(found), events + found
        kept = _incumbents(store, problems)
        incumbents = len(kept)
        lines = "".join(item.model_dump_json() + "\n" for item in kept)
        (folder / INCUMBENTS).write_text(lines, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}.", remedy="Name another folder.") from error
    return Archived(runs, events, incumbents, tuple(problems))


def _readable(store: Store, problems: list[str]) -> tuple[str, ...]:
    """Names of all runs, oldest first."""
    try:
        return tuple(reversed(store.run_names()))
    except StoreError as error:
        problems.append(error.message)
        return ()


def _write_run(store: Store, run: str, path: Path, problems: list[str]) -> int:
    """Events of a run up to the first that cannot be read; none where a text of the first is missing."""
    events: list[Event] = []
    texts: dict[str, str] = {}
    try:
        for event in store.each_event(run):
            texts |= {digest: store.get_text(digest) for digest in texts_of(event) if digest not in texts}
            events.append(event)
    except StoreError as error:
        problems.append(f"run {run} is kept up to event {len(events)}: {error.message}")
    if not events:
        return 0
    lines = [json.dumps({"format": FORMAT, "run": run})]
    lines += [json.dumps({"digest": digest, "text": text}, ensure_ascii=False) for digest, text in texts.items()]
    lines += [event.model_dump_json() for event in events]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(events)


def _incumbents(store: Store, problems: list[str]) -> tuple[Incumbent, ...]:
    try:
        return store.incumbents()
    except StoreError as error:
        problems.append(f"incumbents: {error.message}")
        return ()


def read_archive(folder: Path, store: Store) -> Archived:
    """Put an archive into a store: runs that are not there yet, and incumbents whose places are empty.

    Raises:
        StoreError: the folder holds no archive.
        SettingsError: one of its files is damaged.
    """
    files = sorted(path for path in folder.glob("*.jsonl") if path.name != INCUMBENTS)
    if not (folder / INCUMBENTS).is_file():
        raise StoreError(f"{folder} holds no archive of a store.", remedy="Write one: warpsmith store export DIR.")
    known = set(store.run_names())
    for path in files:
        known.add(read_recording(path, store))
    try:
        lines = (folder / INCUMBENTS).read_text(encoding="utf-8").splitlines()
        kept = [Incumbent.model_validate_json(line) for line in lines if line]
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise StoreError(f"{folder / INCUMBENTS} cannot be read: {error}.") from error
    problems = [
        f"another kernel than {item.kernel[:12]} stands for {item.task} on {item.profile.target}"
        for item in kept
        if not store.swap_incumbent(item, expected=None)
    ]
    return Archived(len(files), sum(len(store.events(path.stem)) for path in files), len(kept), tuple(problems))
