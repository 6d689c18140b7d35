"""How well a jail can hold on this machine: what there is, why the rest is missing, and what a level leaves open."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from warpsmith.core.errors import SettingsError
from warpsmith.sandbox.jail.confinement import works

_PROBE_SECONDS = 20.0


class Level(StrEnum):
    """From the best to the least. Each holds all that the ones below it hold."""

    BUBBLEWRAP = "bubblewrap"
    """Name spaces of its own: no network, no other process to see, no file but those bound read-only, its own /tmp."""
    LANDLOCK = "landlock"
    """The kernel refuses other files (Landlock), and system calls that reach other processes or the net (seccomp)."""
    RLIMITS = "rlimits"
    """Limits on memory, processor time and file sizes, an empty environment, and no capabilities. Nothing else."""

    @property
    def rank(self) -> int:
        return [*Level].index(self)


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a level works here."""

    level: Level
    works: bool
    why: str
    """What was found, or what is missing."""
    open: tuple[str, ...] = ()
    """What the level does not hold on this machine."""


@cache
def survey() -> Mapping[Level, Probe]:
    """Every level, tried out once a process."""
    landlock, calls = works()
    return {
        Level.BUBBLEWRAP: _bubblewrap(calls),
        Level.LANDLOCK: _landlock(landlock, calls),
        Level.RLIMITS: Probe(Level.RLIMITS, True, "limits of the operating system", _rlimits_open()),
    }


def choose(required: Level | None = None) -> Level:
    """The best level that works.

    Raises:
        SettingsError: it is below `required`.
    """
    found = survey()
    best = next(level for level in Level if found[level].works)
    if required is not None and best.rank > required.rank:
        raise SettingsError(
            f"--require-jail {required}: the best jail here is {best}. {found[required].why}.",
            remedy="Install what is missing (`warpsmith doctor` says what), or require less.",
        )
    return best


def permitted() -> tuple[Level, ...]:
    """Levels that work here, from the best down to what `forbid_below` says."""
    found = survey()
    return tuple(level for level in Level if found[level].works and level.rank <= _least[-1].rank)


def forbid_below(level: Level) -> None:
    """From here on no process of this one is jailed less.

    Raises:
        SettingsError: this machine has nothing as good.
    """
    choose(level)
    _least.append(level)


_least = [Level.RLIMITS]


def require(level: Level) -> Level:
    """Just this level.

    Raises:
        SettingsError: it does not work here.
    """
    probe = survey()[level]
    if not probe.works:
        raise SettingsError(f"The jail {level} does not work here: {probe.why}.", remedy="Run `warpsmith doctor`.")
    return level


def program() -> str | None:
    """Where bubblewrap lies; what PATH says is not believed of a folder that others may write."""
    found = shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin") or shutil.which("bwrap")
    return found and os.path.realpath(found)


def _bubblewrap(calls: bool) -> Probe:
    path = program()
    if path is None:
        why = "bubblewrap is not installed (`apt install bubblewrap`, `dnf install bubblewrap`)"
        return Probe(Level.BUBBLEWRAP, False, why)
    shown = [folder for folder in ("/usr", "/lib", "/lib64", "/bin") if Path(folder).exists()]
    binds = [word for folder in shown for word in ("--ro-bind", folder, folder)]
    command = [path, "--unshare-all", "--die-with-parent", *binds, "--", "/usr/bin/env", "true"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False, env={})
    except (OSError, subprocess.TimeoutExpired) as error:
        return Probe(Level.BUBBLEWRAP, False, f"{path} does not run: {error}")
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"])[0]
        why = f"{path} may not make name spaces here ({said}); the kernel or a container forbids user name spaces"
        return Probe(Level.BUBBLEWRAP, False, why)
    return Probe(Level.BUBBLEWRAP, True, path, () if calls else (_NO_SECCOMP, *_processes_open()))


_NO_SECCOMP = "system calls are not filtered (this kernel or processor has no seccomp filter that we know)"


def _landlock(version: int, calls: bool) -> Probe:
    if not version:
        return Probe(Level.LANDLOCK, False, "this kernel has no Landlock (Linux 5.13 or later, and `lsm=landlock`)")
    if not calls:
        return Probe(Level.LANDLOCK, False, _NO_SECCOMP)
    left = ["the sum of the files in its scratch folder (one file is limited)"]
    if version < 3:
        left.append("truncating files that it may read (Linux 6.2 refuses it)")
    left.append("who else runs on this machine is visible where /proc is read through its libraries")
    return Probe(Level.LANDLOCK, True, f"Landlock {version} and seccomp", tuple(left[:-1]))


def _rlimits_open() -> tuple[str, ...]:
    return ("files", "the network", "signals to other processes of the user", *_processes_open())


def _processes_open() -> tuple[str, ...]:
    if os.geteuid() == 0:
        return ("the number of processes (RLIMIT_NPROC does not bind root)",)
    return ()
