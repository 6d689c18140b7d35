"""How a kernel is timed on a GPU, and what its samples say: plans, records and statistics. The device work is done in
the GPU's worker process, which follows a `TimingPlan`.

One sample: restore what the call overwrites, poison its outputs, reset persisting L2 lines, wait, read the sensors;
then event, flush of L2, event, call, event, wait. The call is on the stream before the flush has ended, so that the
host's launch overhead is not in its time. A host clock brackets all of it and must agree with the outer events. Inputs
rotate through sets of different values, so that no result can be carried over from one call to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from statistics import median
from typing import Final

from pydantic import Field, model_validator

from warpsmith.core.quantity import Duration, Source
from warpsmith.core.record import Record
from warpsmith.profiler.nvml import DeviceState

FLUSH_FACTOR: Final = 3
"""Bytes written before a sample, over the L2's size."""
SHORT_US: Final = 20.0
"""Below this a call's launch overhead is no longer small beside it: a graph of calls is timed instead."""
GRAPH_US: Final = 200.0
"""What a graph of short calls should take together."""
FEWEST_SETS, MOST_SETS = 2, 8
"""Input sets of different values for single calls."""
FEWEST_NODES, MOST_NODES = 4, 32
"""Calls in a graph, each on a set of its own."""
WARM_UP: Final = 10
"""Calls before the first sample: code is loaded, clocks have risen."""
FEWEST_SAMPLES, MOST_SAMPLES = 20, 200
SLOW_US: Final = 50_000.0
"""Calls that take longer need fewer repeats: a quarter of the samples, two to warm up."""
SET_BYTES: Final = 8 << 30
"""Device memory that all sets together may take, on a GPU with four times as much."""
CONFIDENCE: Final = 0.95
AGREEMENT_US, AGREEMENT_SHARE = 100.0, 0.05
"""The host's clock may exceed the events' time by as much as without a call, so many microseconds (two looks at the
stream) and this share."""


class Method(StrEnum):
    """What lies between the two events."""

    CALL = "call"
    """One call."""
    GRAPH = "graph"
    """A CUDA graph of one call on each input set; a sample is its time over the number of calls."""


class TimingPlan(Record):
    """How often, on how many input sets, and between which flushes."""

    method: Method
    sets: int = Field(ge=1)
    warm_up: int = Field(ge=1)
    samples: int = Field(ge=1)
    flush_bytes: int = Field(gt=0)

    @property
    def calls(self) -> int:
        """Calls in one sample."""
        return self.sets if self.method is Method.GRAPH else 1


def plan_timing(
    estimate_us: float, set_bytes: int, l2_bytes: int, *, seconds: float = 1.0, room_bytes: int = SET_BYTES
) -> TimingPlan:
    """Choose the method for calls of about `estimate_us` on sets of `set_bytes`.

    Args:
        estimate_us: Microseconds of a warm call.
        set_bytes: Device bytes of one input set with its outputs and scratch.
        l2_bytes: The device's L2.
        seconds: What samples may take together; flushing and waiting are the larger part for short calls.
        room_bytes: Device memory that all sets together may take.

    Raises:
        ValueError: an argument is not positive.
    """
    if not (estimate_us > 0 and set_bytes >= 0 and l2_bytes > 0 and seconds > 0):
        raise ValueError(f"cannot plan for {estimate_us} us, {set_bytes} bytes, {l2_bytes} bytes of L2, {seconds} s")
    room = max(1, room_bytes // max(1, set_bytes))
    if estimate_us < SHORT_US:
        method, sets = Method.GRAPH, min(MOST_NODES, max(FEWEST_NODES, math.ceil(GRAPH_US / estimate_us)), room)
    else:
        pool = math.ceil(FLUSH_FACTOR * l2_bytes / max(1, set_bytes))
        method, sets = Method.CALL, min(MOST_SETS, max(FEWEST_SETS, pool), room)
    flush_bytes = FLUSH_FACTOR * l2_bytes
    # A flush writes at 1 TB/s or faster; events, waits and sensors take some 200 us.
    each_us = estimate_us * (sets if method is Method.GRAPH else 1) + flush_bytes / 1e6 + 200
    slow = each_us > SLOW_US
    fewest = max(FEWEST_SAMPLES // 4 if slow else FEWEST_SAMPLES, sets if method is Method.CALL else 1)
    return TimingPlan(
        method=method,
        sets=sets,
        warm_up=2 if slow else WARM_UP,
        samples=min(MOST_SAMPLES, max(fewest, int(seconds * 1e6 / each_us))),
        flush_bytes=flush_bytes,
    )


class TimedCall(Record):
    """One sample."""

    input_set: int = Field(ge=0)
    """Which set it ran on; 0 for a graph, which runs on all."""
    event_us: float = Field(gt=0, allow_inf_nan=False)
    """Between the events around the call, over the calls in a graph."""
    bracket_us: float = Field(gt=0, allow_inf_nan=False)
    """From the event before the flush to the last one."""
    host_us: float = Field(gt=0, allow_inf_nan=False)
    """The host's time for the same, the wait included."""
    before: DeviceState
    after: DeviceState


class OutputCheck(Record):
    """What came out of timed calls on one input set."""

    input_set: int = Field(ge=0)
    calls: int = Field(ge=1)
    """Timed calls whose outputs were read back; which ones, no candidate can know."""
    digests: tuple[str, ...] = Field(min_length=1)
    """Distinct SHA-256 digests of all outputs, in the order in which they first came."""


class Timing(Record):
    """All samples of one kernel at one workload in one process."""

    plan: TimingPlan
    device: str
    """The GPU's name as its driver gives it."""
    samples: tuple[TimedCall, ...] = Field(min_length=1)
    checks: tuple[OutputCheck, ...] = ()
    empty_host_us: float = Field(ge=0)
    """By how much the host's time exceeds the events' with no call between them: the median."""
    empty_event_us: float = Field(ge=0)
    """Between the events around no call: the median."""
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _sets_exist(self) -> Timing:
        used = {sample.input_set for sample in self.samples} | {check.input_set for check in self.checks}
        if max(used) >= self.plan.sets:
            raise ValueError(f"input set {max(used)} of {self.plan.sets}")
        return self

    @property
    def sound(self) -> tuple[TimedCall, ...]:
        """Samples that no slowdown spoiled; all of them where every one was."""
        kept = tuple(item for item in self.samples if not (item.before.throttled or item.after.throttled))
        return kept or self.samples

    @property
    def throttled(self) -> bool:
        """Whether every sample ran while the GPU was held down: such a time is no evidence."""
        return all(item.before.throttled or item.after.throttled for item in self.samples)

    @property
    def duration(self) -> Duration:
        """Median of the events' times, with its confidence interval."""
        times = [sample.event_us for sample in self.sound]
        low, high = median_interval(times)
        return Duration(us=median(times), source=Source.MEASURED, low_us=low, high_us=high)


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """An interval that holds the median with at least this confidence, whatever the distribution; order statistics.

    With five samples or fewer it is their whole range, at a lower confidence.
    Source: Conover, Practical Nonparametric Statistics, "The quantile test": the number of samples below the median
    is binomial with probability one half.
    """
    ordered, count = sorted(values), len(values)
    if not count:
        raise ValueError("no samples, no median")
    tail, below = 0.0, 0
    while below < count // 2:
        tail += math.comb(count, below) / 2**count
        if tail > (1 - confidence) / 2:
            break
        below += 1
    first = max(0, below - 1)
    return ordered[first], ordered[count - 1 - first]


def disagreement(timing: Timing) -> str:
    """How the two clocks contradict each other; empty where they agree.

    The host's bracket holds the events' and waits a little longer. Shorter, or much longer, and something ran outside
    the events or the timer is wrong.
    """
    event = median(sample.bracket_us for sample in timing.samples)
    host = median(sample.host_us for sample in timing.samples)
    if host < event * (1 - AGREEMENT_SHARE):
        return f"the host's clock says {host:.4g} us where the device's events say {event:.4g} us"
    allowed = event * (1 + AGREEMENT_SHARE) + timing.empty_host_us + AGREEMENT_US
    if host > allowed:
        return (
            f"flush and call take {event:.4g} us between their events and {host:.4g} us for the host, where at most "
            f"{allowed:.4g} us are explained: work ran outside the events"
        )
    return ""


def abba(blocks: int, calls: int) -> tuple[tuple[int, ...], ...]:
    """Which side is called when: per block, `calls` of each in the order A B B A, again and again.

    Each run of four has equal sums of positions, so that a clock that drifts in a line favours neither.
    """
    if blocks < 1 or calls < 2 or calls % 2:
        raise ValueError("a block has an even number of calls of each side, at least two")
    return tuple(tuple((0, 1, 1, 0)[index % 4] for index in range(2 * calls)) for _ in range(blocks))
