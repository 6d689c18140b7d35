"""Folders for children that need one, under one root for each process of ours, which a lock marks as in use.

Whoever finds a root whose lock is free removes it: its owner was killed before it could.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

_PREFIX = "warpsmith-jail-"
_LOCK = ".lock"
_SETTLED = 60.0
"""Seconds after which a root without a lock is no longer about to get one."""


class ScratchRoot:
    """This process' root; folders are made in it on demand."""

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent
        self._guard = threading.Lock()
        self._root: Path | None = None
        self._lock = -1
        self._owner = os.getpid()

    def folder(self) -> Path:
        """A new empty folder of mode 700."""
        with self._guard:
            if self._root is None or self._owner != os.getpid() or not self._root.is_dir():
                self._open()
            assert self._root is not None
            return Path(tempfile.mkdtemp(dir=self._root))

    def _open(self) -> None:
        parent = self._parent or Path(tempfile.gettempdir())
        sweep(parent)
        self._owner = os.getpid()
        self._root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        self._lock = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        atexit.register(self.close)

    def close(self) -> None:
        """Remove it all."""
        if self._root is not None and self._owner == os.getpid():
            shutil.rmtree(self._root, ignore_errors=True)
            os.close(self._lock)
            self._root = None


def sweep(parent: Path | None = None) -> int:
    """Remove what killed processes of this user left behind; how many roots that were."""
    removed = 0
    for root in (parent or Path(tempfile.gettempdir())).glob(f"{_PREFIX}*"):
        try:
            status = root.lstat()
            if status.st_uid != os.geteuid() or root.is_symlink() or not _abandoned(root, status.st_mtime):
                continue
        except FileNotFoundError:
            continue
        shutil.rmtree(root, ignore_errors=True)
        removed += 1
    return removed


def _abandoned(root: Path, changed: float) -> bool:
    try:
        handle = os.open(root / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return time.time() - changed > _SETTLED
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
