"""Compiled artifacts on disk, named by everything that decides them."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from warpsmith.core.artifact import Artifact
from warpsmith.core.digest import digest_bytes
from warpsmith.core.errors import StoreError

_DIGEST_DIGITS = 64


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

    def put(self, key: str, artifact: Artifact) -> None:
        """Store an artifact; a reader sees the old file or the new one, never a part."""
        payload = artifact.model_dump_json().encode()
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            with os.fdopen(handle, "wb") as stream:
                stream.write(digest_bytes(payload).encode() + b"\n" + payload)
            Path(temporary).replace(path)
        except OSError as error:
            raise StoreError(
                f"The compile cache {self.folder} cannot be written: {error}.",
                remedy="Free space or name another folder.",
            ) from error

    def _path(self, key: str) -> Path:
        assert len(key) == _DIGEST_DIGITS, "keys are digests"
        return self.folder / key[:2] / f"{key[2:]}.json"
