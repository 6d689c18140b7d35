"""Numbers that know their unit and where they came from."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from warpsmith.core.record import Record


class Source(StrEnum):
    """Where a number came from. The three never share a ranking."""

    MEASURED = "measured"
    """Read from a GPU."""
    EMULATED = "emulated"
    """Counted by the emulator."""
    MODELLED = "modelled"
    """Derived from counts by the time model."""


class Duration(Record):
    """A time span in microseconds."""

    us: float = Field(gt=0, allow_inf_nan=False)
    source: Source
    low_us: float | None = None
    """Lower end of the interval the source claims, where it claims one."""
    high_us: float | None = None

    @model_validator(mode="after")
    def _interval_holds_the_value(self) -> Duration:
        if self.source is Source.EMULATED:
            raise ValueError("the emulator counts; it measures no time")
        if self.low_us is not None and self.high_us is not None and not self.low_us <= self.us <= self.high_us:
            raise ValueError("a Duration lies inside its interval")
        return self


class Bound(Record):
    """The speed of light for one workload: no kernel on the target can be faster."""

    us: float = Field(gt=0, allow_inf_nan=False)
    limit: str
    """What sets it: `dram`, `tensor fp16`, `fp32`, `launch`."""
    flops: float = Field(ge=0)
    bytes: float = Field(ge=0)
    """Compulsory traffic: every input byte read once, every output byte written once."""
