"""The site as files: every page there is, written below one folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from warpsmith.core.errors import LibraryError
from warpsmith.kernels_generated.shelf import Shelf
from warpsmith.leaderboard.site.data import Data
from warpsmith.leaderboard.site.pages import Pages
from warpsmith.leaderboard.site.places import every_place, view_of
from warpsmith.store import Store


def write_site(folder: Path, shelf: Shelf, store: Store | None) -> tuple[Path, ...]:
    """Write the whole site.

    Args:
        folder: where; made where it is missing, and pages of an earlier site in it are replaced.
        shelf: kernels of the libraries; those that nobody should trust are listed with the reason.
        store: recorded runs; None leaves run pages, progress and differences to parents out.

    Raises:
        LibraryError: the folder cannot be written, or a kernel was changed meanwhile.
        StoreError: a run cannot be read.
    """
    return tuple(_write(folder, Data(shelf, store), Pages()))


def _write(folder: Path, data: Data, pages: Pages) -> Iterator[Path]:
    made = set[Path]()
    for place in every_place(data):
        path = _below(folder, place)
        found = view_of(data, place)
        if found is None:
            continue
        template, view = found
        text = pages.render(template, place, **view)
        try:
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise LibraryError(f"{path} cannot be written: {error.strerror}.", remedy="Name another folder.") from error
        yield path


def _below(folder: Path, place: str) -> Path:
    """Where a page lies.

    Raises:
        LibraryError: a name from a run leads out of the folder.
    """
    if ".." in place.split("/") or place.startswith("/"):
        raise LibraryError(f"a page named {place!r} would lie outside {folder}.", remedy="Remove that run.")
    return folder / place
