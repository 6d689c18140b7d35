"""Writes an export: all of it, or nothing."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from warpsmith.core.errors import SettingsError
from warpsmith.core.files import require_machines_fault
from warpsmith.exporting.bundle import EVIDENCE, Bundle


def write(bundle: Bundle, target: Path, *, force: bool = False) -> tuple[Path, ...]:
    """Put the files below a folder; answers their paths.

    Raises:
        SettingsError: something is there already, and is not an export that `force` says to replace; or no folder can
            be made of that name.
        OSError: there is no space, or no right to write; it names the folder.
    """
    if target.exists() and not force:
        raise SettingsError(f"{target} exists.", remedy="Name another place with --out, or give --force.")
    if target.exists() and not (target / EVIDENCE).is_file():
        raise SettingsError(f"{target} is no export: it holds no {EVIDENCE}.", remedy="Name another place with --out.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".exporting-", dir=target.parent) as scratch:
            fresh = Path(scratch) / "new"
            for name, content in bundle.files.items():
                path = fresh / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
            if target.exists():
                shutil.move(target, Path(scratch) / "old")
            fresh.rename(target)
    except OSError as error:
        require_machines_fault(error, target, remedy="Name another place with --out.")
        error.filename = str(target)
        raise
    return tuple(target / name for name in bundle.files)
