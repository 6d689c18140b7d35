"""Reads a library folder: every kernel is held against its manifest, and refused with the reason where they differ."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from warpsmith.core.candidate import Candidate
from warpsmith.core.digest import digest_bytes, digest_json
from warpsmith.core.errors import LibraryError
from warpsmith.core.protocols import Evaluation
from warpsmith.core.quantity import Source
from warpsmith.kernels_generated.manifest import SCHEMA, Manifest, migrated
from warpsmith.kernels_generated.places import EVALUATION, KERNEL_FILES, MANIFEST, REVOKED, Refusal


@dataclass(frozen=True, slots=True)
class Entry:
    """A kernel whose file and manifest agree."""

    folder: Path
    manifest: Manifest
    text: str
    """The kernel file, whole."""

    @property
    def digest(self) -> str:
        return self.manifest.kernel

    @property
    def kernel(self) -> Path:
        """The kernel file."""
        return self.folder / KERNEL_FILES[self.manifest.language]

    @property
    def candidate(self) -> Candidate:
        """The candidate that was accepted."""
        manifest = self.manifest
        return Candidate(task=manifest.task, language=manifest.language, text=self.text, knobs=manifest.knobs)

    def evaluation(self) -> Evaluation | None:
        """The whole evaluation it was accepted by; None where an older warpsmith kept none.

        Raises:
            LibraryError: it is missing or was changed.
        """
        data = self.evidence()
        if data is None:
            return None
        try:
            return Evaluation.model_validate_json(data)
        except ValidationError as error:
            path = self.folder / EVALUATION
            raise LibraryError(f"{path} was written by another warpsmith.", remedy=_JUDGE_AGAIN) from error

    def evidence(self) -> bytes | None:
        """The whole evaluation as its file has it, held against the manifest; None where an older warpsmith kept none.

        Raises:
            LibraryError: it is missing or was changed.
        """
        if not self.manifest.evaluation_digest:
            return None
        path = self.folder / EVALUATION
        try:
            data = path.read_bytes()
        except OSError as error:
            raise LibraryError(f"{path} cannot be read: {error.strerror}.", remedy=_JUDGE_AGAIN) from error
        if digest_bytes(data) != self.manifest.evaluation_digest:
            raise _edited(path)
        return data


@dataclass(frozen=True, slots=True)
class Listing:
    """What a library holds."""

    entries: tuple[Entry, ...]
    refused: tuple[Refusal, ...]


def list_entries(library: Path) -> Listing:
    """Read every kernel of a library; an absent folder is an empty library.

    Raises:
        LibraryError: the folder cannot be read.
    """
    entries, refused = [], []
    try:
        folders = sorted(path.parent for path in library.glob(f"*/*/{MANIFEST}"))
    except OSError as error:
        raise LibraryError(f"the library {library} cannot be read: {error.strerror}.") from error
    for folder in folders:
        try:
            entries.append(read_entry(folder))
        except LibraryError as error:
            refused.append(Refusal(folder, error.message))
    return Listing(tuple(entries), tuple(refused))


def read_entry(folder: Path) -> Entry:
    """Read one kernel and hold its file against its manifest.

    Raises:
        LibraryError: something is missing, unreadable, from a newer warpsmith, edited or revoked; says which.
    """
    if (folder / REVOKED).exists():
        raise _revoked(folder)
    manifest = _read_manifest(folder / MANIFEST)
    path = folder / KERNEL_FILES[manifest.language]
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise LibraryError(f"{path} cannot be read: {error}.") from error
    entry = Entry(folder, manifest, text)
    if entry.candidate.text_digest != manifest.text_digest:
        raise _edited(path)
    if entry.candidate.identity != manifest.candidate:
        raise _edited(folder / MANIFEST)
    return entry


def _read_manifest(path: Path) -> Manifest:
    try:
        sealed = json.loads(path.read_bytes())
        digest, content = str(sealed["digest"]), sealed["manifest"]
        found = migrated(content)
    except OSError as error:
        raise LibraryError(f"{path} cannot be read: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        raise LibraryError(f"{path} is no kernel manifest.", remedy="Remove its folder.") from error
    except ValueError as error:
        raise LibraryError(
            f"{path} has {error}; this warpsmith reads {SCHEMA}.", remedy="Upgrade warpsmith."
        ) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise LibraryError(f"{path} is no kernel manifest.", remedy="Remove its folder.") from error
    if digest_json(content) != digest:
        raise _edited(path)
    try:
        return Manifest.model_validate_json(json.dumps(found))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise LibraryError(f"{path}: {place}: {first['msg']}.", remedy="Remove its folder.") from error


def _revoked(folder: Path) -> LibraryError:
    try:
        mark = json.loads((folder / REVOKED).read_bytes())
        why = f"{mark['outcome']}: {mark['reason']}"
    except (OSError, ValueError, KeyError, TypeError):
        why = f"see {REVOKED} in it"
    return LibraryError(f"{folder} failed when it was judged again: {why}", remedy="Remove its folder, or mend it.")


_JUDGE_AGAIN = "Judge it again: warpsmith library verify."


def _edited(path: Path) -> LibraryError:
    return LibraryError(
        f"{path} was changed after it was accepted.",
        remedy="Its verdict no longer holds: judge it with `warpsmith verify`, or remove its folder.",
    )


def best_entries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The best kernel for each (task, task digest, target, source), by the geometric mean of bound over time.

    Measured and modelled times are never compared.
    """
    best: dict[tuple[str, str, str, Source], Entry] = {}
    for entry in entries:
        manifest = entry.manifest
        key = (manifest.task, manifest.task_digest, manifest.target, manifest.source)
        if key not in best or manifest.fraction > best[key].manifest.fraction:
            best[key] = entry
    return tuple(best[key] for key in sorted(best))
