"""What one optimisation run came to: the record behind `warpsmith optimize --json`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from warpsmith.core.quantity import Source
from warpsmith.core.record import Record


class KernelSummary(BaseModel, frozen=True, extra="forbid"):
    """The accepted kernel. No Record, whose `digest()` would hide the field."""

    digest: str = Field(min_length=12)
    """The kernel's digest in the library, whose first digits name its folder."""
    path: Path
    """Its folder in the library."""


class WorkloadSummary(Record):
    """The best kernel at one bench workload."""

    name: str
    time_us: float = Field(gt=0)
    source: Source
    bound_us: float = Field(gt=0)
    fraction: float = Field(gt=0)
    """Bound over time: 1 is the speed of light."""
    speedup_over_seed: float | None = Field(default=None, gt=0)
    """Time of the naive seed over this time; None where the run began with no verified seed."""


class RunSummary(Record):
    """A run as it stands, ended or interrupted."""

    run: str
    task: str
    target: str
    """Architecture's name: `h200`."""
    accepted: bool
    """A kernel faster than what the run began with stands in the library."""
    kernel: KernelSummary | None = None
    rounds: int = Field(ge=0)
    """Rounds recorded."""
    outcomes: dict[str, int] = Field(default_factory=dict)
    """Outcome's kind -> how many candidates ended so."""
    workloads: tuple[WorkloadSummary, ...] = ()
    """The best verified candidate's; empty where none verified."""
    speedup_over_seed: float | None = Field(default=None, gt=0)
    """Geometric mean over workloads."""
    reason: str = ""
    """Why it ended; empty where it did not."""
    calls: int = Field(default=0, ge=0)
    """Times a language model was asked."""
    tokens: int = Field(default=0, ge=0)
    """Of all calls, in and out."""
    dollars: float | None = Field(default=0.0, ge=0)
    """Of all calls; None where a price is unknown."""
