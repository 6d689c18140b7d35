"""Memory that a parent and one child share. It has no name, and is gone with the two."""

from __future__ import annotations

import fcntl
import mmap
import os
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
_PAGE, _MOST_SPARE = 1 << 16, 16 << 20


class SharedMemory:
    """Grows on demand. The child cannot make it smaller, so what is mapped here stays mapped.

    What is `kept` stands at its beginning; the rest is anybody's for one turn.
    """

    def __init__(self) -> None:
        self.handle = os.memfd_create("shared", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fcntl.fcntl(self.handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        self._map: mmap.mmap | None = None
        self._kept: dict[int, tuple[weakref.ref[Any], int]] = {}
        self.kept_bytes = 0
        self.view: NDArray[np.uint8] = np.empty(0, np.uint8)
        """All of it."""

    def keep(self, owned: Sequence[tuple[Any, NDArray[np.uint8]]], most: int) -> list[int]:
        """Have these bytes, copied in unless they are there already, and say at which offsets.

        Args:
            owned: Bytes, each with the object that stands for them: as long as it lives they never change.
            most: Bytes kept; beyond them all others are forgotten first.
        """
        missing = sum(array.nbytes for owner, array in owned if self._place(owner) is None)
        if self.kept_bytes + missing > most:
            self._kept.clear()
            self.kept_bytes = 0
        return [self._copied(owner, array) for owner, array in owned]

    def reserve(self, size: int) -> None:
        """Have at least so many bytes; views from before are of the old mapping."""
        if size <= self.view.size:
            return
        size = (max(size, min(self.view.size * 3 // 2, size + _MOST_SPARE)) + _PAGE) // _PAGE * _PAGE
        # Pages are there before anybody relies on them: an error here, not a signal later.
        start = max(self.view.size, self.kept_bytes // _PAGE * _PAGE)
        os.posix_fallocate(self.handle, start, size - start)
        self._map = mmap.mmap(self.handle, size)
        self.view = np.frombuffer(self._map, np.uint8)

    def close(self) -> None:
        """Give it up."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
            self.view = np.empty(0, np.uint8)
            self._map = None

    def _place(self, owner: Any) -> int | None:
        owned, offset = self._kept.get(id(owner), (None, 0))
        return offset if owned is not None and owned() is owner else None

    def _copied(self, owner: Any, array: NDArray[np.uint8]) -> int:
        offset = self._place(owner)
        if offset is None:
            offset, data = self.kept_bytes, array.data
            # Written, not mapped: most of it is never looked at from here again.
            done = 0
            while done < len(data):
                done += os.pwrite(self.handle, data[done:], offset + done)
            self._kept[id(owner)] = weakref.ref(owner), offset
            self.kept_bytes = aligned(offset + len(data))
        return offset


class Layout:
    """Places for arrays, one behind the other, from an offset on."""

    def __init__(self, start: int = 0) -> None:
        self.size = start
        self.items: list[tuple[int, NDArray[Any]]] = []

    def add(self, array: NDArray[Any]) -> int:
        """The offset at which this array will stand."""
        offset = self.size
        self.items.append((offset, array))
        self.size = aligned(offset + max(array.nbytes, 1))
        return offset


def aligned(size: int) -> int:
    """The next offset at which an array may stand."""
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    """A contiguous array as its bytes, not copied."""
    return array.reshape(-1).view(np.uint8)
