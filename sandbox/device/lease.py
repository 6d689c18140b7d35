"""One job at a time on a GPU, over all processes of a machine: a locked file for each, named by its UUID.

The lock belongs to an open file, so it ends with the process that holds it, however that ends. GPUs of different
containers that do not share the folder are not kept apart.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from warpsmith.core.errors import DeviceError

_POLL = 0.02
"""Seconds between two attempts."""


@dataclass(frozen=True, slots=True)
class Leases:
    """The machine's locks."""

    folder: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))

    @contextmanager
    def hold(self, uuids: Sequence[str], seconds: float) -> Iterator[str]:
        """Hold one of these GPUs, whichever is free first; yields its UUID.

        Raises:
            DeviceError: none became free in time, or the lock files cannot be opened.
        """
        until = time.monotonic() + seconds
        while True:
            for uuid in uuids:
                handle = self._try(uuid)
                if handle is not None:
                    try:
                        yield uuid
                    finally:
                        os.close(handle)
                    return
            if time.monotonic() > until:
                raise DeviceError(
                    f"no GPU became free within {seconds:g} s: {', '.join(uuids)} in use by another job.",
                    remedy="Wait for it, or use --device emulator.",
                )
            time.sleep(_POLL)

    def _try(self, uuid: str) -> int | None:
        path = self.folder / f"warpsmith-{uuid}.lock"
        try:
            # Locking needs no right to write, so another user's file serves as well.
            handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DeviceError(f"the GPU's lock {path} cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle
