"""What becomes of an accepted kernel that was judged again: its entry is renewed, or revoked."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from statistics import geometric_mean

from warpsmith.core.errors import LibraryError
from warpsmith.core.outcome import Failure, Inconclusive, Unsupported
from warpsmith.core.protocols import Evaluation
from warpsmith.core.quantity import Source
from warpsmith.core.task import Task
from warpsmith.kernels_generated.accept import make_manifest, replace_entry
from warpsmith.kernels_generated.library import Entry
from warpsmith.kernels_generated.manifest import Manifest
from warpsmith.kernels_generated.places import REVOKED


def renew(library: Path, entry: Entry, evaluation: Evaluation, task: Task, now: datetime | None = None) -> Path:
    """Write a kernel that passed the gate again; the folder it lies in now.

    Lineage and the day it was accepted stay. Ratios to the naive seed and to baselines stay where its times do; where
    modelled times moved, the ratio to the seed moves with them. Where
    task or toolchain have changed it is another kernel of another digest, and the old entry goes, if it lay in this
    library.

    Raises:
        ValueError: the evaluation is not this kernel's, or not verified and profiled.
        LibraryError: the library cannot be written.
    """
    old = entry.manifest
    manifest = make_manifest(
        entry.candidate, evaluation, task, old.lineage, speedup_over_seed=None, created=old.created
    ).model_copy(update={"certified": now or datetime.now(UTC)})
    if manifest.workloads == old.workloads:
        kept = {"speedup_over_seed": old.speedup_over_seed, "baselines": old.baselines}
        manifest = manifest.model_copy(update=kept)
    elif old.speedup_over_seed and _same_workloads(old, manifest):
        # The seed's modelled time is what it was; only this kernel's was found anew, on other inputs.
        times = [(then.time_us, now.time_us) for then, now in zip(old.workloads, manifest.workloads, strict=True)]
        faster = geometric_mean([then / now for then, now in times])
        manifest = manifest.model_copy(update={"speedup_over_seed": old.speedup_over_seed * faster})
    return replace_entry(library, entry, manifest, evaluation)


def _same_workloads(old: Manifest, new: Manifest) -> bool:
    """Whether both are modelled times of the same workloads."""
    names = [[item.workload for item in manifest.workloads] for manifest in (old, new)]
    return old.source is new.source is Source.MODELLED and names[0] == names[1]


def disproves(evaluation: Evaluation) -> bool:
    """Whether a second judgement takes the first one back; one that could not decide does not."""
    outcome = evaluation.outcome
    return isinstance(outcome, Failure) and not isinstance(outcome, Unsupported | Inconclusive)


def revoke(entry: Entry, evaluation: Evaluation, now: datetime | None = None) -> None:
    """Mark a kernel that failed when it was judged again: it is refused from now on, and its files stay.

    Raises:
        ValueError: the evaluation does not disprove it.
        LibraryError: the folder cannot be written.
    """
    outcome = evaluation.outcome
    if not isinstance(outcome, Failure) or not disproves(evaluation):
        raise ValueError(f"{outcome.kind} takes no verdict back")
    mark = {"outcome": outcome.kind, "reason": outcome.message, "at": (now or datetime.now(UTC)).isoformat()}
    try:
        (entry.folder / REVOKED).write_text(json.dumps(mark, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise LibraryError(
            f"{entry.folder} failed when judged again ({outcome.kind}: {outcome.message}), and cannot be marked: "
            f"{error.strerror}.",
            remedy="Remove its folder.",
        ) from error
