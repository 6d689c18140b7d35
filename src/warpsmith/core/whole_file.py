"""A file that readers see whole, as it was or as it is, whoever writes it and whenever the writer dies."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` under another name in the same folder, made where it is missing, then rename.

    Of two processes that write, one wins. A write that fails leaves nothing behind.

    Raises:
        OSError: the folder cannot be made or written to, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    with ExitStack() as undo:
        undo.callback(Path(name).unlink)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
        undo.pop_all()
