"""Processes as /proc shows them, for tests that count what is left of them."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_Found = TypeVar("_Found")


def wait_for(condition: Callable[[], _Found], seconds: float = 10.0) -> _Found:
    """What the condition gives once that is true, or when the time is up."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return value


def descendants(process: int) -> list[int]:
    """Living processes that this one started, or that those started."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        status = _status(int(entry.name)) if entry.name.isdecimal() else None
        if status is not None:
            parents[int(entry.name)] = status
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(process: int) -> bool:
    return _status(process) is not None


def _status(process: int) -> int | None:
    """Its parent; None where it has ended, reaped or not."""
    try:
        state, parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(parent)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
