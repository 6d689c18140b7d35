"""Find the kernel a person means: a file, a folder of the library, or the first digits of its digest."""

from __future__ import annotations

from pathlib import Path

from warpsmith.core.errors import SettingsError

_FEWEST_DIGITS = 4


def find_kernel(choice: str, library: Path) -> tuple[Path, dict[str, int] | None]:
    """Path of the kernel file, and its knobs where it comes from the library.

    Raises:
        SettingsError: nothing, or more than one kernel, answers to `choice`.
        LibraryError: the kernel in the library was edited or is corrupted.
    """
    path = Path(choice)
    if path.is_file():
        return path, _knobs_beside(path)
    if path.is_dir() and (path / "kernel.json").is_file():
        return _open(path)
    if path.is_dir():
        raise SettingsError(f"{choice} is a folder, and no kernel of a library.", remedy="Give a .cu or .py file.")
    if path.exists():
        raise SettingsError(f"{choice} is no ordinary file.", remedy="Give a .cu or .py file.")
    digits = choice.lower()
    if len(digits) < _FEWEST_DIGITS or set(digits) - set("0123456789abcdef"):
        raise SettingsError(f"there is no kernel file {choice}.", remedy="Give a .cu or .py file, or a library digest.")
    return _by_digest(digits, library)


def _by_digest(digits: str, library: Path) -> tuple[Path, dict[str, int] | None]:
    from warpsmith.kernels_generated.library import list_entries
    from warpsmith.kernels_generated.places import search_path

    found = [
        entry
        for folder in search_path(library)
        for entry in list_entries(folder).entries
        if entry.manifest.candidate.startswith(digits) or entry.digest.startswith(digits)
    ]
    folders = {entry.manifest.candidate: entry for entry in reversed(found)}
    if not folders:
        raise SettingsError(f"no kernel in {library} begins with {digits}.", remedy="See warpsmith leaderboard.")
    if len(folders) > 1:
        names = ", ".join(sorted(digest[:12] for digest in folders))
        raise SettingsError(f"{digits} is ambiguous: {names}.", remedy="Give more digits.")
    (entry,) = folders.values()
    return entry.kernel, dict(entry.manifest.knobs)


def _open(folder: Path) -> tuple[Path, dict[str, int] | None]:
    from warpsmith.kernels_generated.library import read_entry

    entry = read_entry(folder)
    return entry.kernel, dict(entry.manifest.knobs)


def _knobs_beside(path: Path) -> dict[str, int] | None:
    """A file inside the library keeps the knobs it was accepted with."""
    if path.name in ("kernel.cu", "kernel.py") and (path.parent / "kernel.json").is_file():
        return _open(path.parent)[1]
    return None
