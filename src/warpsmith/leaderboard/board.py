"""Boards as records. The headline is the fraction of the speed of light; the ratio to a naive seed comes last."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from warpsmith.core.quantity import Source
from warpsmith.kernels_generated.library import Entry
from warpsmith.kernels_generated.manifest import WorkloadFigures


class Timing(BaseModel, frozen=True, extra="forbid"):
    """A kernel at one bench workload."""

    workload: str
    time_us: float
    bound_us: float
    fraction: float


class Place(BaseModel, frozen=True, extra="forbid"):
    """One kernel on a board."""

    rank: int
    kernel: str
    """Its digest."""
    fraction: float
    """Geometric mean over workloads of bound over time."""
    workloads: tuple[Timing, ...]
    baselines: dict[str, float]
    """Library a user would pick -> its time over this kernel's, geometric mean; empty where none was timed."""
    speedup_over_seed: float | None
    by: str
    """Coder that proposed it."""
    created: str
    path: str


class Board(BaseModel, frozen=True, extra="forbid"):
    """Kernels that may be compared: one task text, one target, one source of times."""

    task: str
    task_digest: str
    target: str
    source: Source
    places: tuple[Place, ...]


def make_boards(entries: Iterable[Entry]) -> tuple[Board, ...]:
    """Sort kernels into boards, best first. Measured and modelled times never share one."""
    groups: dict[tuple[str, str, str, Source], dict[str, Entry]] = {}
    for entry in entries:
        manifest = entry.manifest
        key = (manifest.task, manifest.target, manifest.task_digest, manifest.source)
        groups.setdefault(key, {}).setdefault(entry.digest, entry)
    return tuple(
        Board(task=task, target=target, task_digest=digest, source=source, places=_places(groups[key].values()))
        for key in sorted(groups)
        for task, target, digest, source in (key,)
    )


def _places(entries: Iterable[Entry]) -> tuple[Place, ...]:
    ranked = sorted(entries, key=lambda entry: (-entry.manifest.fraction, entry.digest))
    return tuple(_place(rank, entry) for rank, entry in enumerate(ranked, 1))


def _place(rank: int, entry: Entry) -> Place:
    manifest = entry.manifest
    return Place(
        rank=rank,
        kernel=entry.digest,
        fraction=manifest.fraction,
        workloads=tuple(_timing(item) for item in manifest.workloads),
        baselines=manifest.baselines,
        speedup_over_seed=manifest.speedup_over_seed,
        by=manifest.lineage.coder,
        created=manifest.created.isoformat(),
        path=str(entry.folder),
    )


def _timing(item: WorkloadFigures) -> Timing:
    return Timing(workload=item.workload, time_us=item.time_us, bound_us=item.bound_us, fraction=item.fraction)
