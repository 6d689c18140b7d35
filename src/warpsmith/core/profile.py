"""What a reader, the Judge or a person, sees of one candidate's performance."""

from __future__ import annotations

from statistics import geometric_mean

from pydantic import Field

from warpsmith.core.artifact import Resources
from warpsmith.core.counters import LaunchCounters
from warpsmith.core.quantity import Bound, Duration, Source
from warpsmith.core.record import Record


class Occupancy(Record):
    """Blocks and warps that fit on one multiprocessor, and what stops more."""

    blocks_per_sm: int = Field(ge=0)
    warps_per_sm: int = Field(ge=0)
    max_warps: int = Field(ge=1)
    limiter: str
    """`registers`, `shared`, `threads`, `blocks`, or `grid` where the grid is too small to fill the chip."""
    limits: dict[str, int] = Field(default_factory=dict)
    """Blocks that each of these alone would let reside; empty where it is not known."""

    @property
    def fraction(self) -> float:
        return self.warps_per_sm / self.max_warps


class Metric(Record):
    """One number as evidence."""

    name: str
    value: float
    unit: str
    source: Source


class LaunchProfile(Record):
    """One launch at one workload."""

    kernel: str
    duration: Duration
    limits: dict[str, float]
    """Microseconds each resource alone would take: dram, l2, l1, shared, issue, fma, alu, tensor, latency, …"""
    limiter: str
    """Key of the largest limit."""
    occupancy: Occupancy
    waves: float = Field(gt=0)
    """Grid blocks over co-resident blocks."""
    resources: Resources
    counters: LaunchCounters
    hardware: tuple[Metric, ...] = ()
    """What the GPU's counters said, by Nsight Compute's names; empty where they were not asked or not to be had."""
    sampling_error: float = Field(default=0.0, ge=0)
    """Half-width, relative to the time, of what counting only some blocks leaves open; 0 where all were counted."""


class WorkloadProfile(Record):
    """All launches of one call at one workload."""

    workload: str
    duration: Duration
    bound: Bound
    launches: tuple[LaunchProfile, ...]
    notes: tuple[str, ...] = ()
    """What the model does not cover here."""

    @property
    def sampling_error(self) -> float:
        """As `LaunchProfile.sampling_error`, for the whole call."""
        return sum(launch.sampling_error * launch.duration.us for launch in self.launches) / self.duration.us

    @property
    def fraction(self) -> float:
        """Bound over time: 1 is the speed of light."""
        return self.bound.us / self.duration.us


class Profile(Record):
    """A candidate at its bench workloads, tied to it by digest."""

    candidate: str
    """`Candidate.identity` it belongs to."""
    target: str
    """Architecture's name: `h200`."""
    source: Source
    workloads: tuple[WorkloadProfile, ...] = Field(min_length=1)

    def speedup_over(self, other: Profile) -> float:
        """Geometric mean over workloads of the other's time over this one's.

        Raises:
            ValueError: where targets, sources or workloads differ; such times are not comparable.
        """
        mine = {item.workload: item.duration for item in self.workloads}
        theirs = {item.workload: item.duration for item in other.workloads}
        if (self.target, self.source) != (other.target, other.source) or mine.keys() != theirs.keys():
            raise ValueError("profiles of different targets, sources or workloads have no ratio")
        return geometric_mean([theirs[name].us / duration.us for name, duration in mine.items()])


class Prediction(Record):
    """What a Judge expects of its advice."""

    metric: str
    unit: str
    before: float
    """What the metric reads now."""
    after: float
    """What it should read once the advice is followed."""
    time_ratio: float = Field(gt=0, allow_inf_nan=False)
    """Expected time over the present time, geometric mean over workloads: 0.8 is a fifth faster."""


class Score(Record):
    """How a prediction came out, each part from 0 (no such change, or the opposite) to 1 (just so)."""

    metric: str
    predicted: float
    """Change of the metric."""
    observed: float
    on_metric: float = Field(ge=0, le=1)
    time_predicted: float
    """Time ratio."""
    time_observed: float
    on_time: float = Field(ge=0, le=1)


class Critique(Record):
    """The Judge's answer: one bottleneck, what proves it, one action."""

    candidate: str
    """`Candidate.identity` it speaks of."""
    bottleneck: str
    evidence: tuple[Metric, ...]
    action: str
    """One sentence that a Coder can act on."""
    technique: str = ""
    """Tag of a technique that answers it (`vectorized`, `split_k`, …), where one does."""
    knob: str = ""
    """Name of a knob to change, where the answer is one."""
    direction: int = Field(default=0, ge=-1, le=1)
    """Of that knob: 1 larger, -1 smaller, 0 either."""
    judge: str
    """Who said it: `builtin`, or a model's name."""
    prediction: Prediction | None = None
    """What the Judge expects to come of it, where it says so."""
