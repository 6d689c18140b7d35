"""Writes an accepted kernel into a library, all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from warpsmith.core.candidate import Candidate
from warpsmith.core.digest import digest_text
from warpsmith.core.errors import LibraryError
from warpsmith.core.outcome import Stage, Verified
from warpsmith.core.protocols import Evaluation
from warpsmith.core.quantity import Source
from warpsmith.core.task import Task
from warpsmith.kernels_generated.library import Entry, read_entry
from warpsmith.kernels_generated.manifest import Evidence, Lineage, Manifest, figures
from warpsmith.kernels_generated.places import EVALUATION, FOLDER_DIGITS, KERNEL_FILES, MANIFEST


def write_kernel(
    library: Path,
    candidate: Candidate,
    evaluation: Evaluation,
    *,
    task: Task,
    lineage: Lineage,
    speedup_over_seed: float | None = None,
    baselines: Mapping[str, float] | None = None,
    created: datetime | None = None,
) -> Path:
    """Put a verified, profiled candidate into the library; return its folder `<library>/<task>/<digest[:12]>`.

    Writing the same kernel again changes nothing, so a run that died between writing and recording can repeat it.

    Raises:
        ValueError: the evaluation is not this candidate's, or not verified and profiled.
        LibraryError: the folder cannot be written.
    """
    manifest = make_manifest(candidate, evaluation, task, lineage, speedup_over_seed, created, baselines)
    folder = _folder(library, manifest)
    if not _holds(folder, manifest):
        _enter(library, folder, candidate, manifest, evaluation)
    return folder


def replace_entry(library: Path, entry: Entry, manifest: Manifest, evaluation: Evaluation) -> Path:
    """Write a kernel that was judged again; the entry it comes from goes, where that lay in this library.

    Raises:
        LibraryError: the folder cannot be written.
    """
    folder = _folder(library, manifest)
    _enter(library, folder, entry.candidate, manifest, evaluation, renewed=True)
    if entry.folder != folder and entry.folder.absolute().is_relative_to(library.absolute()):
        shutil.rmtree(entry.folder, ignore_errors=True)
    return folder


def require_writable(library: Path) -> None:
    """Find out before a search whether what it accepts could be written; leaves nothing behind.

    Raises:
        LibraryError: the library, or the folder that it would be made in, cannot be written to.
    """
    place = next(folder for folder in (library.absolute(), *library.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=place):
            pass
    except OSError as error:
        raise _unwritable(library, error) from error


def _unwritable(library: Path, error: OSError) -> LibraryError:
    return LibraryError(
        f"the library {library} cannot be written: {error.strerror or error}.",
        remedy="Free some space, or choose another folder with --library DIR or WARPSMITH_LIBRARY.",
    )


def _folder(library: Path, manifest: Manifest) -> Path:
    return library.absolute() / manifest.task / manifest.kernel[:FOLDER_DIGITS]


def _enter(
    library: Path,
    folder: Path,
    candidate: Candidate,
    manifest: Manifest,
    evaluation: Evaluation,
    *,
    renewed: bool = False,
) -> None:
    """All of it or nothing. What another process wrote stays, unless this is its renewal."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder.parent) as scratch:
            fresh = Path(scratch) / "new"
            _write(fresh, candidate, manifest, evaluation)
            _put(fresh, folder, manifest, renewed=renewed)
    except OSError as error:
        raise _unwritable(library, error) from error


def make_manifest(
    candidate: Candidate,
    evaluation: Evaluation,
    task: Task,
    lineage: Lineage,
    speedup_over_seed: float | None,
    created: datetime | None,
    baselines: Mapping[str, float] | None = None,
) -> Manifest:
    """Join what is known of an accepted candidate.

    Raises:
        ValueError: the evaluation is not this candidate's, or not verified and profiled.
    """
    outcome, profile = evaluation.outcome, evaluation.profile
    if not isinstance(outcome, Verified) or profile is None:
        raise ValueError(f"only a verified and profiled candidate enters the library, not {outcome.kind}")
    if {evaluation.candidate, profile.candidate} != {candidate.identity} or candidate.task != task.name:
        raise ValueError("evaluation, profile and task do not belong to this candidate")
    shipped = not task.path or _ships(Path(task.path))
    return Manifest(
        task=task.name,
        task_digest=task.source_digest,
        task_path="" if shipped else task.path,
        candidate=candidate.identity,
        language=candidate.language,
        text_digest=candidate.text_digest,
        knobs=candidate.knobs,
        target=profile.target,
        toolchain=evaluation.toolchain,
        circumstances=evaluation.circumstances,
        evidence=outcome,
        proofs=proofs(evaluation),
        evaluation_digest=digest_text(_text(evaluation)),
        verdict_digest=outcome.digest(),
        profile_digest=profile.digest(),
        source=profile.source,
        workloads=figures(profile),
        speedup_over_seed=speedup_over_seed,
        baselines=dict(baselines or {}),
        lineage=lineage,
        created=created or datetime.now(UTC),
    )


def proofs(evaluation: Evaluation) -> tuple[Evidence, ...]:
    """What a verified and profiled candidate was shown to be, by source, in the words of the gate's stages."""
    profile, met = evaluation.profile, evaluation.circumstances
    if profile is None:
        return ()
    emulator = f"emulator of {profile.target}"
    gpu = ", ".join(filter(None, [met.device or profile.target, met.driver and f"driver {met.driver}"]))
    said = [
        ("verdict", Source.EMULATED, emulator, _said(evaluation, Stage.EMULATE, Stage.COMPARE)),
        ("counters", Source.EMULATED, emulator, _said(evaluation, Stage.PROFILE)),
    ]
    if profile.source is Source.MEASURED:
        said.append(("verdict", Source.MEASURED, gpu, _said(evaluation, Stage.DEVICE)))
        if any(launch.hardware for item in profile.workloads for launch in item.launches):
            said.append(("counters", Source.MEASURED, gpu, "Nsight Compute"))
    where = gpu if profile.source is Source.MEASURED else f"time model of {profile.target}"
    said.append(("times", profile.source, where, f"{len(profile.workloads)} bench workloads"))
    return tuple(
        Evidence.model_validate({"what": what, "source": source, "where": where, "detail": detail})
        for what, source, where, detail in said
    )


def _said(evaluation: Evaluation, *stages: Stage) -> str:
    return "; ".join(report.detail for report in evaluation.stages if report.stage in stages and report.detail)


def _ships(path: Path) -> bool:
    import warpsmith.tasks

    return path.resolve().is_relative_to(Path(warpsmith.tasks.__file__).resolve().parent)


def _holds(folder: Path, manifest: Manifest) -> bool:
    """Whether the folder already holds this kernel, unharmed and judged by the same edition of the gate."""
    try:
        entry = read_entry(folder)
        same = entry.digest == manifest.kernel and entry.manifest.circumstances.gate == manifest.circumstances.gate
        return same and entry.evaluation() is not None
    except LibraryError:
        return False


def _text(evaluation: Evaluation) -> str:
    return evaluation.model_dump_json() + "\n"


def _write(folder: Path, candidate: Candidate, manifest: Manifest, evaluation: Evaluation) -> None:
    """All files, on the disk before the folder gets its name."""
    folder.mkdir()
    sealed = {"digest": manifest.digest(), "manifest": manifest.model_dump(mode="json")}
    texts = {
        KERNEL_FILES[candidate.language]: candidate.text,
        EVALUATION: _text(evaluation),
        MANIFEST: json.dumps(sealed, indent=2, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        with (folder / name).open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())


def _put(fresh: Path, folder: Path, manifest: Manifest, *, renewed: bool) -> None:
    """Give the new folder its name; a broken one in its place goes, a sound one that another process wrote stays."""
    if folder.exists() and (renewed or not _holds(folder, manifest)):
        shutil.move(folder, fresh.parent / "broken")
    try:
        fresh.rename(folder)
    except OSError:
        if not _holds(folder, manifest):
            raise
