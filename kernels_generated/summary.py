"""What a ranking needs to know of an accepted kernel: small enough to keep ten thousand of them at hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from warpsmith.kernels_generated.library import Entry


class Timed(NamedTuple):
    """A kernel at one bench workload."""

    workload: str
    time_us: float
    bound_us: float

    @property
    def fraction(self) -> float:
        """Bound over time: 1 is the speed of light."""
        return self.bound_us / self.time_us


class Paid(NamedTuple):
    """What a run had used when the kernel was accepted."""

    calls: int
    evaluations: int
    dollars: float | None
    """None: a price is unknown."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One kernel whose file, manifest and evaluation agree."""

    library: Path
    name: str
    """Of its folder below the library: `task/digest`."""
    kernel: str
    """Its digest."""
    candidate: str
    language: str
    task: str
    task_digest: str
    task_path: str
    """Empty for a task that ships."""
    target: str
    toolchain: str
    gate: str
    """Edition of the gate that judged it; empty where that is not known."""
    source: str
    """Of its times: `measured` or `modelled`."""
    fraction: float
    """Geometric mean over workloads of bound over time."""
    timings: tuple[Timed, ...]
    baselines: dict[str, float]
    """Library a user would pick -> its time over this kernel's."""
    speedup_over_seed: float | None
    coder: str
    run: str
    created: str
    """UTC, ISO 8601."""
    cost: Paid | None
    """None: not known."""

    @property
    def folder(self) -> Path:
        return self.library / self.name

    @property
    def slowness(self) -> tuple[float, str]:
        """Sorts the best kernel of a ranking first; ties by digest."""
        return -self.fraction, self.kernel


def summary_of(entry: Entry) -> Summary:
    """Of a kernel that was read whole."""
    manifest = entry.manifest
    lineage, cost = manifest.lineage, manifest.lineage.cost
    return Summary(
        library=entry.folder.parents[1],
        name="/".join(entry.folder.parts[-2:]),
        kernel=entry.digest,
        candidate=manifest.candidate,
        language=manifest.language,
        task=manifest.task,
        task_digest=manifest.task_digest,
        task_path=manifest.task_path,
        target=manifest.target,
        toolchain=manifest.toolchain,
        gate=manifest.circumstances.gate,
        source=manifest.source.value,
        fraction=manifest.fraction,
        timings=tuple(Timed(item.workload, item.time_us, item.bound_us) for item in manifest.workloads),
        baselines=manifest.baselines,
        speedup_over_seed=manifest.speedup_over_seed,
        coder=lineage.coder,
        run=lineage.run,
        created=manifest.created.isoformat(),
        cost=Paid(cost.calls, cost.evaluations, cost.dollars) if cost else None,
    )


def to_json(summary: Summary) -> dict[str, Any]:
    """Without its place, which the index has."""
    return {name: value for name, value in asdict(summary).items() if name not in ("library", "name")}


def from_json(library: Path, name: str, fields: dict[str, Any]) -> Summary:
    """What `to_json` wrote, read back.

    Raises:
        TypeError: it is something else.
    """
    fields["timings"] = tuple(Timed(*item) for item in fields["timings"])
    fields["cost"] = Paid(*fields["cost"]) if fields["cost"] else None
    return Summary(library=library, name=name, **fields)
