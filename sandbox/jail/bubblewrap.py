"""The command that runs another one in bubblewrap's name spaces: only what it needs is bound, and only to be read."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from warpsmith.sandbox.jail.levels import program

SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
TMPFS = "/scratch"
_SHELL = "/bin/sh"


def wrapped(
    command: Sequence[str],
    reads: Sequence[str],
    *,
    devices: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    scratch_bytes: int | None = None,
) -> list[str]:
    """`command` where nothing is but `reads`, Python's own and the system's libraries, and these device nodes.

    It sees no environment but this one, and with `scratch_bytes` a folder of so many bytes, its TMPDIR.
    """
    bubblewrap = program()
    assert bubblewrap is not None, "chosen because it is there"
    words = [*_offered(), bubblewrap, "--unshare-all", "--die-with-parent", "--clearenv", "--cap-drop", "ALL"]
    words += ["--hostname", "jail"]
    for path in _distinct((*SYSTEM, *interpreter())):
        words += _bound(path)
    for path in _distinct(reads):
        words += _bound(path)
    words += ["--dev", "/dev"]
    for node in devices:
        words += ["--dev-bind-try", node, node]
    for name, value in (environment or {}).items():
        words += ["--setenv", name, value]
    if scratch_bytes is not None:
        words += ["--size", str(scratch_bytes), "--tmpfs", TMPFS, "--setenv", "TMPDIR", TMPFS]
    return [*words, "--remount-ro", "/", "--chdir", "/", "--", *command]


@cache
def interpreter() -> tuple[str, ...]:
    """What Python itself needs: its program, its standard library, its shared library."""
    places = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), os.path.realpath(sys.executable)}
    shared = sysconfig.get_config_var("INSTSONAME"), sysconfig.get_config_var("LIBDIR")
    if all(shared) and str(shared[0]).startswith("libpython") and ".so" in str(shared[0]):
        places.add(str(Path(shared[1], shared[0])))
    return tuple(sorted(place for place in places if place and Path(place).exists()))


def _offered() -> list[str]:
    """What makes the command behind it the first that the kernel ends where memory runs out.

    `child.py` does it itself where it sees /proc.
    """
    script = 'echo 1000 2>/dev/null >/proc/self/oom_score_adj; exec "$@"'
    return [_SHELL, "-c", script, "jail"] if os.access(_SHELL, os.X_OK) else []


def _bound(path: str) -> list[str]:
    if not os.path.lexists(path):
        return []
    if Path(path).is_symlink() and path in SYSTEM:
        return ["--symlink", str(Path(path).readlink()), path]
    real = os.path.realpath(path)
    return ["--ro-bind", real, path]


def _distinct(paths: Sequence[str]) -> list[str]:
    """Without what lies inside another one, outer folders first."""
    found = sorted({*paths}, key=lambda path: (path.count("/"), path))
    return [path for path in found if not any(path != other and path.startswith(f"{other}/") for other in found)]
