"""Files that a command writes where a person said."""

from __future__ import annotations

import errno
from pathlib import Path

from warpsmith.core.errors import SettingsError

OF_THE_MACHINE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
    }
)
"""What the operating system refuses for want of space or rights, whatever was asked for."""


def write_named(path: Path, text: str, *, new: bool = False) -> None:
    """Write a text file, in a folder that is made where it is missing; half a file is not left where none stood.

    It is written in place, not renamed into it as by `whole_file`: the name may be that of a device or a link.

    Raises:
        SettingsError: the name is a folder's, or that of a file where it has to be `new`.
        OSError: there is no space, or no right to write; it names the file.
    """
    there = path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x" if new else "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        if not there:
            _remove(path)
        require_machines_fault(error, path, remedy="Name another place.")
        error.filename = error.filename or str(path)
        raise


def require_machines_fault(error: OSError, path: Path, *, remedy: str) -> None:
    """Return where the machine has no space or gives no right to write.

    Raises:
        SettingsError: it is the name that is wrong.
    """
    if error.errno not in OF_THE_MACHINE:
        why = error.strerror or str(error)
        raise SettingsError(f"{path} cannot be written: {why}.", remedy=remedy) from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
