"""What each page says now: made from the library and the store as they are, and made again where they have changed."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from warpsmith.core.digest import digest_bytes
from warpsmith.kernels_generated.shelf import Shelf
from warpsmith.leaderboard.site.data import Data
from warpsmith.leaderboard.site.pages import Pages
from warpsmith.leaderboard.site.places import view_of
from warpsmith.store import Store

LIBRARY_SECONDS = 2.0
"""A library is looked at again no sooner; the store at every question, which costs nothing where it did not change."""
KEPT = 100
"""Pages that are kept until something changes."""


class LivePages(Pages):
    """Pages that ask the server they come from for news, and nobody else."""

    live = True

    @property
    def policy(self) -> str:
        return f"{super().policy}; connect-src 'self'"


@dataclass(frozen=True, slots=True)
class Answer:
    """A page."""

    body: bytes
    tag: str
    """Of its bytes: equal tags, equal pages."""


class Answers:
    """Makes pages. For one thread, the one that made it: it holds a connection to the store.

    Args:
        read_shelf: lists the libraries.
        store: file of the store; it need not be there yet.
        clock: seconds.
    """

    def __init__(
        self, read_shelf: Callable[[], Shelf], store: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.pages = LivePages()
        self._read_shelf, self._path, self._clock = read_shelf, store, clock
        self._data = Data(Shelf(), None)
        self._file: tuple[int, int] | None = None
        self._changes = -1
        self._looked = -LIBRARY_SECONDS
        self._kept: OrderedDict[str, Answer] = OrderedDict()

    def page(self, place: str) -> Answer | None:
        """The page at a place such as `runs/index.html`; None where there is none.

        Raises:
            StoreError: the store cannot be read.
            LibraryError: a library cannot be read, or a kernel was changed in this moment.
        """
        if self._follow_store() | self._follow_library():
            self._kept.clear()
        if place not in self._kept:
            found = view_of(self._data, place)
            if found is None:
                return None
            body = self.pages.render(found[0], place, **found[1]).encode()
            self._kept[place] = Answer(body, digest_bytes(body)[:32])
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[place]

    def close(self) -> None:
        """Let go of the store."""
        if self._data.store:
            self._data.store.close()
            self._data.store = None

    def _follow_store(self) -> bool:
        """Read what runs have recorded since; whether there was anything."""
        found = _identity(self._path)
        if found != self._file:
            self.close()
            self._data = Data(self._data.shelf, Store.open(self._path) if found else None)
            self._file, self._changes = _identity(self._path), -1
            return True
        if self._data.store is None:
            return False
        changes = self._data.store.changes()
        if changes == self._changes:
            return False
        self._changes = changes
        return self._data.follow_runs()

    def _follow_library(self) -> bool:
        """List the libraries again, from time to time; whether they differ."""
        if self._clock() - self._looked < LIBRARY_SECONDS:
            return False
        shelf = self._read_shelf()
        self._looked = self._clock()
        if shelf == self._data.shelf:
            return False
        self._data.stock(shelf)
        return True


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
