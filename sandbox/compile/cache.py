"""Compiled artifacts on disk, named by everything that decides them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from warpsmith.core.artifact import Artifact
from warpsmith.core.digest import digest_bytes
from warpsmith.core.errors import StoreError
from warpsmith.core.whole_file import write_whole

_DIGEST_DIGITS = 64

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class CompileCache:
    """A folder of artifacts. Any number of processes may read and write it at once.

    A file is the digest of its payload, a newline, and the payload; one that does not fit (a disk that filled
    up, a version with other fields) counts as absent and is written anew.
    """

    folder: Path

    def get(self, key: str) -> Artifact | None:
        """The artifact stored under a 64-digit key."""
        try:
            data = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"The compile cache {self.folder} cannot be read: {error}.") from error
        digest, _, payload = data.partition(b"\n")
        if digest.decode("ascii", "replace") != digest_bytes(payload):
            return None
        try:
            return Artifact.model_validate_json(payload)
        except ValidationError:
            return None

    def once(self, key: str, make: Callable[[], Artifact | F]) -> Artifact | F:
        """The stored artifact, or what `make` gives; other processes that want the same wait, so that it is made once.

        What is no artifact, a candidate's failure, is not stored. A process that dies while it makes one holds nobody
        up: the operating system gives its lock away.

        Raises:
            StoreError: the folder cannot be read or written.
        """
        stored = self.get(key)
        if stored is not None:
            return stored
        with self._alone(key):
            stored = self.get(key)
            if stored is not None:
                return stored
            made = make()
            if isinstance(made, Artifact):
                self.put(key, made)
            return made

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Keep other processes and threads from making artifacts whose keys begin alike: 256 locks for any number."""
        path = self.folder / "locks" / key[:2]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)

    def put(self, key: str, artifact: Artifact) -> None:
        """Store an artifact; a reader sees the old file or the new one, never a part."""
        payload = artifact.model_dump_json().encode()
        try:
            write_whole(self._path(key), digest_bytes(payload).encode() + b"\n" + payload)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(
            f"The compile cache {self.folder} cannot be written: {error}.",
            remedy="Free some disk space, or name another folder with WARPSMITH_CACHE.",
        )

    def _path(self, key: str) -> Path:
        assert len(key) == _DIGEST_DIGITS, "keys are digests"
        return self.folder / key[:2] / f"{key[2:]}.json"
