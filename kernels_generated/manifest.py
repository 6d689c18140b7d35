"""What stands beside an accepted kernel: what it computes, the evidence it won by, and where it came from."""

from __future__ import annotations

from datetime import datetime
from statistics import geometric_mean
from typing import Any, Literal

from pydantic import Field

from warpsmith.core.digest import digest_json
from warpsmith.core.outcome import Verified
from warpsmith.core.profile import Profile
from warpsmith.core.protocols import Circumstances
from warpsmith.core.quantity import Source
from warpsmith.core.record import Record

SCHEMA: Literal[2] = 2
"""Raised when a reader of the older form would misread the newer one; `migrated` reads all older ones."""


class WorkloadFigures(Record):
    """The kernel at one bench workload."""

    workload: str
    time_us: float = Field(gt=0)
    source: Source
    bound_us: float = Field(gt=0)
    bound_limit: str
    """What sets the bound: `dram`, `tensor fp16`, …"""

    @property
    def fraction(self) -> float:
        """Bound over time: 1 is the speed of light."""
        return self.bound_us / self.time_us


class Ancestor(Record):
    """One step on the way to this kernel."""

    candidate: str
    """`Candidate.identity`."""
    change: str
    """What was changed to make it, in a few words."""
    by: str
    """Who proposed it."""


class Cost(Record):
    """What a run had used when the kernel was accepted."""

    calls: int = Field(default=0, ge=0)
    """Of language models."""
    tokens: int = Field(default=0, ge=0)
    dollars: float | None = Field(default=0.0, ge=0)
    """None: a price is unknown, which is not nothing."""
    evaluations: int = Field(default=0, ge=0)
    """By the gate, confirmations included."""
    seconds: float = Field(default=0.0, ge=0)
    """Of models and gate, without waiting."""


class Evidence(Record):
    """One kind of proof and where it comes from."""

    what: Literal["verdict", "counters", "times"]
    source: Source
    where: str
    """`emulator of h200`, `time model of h200`, or the GPU's name and driver."""
    detail: str
    """What it came to, in the gate's words."""


class Lineage(Record):
    """Where a kernel came from."""

    run: str
    coder: str
    judge: str
    strategy: str
    rounds: int = Field(ge=0)
    """Rounds the run took up to acceptance."""
    ancestors: tuple[Ancestor, ...] = ()
    """From the seed to the accepted candidate, which comes last."""
    cost: Cost | None = None
    """None: not known."""


class Manifest(Record):
    """An accepted kernel; the verdict belongs to (task, text, knobs, target, toolchain) and to one source of times."""

    schema_version: Literal[2] = 2
    task: str
    task_digest: str
    """Of the task file's text: a kernel of a changed task is not served."""
    task_path: str = ""
    """The task file, where it does not ship with warpsmith."""
    candidate: str
    """`Candidate.identity`."""
    language: str = Field(pattern="^(cuda|triton)$")
    text_digest: str
    knobs: dict[str, int]
    target: str
    """Architecture's name: `h200`."""
    toolchain: str
    circumstances: Circumstances = Circumstances()
    """Of the verdict: the gate's edition, jail, GPU and driver."""
    evidence: Verified
    proofs: tuple[Evidence, ...] = ()
    """What was shown, by source."""
    evaluation_digest: str = ""
    """Of the bytes of `evaluation.json`, which holds the whole evaluation; empty where there is none."""
    verdict_digest: str = ""
    """Of `evidence`, as a record."""
    profile_digest: str = ""
    """Of the evaluation's profile, as a record; empty where it was not kept."""
    source: Source
    """Of every time below."""
    workloads: tuple[WorkloadFigures, ...] = Field(min_length=1)
    speedup_over_seed: float | None = Field(default=None, gt=0)
    """Geometric mean over workloads of the naive seed's time over this one's."""
    baselines: dict[str, float] = Field(default_factory=dict)
    """Library a user would pick -> its time over this kernel's, geometric mean over workloads, of the same source."""
    lineage: Lineage
    created: datetime
    """When it was accepted."""
    certified: datetime | None = None
    """When it was last taken through the gate again; None: not since it was accepted."""

    @property
    def kernel(self) -> str:
        """The kernel's digest: of everything its verdict belongs to."""
        belongs = ("task", "task_digest", "candidate", "target", "toolchain", "source")
        return digest_json({name: str(getattr(self, name)) for name in belongs})

    @property
    def fraction(self) -> float:
        """Geometric mean over workloads of bound over time."""
        return geometric_mean([item.fraction for item in self.workloads])


def figures(profile: Profile) -> tuple[WorkloadFigures, ...]:
    """A profile's times and bounds, one record a workload."""
    return tuple(
        WorkloadFigures(
            workload=item.workload,
            time_us=item.duration.us,
            source=item.duration.source,
            bound_us=item.bound.us,
            bound_limit=item.bound.limit,
        )
        for item in profile.workloads
    )


def migrated(content: dict[str, Any]) -> dict[str, Any]:
    """A manifest of an older schema in the words of the present one; what it does not tell stays unknown.

    Raises:
        ValueError: its schema is none that this version knows.
    """
    version = content.get("schema_version")
    if version == SCHEMA:
        return content
    if version == 1:
        return {**content, "schema_version": SCHEMA, "verdict_digest": digest_json(content["evidence"])}
    raise ValueError(f"schema {version}")
