"""Memory of this machine: how much there is for a child, and whether the kernel has killed somebody for want of it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_COUNTS = Path("/proc/vmstat")


@cache
def machine_bytes(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> int:
    """The machine's memory, or what the control groups of this process leave of it."""
    least = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in _groups(cgroups, own):
        text = _read(folder / "memory.max").strip()
        least = min(least, int(text)) if text.isdecimal() else least
    return least


def kills(counts: Path = _COUNTS) -> int:
    """Processes that the kernel has killed for want of memory since the machine started; 0 where nobody counts."""
    for line in _read(counts).splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill" and count.isdecimal():
            return int(count)
    return 0


def _groups(cgroups: Path, own: Path) -> list[Path]:
    """Folders of the control group that this process is in and of those around it."""
    for line in _read(own).splitlines():
        if line.startswith("0::/"):
            inside = Path(line.removeprefix("0::/"))
            return [cgroups / folder for folder in (inside, *inside.parents)]
    return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
