"""Memory that a parent and one child share. It has no name, and is gone with the two."""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
_PAGE = 1 << 16


class SharedMemory:
    """Grows on demand. The child cannot make it smaller, so what is mapped here stays mapped."""

    def __init__(self) -> None:
        self.handle = os.memfd_create("shared", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fcntl.fcntl(self.handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        self._map: mmap.mmap | None = None
        self.view: NDArray[np.uint8] = np.empty(0, np.uint8)
        """All of it."""

    def reserve(self, size: int) -> None:
        """Have at least so many bytes; views from before are of the old mapping."""
        if size <= self.view.size:
            return
        size = (max(size, self.view.size * 3 // 2) + _PAGE) // _PAGE * _PAGE
        # Pages are there before anybody relies on them: an error here, not a signal later.
        os.posix_fallocate(self.handle, 0, size)
        self._map = mmap.mmap(self.handle, size)
        self.view = np.frombuffer(self._map, np.uint8)

    def close(self) -> None:
        """Give it up."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
            self.view = np.empty(0, np.uint8)
            self._map = None


class Layout:
    """Places for arrays, one behind the other."""

    def __init__(self) -> None:
        self.size = 0
        self.items: list[tuple[int, NDArray[Any]]] = []

    def add(self, array: NDArray[Any]) -> int:
        """The offset at which this array will stand."""
        offset = self.size
        self.items.append((offset, array))
        self.size = (offset + max(array.nbytes, 1) + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        return offset


def bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    """A contiguous array as its bytes, not copied."""
    return array.reshape(-1).view(np.uint8)
