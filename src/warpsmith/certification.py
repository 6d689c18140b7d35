"""`warpsmith library verify`: every accepted kernel through the gate again, on inputs nobody has seen."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from warpsmith import app
from warpsmith.core.errors import DeviceError, LibraryError, SettingsError, TaskError
from warpsmith.core.outcome import Verified
from warpsmith.core.quantity import Source
from warpsmith.kernels_generated.library import Entry, list_entries
from warpsmith.kernels_generated.places import SHIPPED, search_path
from warpsmith.kernels_generated.recertify import disproves, renew, revoke
from warpsmith.kernels_generated.standing import staleness, task_of
from warpsmith.store import Incumbent, Store

if TYPE_CHECKING:
    from warpsmith.core.profile import Profile
    from warpsmith.core.protocols import Evaluation
    from warpsmith.core.task import Task


class Standing(StrEnum):
    """What is known of an entry."""

    CURRENT = "current"
    """Its verdict holds."""
    STALE = "stale"
    """Task, toolchain or gate have changed since; it is not served."""
    REFUSED = "refused"
    """Edited, corrupted or revoked; it is not served."""
    CERTIFIED = "certified"
    """It passed the gate again just now."""
    REVOKED = "revoked"
    """It failed just now, and is not served from now on."""
    UNDECIDED = "undecided"
    """It could not be judged again; it stands as before."""


class Report(BaseModel, frozen=True, extra="forbid"):
    """One entry."""

    path: str
    kernel: str
    """Its digest; empty where it cannot be read."""
    task: str
    target: str
    source: str
    """Of its times: `measured` or `modelled`."""
    standing: Standing
    reason: str = ""


def standings(library: Path, choice: str | None = None) -> Iterator[Report]:
    """Every entry of a library and of what ships, without judging anything."""
    entries, refused = _chosen(library, choice)
    yield from refused
    for entry in entries:
        why = staleness(entry.manifest)
        yield _report(entry, Standing.STALE if why else Standing.CURRENT, why)


def certify(library: Path, store: Path, choice: str | None = None, *, stale: bool = False) -> Iterator[Report]:
    """Judge every entry again, or the stale ones alone; each report comes as soon as its kernel is judged.

    A kernel that ships is renewed in the user's own library, unless that is the checkout's.

    Raises:
        SettingsError: `choice` names no kernel and no task of the library.
        LibraryError: a library cannot be written.
    """
    entries, refused = _chosen(library, choice)
    yield from refused
    for entry in entries:
        if not stale or staleness(entry.manifest):
            yield _certify(library, store, entry)


def _chosen(library: Path, choice: str | None) -> tuple[list[Entry], list[Report]]:
    """Entries of the task, or whose digest begins so; refused ones where everything is asked for."""
    listings = [list_entries(folder) for folder in search_path(library)]
    found = {entry.folder: entry for listing in listings for entry in listing.entries}
    entries = [entry for entry in found.values() if choice is None or _answers(entry, choice)]
    if choice is not None and not entries:
        raise SettingsError(
            f"no kernel or task of the library is called {choice}.", remedy="See warpsmith library list."
        )
    refused = {item.folder: item.reason for listing in listings for item in listing.refused}
    reports = [_refused(folder, reason) for folder, reason in refused.items()]
    return entries, reports if choice is None else []


def _answers(entry: Entry, choice: str) -> bool:
    manifest = entry.manifest
    named = choice in (manifest.task, manifest.task_path)
    return named or entry.digest.startswith(choice) or manifest.candidate.startswith(choice)


def _refused(folder: Path, reason: str) -> Report:
    standing = Standing.REFUSED
    return Report(
        path=str(folder), kernel="", task=folder.parent.name, target="", source="", standing=standing, reason=reason
    )


def _report(entry: Entry, standing: Standing, reason: str = "", path: Path | None = None) -> Report:
    manifest = entry.manifest
    return Report(
        path=str(path or entry.folder),
        kernel=entry.digest,
        task=manifest.task,
        target=manifest.target,
        source=manifest.source.value,
        standing=standing,
        reason=reason,
    )


def _certify(library: Path, store: Path, entry: Entry) -> Report:
    try:
        task = task_of(entry.manifest)
        evaluation = _judge(entry, task)
    except (TaskError, DeviceError) as error:
        return _report(entry, Standing.UNDECIDED, str(error))
    outcome = evaluation.outcome
    if isinstance(outcome, Verified) and evaluation.profile is not None:
        folder = renew(_home(library, entry), entry, evaluation, task)
        _stand_in(store, entry, folder, evaluation.profile, task)
        return _report(entry, Standing.CERTIFIED, path=folder)
    reason = f"{outcome.kind}: {getattr(outcome, 'message', '')}"
    if not disproves(evaluation):
        return _report(entry, Standing.UNDECIDED, reason)
    revoke(entry, evaluation)
    return _report(entry, Standing.REVOKED, reason)


def _judge(entry: Entry, task: Task) -> Evaluation:
    """By what its times come from: a modelled kernel by the emulator alone, a measured one on a GPU as well."""
    from warpsmith.gpus import choose_target
    from warpsmith.settings import read_settings

    device = "cuda" if entry.manifest.source is Source.MEASURED else "emulator"
    with choose_target(device, entry.manifest.target, read_settings()) as target:
        gate = app.gate(task, arch=target.arch.name, thorough=True, pool=target.pool, remark=target.remark)
        return gate.evaluate(entry.candidate, seed=secrets.randbits(31))


def _home(library: Path, entry: Entry) -> Path:
    """The library an entry is renewed in."""
    root = entry.folder.parents[1]
    if root == SHIPPED and library.resolve() != SHIPPED:
        return library
    if not os.access(root, os.W_OK):
        raise LibraryError(f"the library {root} cannot be written.", remedy="Name another one with --library DIR.")
    return root


def _stand_in(store: Path, entry: Entry, folder: Path, profile: Profile, task: Task) -> None:
    """Where the old entry was the kernel to beat, the renewed one is."""
    from warpsmith.kernels_generated.library import read_entry

    if not store.is_file():
        return
    renewed = read_entry(folder)
    with Store.open(store) as opened:
        standing = opened.incumbent(task.name, entry.manifest.task_digest, profile.target, profile.source)
        if standing is None or standing.kernel != entry.digest:
            return
        opened.swap_incumbent(
            Incumbent(
                task=task.name,
                task_digest=task.source_digest,
                candidate=renewed.manifest.candidate,
                kernel=renewed.digest,
                path=str(folder),
                profile=profile,
            ),
            expected=entry.digest if entry.manifest.task_digest == task.source_digest else None,
        )


def worst(reports: Sequence[Report]) -> bool:
    """Whether one of them does not stand."""
    return any(report.standing not in (Standing.CURRENT, Standing.CERTIFIED) for report in reports)
