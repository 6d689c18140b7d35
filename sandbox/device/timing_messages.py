"""The worker's protocol for timing: place a call on several input sets, take samples of it, read back what it wrote."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from warpsmith.core.record import Record
from warpsmith.profiler.timing import Method, OutputCheck, TimedCall
from warpsmith.sandbox.device.messages import DeviceCall, Fault


class StageTiming(Record):
    """Places a call once for each input set, in the place of what was staged before.

    Blobs: the uploaded buffers of the first set, in the order of the call's, then those of the second, and so on.
    """

    kind: Literal["StageTiming"] = "StageTiming"
    call: DeviceCall
    sets: int = Field(ge=1)
    method: Method
    flush_bytes: int = Field(gt=0)
    seed: int = Field(ge=0)
    """Poison, and where buffers lie."""
    seconds: float = Field(gt=0)
    """The longest one sample may take."""


class Staged(Record):
    """The call is in place and has run warm."""

    kind: Literal["Staged"] = "Staged"
    estimate_us: float = Field(default=0.0, ge=0)
    """A warm call in a row of them; 0 where it faulted."""
    set_bytes: int = Field(default=0, ge=0)
    """Device memory of one set."""
    empty_event_us: float = Field(default=0.0, ge=0)
    """Between the events around no call: the median."""
    empty_host_us: float = Field(default=0.0, ge=0)
    """By how much the host's time for flush and no call exceeds the events': the median."""
    fault: Fault | None = None
    ended: bool = False
    """The worker leaves after this reply."""


class TakeSamples(Record):
    """Runs the staged call, cold, so many times; a graph's sample is all its calls."""

    kind: Literal["TakeSamples"] = "TakeSamples"
    count: int = Field(ge=0)
    warm_up: int = Field(default=0, ge=0)
    """Calls before that are not recorded."""


class Sampled(Record):
    """What the clocks said."""

    kind: Literal["Sampled"] = "Sampled"
    samples: tuple[TimedCall, ...] = ()
    fault: Fault | None = None
    ended: bool = False


class EndTiming(Record):
    """Reads back and frees what is staged."""

    kind: Literal["EndTiming"] = "EndTiming"


class TimingEnded(Record):
    """Blobs: INPLACE and OUTPUT buffers as the last timed call on the first set left them, then on the second."""

    kind: Literal["TimingEnded"] = "TimingEnded"
    sets: int = Field(ge=0)
    checks: tuple[OutputCheck, ...] = ()
    fault: Fault | None = None
    ended: bool = False
