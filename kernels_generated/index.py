"""Remembers what a library holds, so that ten thousand kernels are listed without reading each again.

An index is a cache, one file a library in the user's cache directory. A kernel's row in it is believed only while its
folder and every file in it have the inode, size and both times they had when it was read; the time of change cannot be
set back by a program. A file touched in the moment it was read is read again, as clocks are coarse. What is refused is
never remembered.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from os import scandir, stat_result
from pathlib import Path

from warpsmith.core.digest import digest_bytes, digest_text
from warpsmith.core.errors import LibraryError
from warpsmith.core.garbage import collected_later
from warpsmith.core.whole_file import write_whole
from warpsmith.kernels_generated.places import EVALUATION, KERNEL_FILES, MANIFEST, Refusal
from warpsmith.kernels_generated.summary import Summary, from_json, summary_of, to_json

FORMAT = "warpsmith library index 1"
SETTLED_SECONDS = 3.0
"""A row is kept once its files have been still for so long: the coarsest clock of a file system counts in 2 s."""
_FILES = (MANIFEST, EVALUATION)
_KERNELS = tuple(KERNEL_FILES.values())


@dataclass(frozen=True, slots=True)
class Indexed:
    """What a library holds now."""

    kernels: tuple[Summary, ...]
    refused: tuple[Refusal, ...]


@dataclass(slots=True)
class _Row:
    """One kernel as the index has it."""

    mark: str
    """Inodes, sizes and times of its folder and files; empty: not to be remembered."""
    summary: Summary


def read_index(library: Path, cache: Path) -> Indexed:
    """List a library; what did not change since it was last listed is not read again. An absent folder is empty.

    Args:
        library: the folder.
        cache: the user's cache directory; one that cannot be written costs time and nothing else.

    Raises:
        LibraryError: the library cannot be read.
    """
    library = library.resolve()
    place = cache / "library-index" / f"{digest_text(str(library))[:16]}.jsonl"
    known = _load(place, library)
    kernels, refused, rows = list[Summary](), list[Refusal](), dict[str, _Row]()
    for name in _folders(library):
        row = known.get(name)
        if row is None or row.mark != _mark(_stats(f"{library}/{name}")):
            if not os.path.exists(f"{library}/{name}/{MANIFEST}"):  # noqa: PTH110 - as for `_stats`
                continue
            found = _read(library / name)
            if isinstance(found, Refusal):
                refused.append(found)
                continue
            row = found
        kernels.append(row.summary)
        if row.mark:
            rows[name] = row
    if rows.keys() != known.keys() or any(rows[name] is not known[name] for name in rows):
        _save(place, library, rows)
    return Indexed(tuple(kernels), tuple(refused))


def _folders(library: Path) -> Iterator[str]:
    """`task/digest` of every folder that may hold a kernel, in order."""
    try:
        tasks = sorted(item.name for item in scandir(library) if item.is_dir() and item.name[:1] not in "._")
        for task in tasks:
            inside = (item for item in scandir(library / task) if item.is_dir() and item.name[:1] != ".")
            yield from sorted(f"{task}/{item.name}" for item in inside)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LibraryError(f"the library {library} cannot be read: {error.strerror}.") from error


def _stats(folder: str) -> list[stat_result]:
    """Of the folder, whose times change with its names, and of each file; nothing where one of them is missing."""
    # Not Path.stat: making ten thousand paths takes longer than looking at them.
    look = os.stat
    try:
        found = [look(folder), *(look(f"{folder}/{name}") for name in _FILES)]
        try:
            found.append(look(f"{folder}/{_KERNELS[0]}"))
        except FileNotFoundError:
            found.append(look(f"{folder}/{_KERNELS[1]}"))
    except OSError:
        return []
    return found


def _mark(found: list[stat_result]) -> str:
    return " ".join(f"{it.st_ino:x}.{it.st_size:x}.{it.st_mtime_ns:x}.{it.st_ctime_ns:x}" for it in found)


def _read(folder: Path) -> Refusal | _Row:
    """Read one kernel whole; its row has no mark where its files may still be changing."""
    from warpsmith.kernels_generated.library import read_entry

    before, began = _stats(str(folder)), time.time()
    try:
        entry = read_entry(folder)
        entry.evidence()
    except LibraryError as error:
        return Refusal(folder, error.message)
    newest = max((max(it.st_mtime, it.st_ctime) for it in before), default=began)
    # With both kernel files in one folder the first was looked at, whichever is the kernel.
    looked_at = sum((folder / name).exists() for name in _KERNELS) == 1
    return _Row(_mark(before) if looked_at and newest < began - SETTLED_SECONDS else "", summary_of(entry))


def _rules() -> str:
    """Digest of the code that accepts an entry: where it changes, every entry is read again."""
    here = Path(__file__).parent
    return digest_bytes(b"".join((here / f"{name}.py").read_bytes() for name in ("library", "manifest", "summary")))


def _load(place: Path, library: Path) -> dict[str, _Row]:
    """What the index says; nothing where there is none, or it is damaged, or other rules made it."""
    try:
        head, _, body = place.read_bytes().partition(b"\n")
        if json.loads(head) != _head(library, body):
            return {}
    except (OSError, ValueError):
        return {}
    rows = {}
    with collected_later():
        for line in body.splitlines():
            name, mark, fields = json.loads(line)
            rows[name] = _Row(mark, from_json(library, name, fields))
    return rows


def _head(library: Path, body: bytes) -> dict[str, str]:
    return {"format": FORMAT, "library": str(library), "rules": _rules(), "digest": digest_bytes(body)}


def _save(place: Path, library: Path, rows: dict[str, _Row]) -> None:
    """Of two processes that write, one wins, and both are right; an index that cannot be kept is no harm."""
    lines = [json.dumps([name, row.mark, to_json(row.summary)], ensure_ascii=False) for name, row in rows.items()]
    body = "".join(line + "\n" for line in lines).encode()
    with suppress(OSError):
        write_whole(place, json.dumps(_head(library, body)).encode() + b"\n" + body)
