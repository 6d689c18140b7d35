"""Every request a worker serves and every reply it gives, read back from JSON by their `kind`."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field, TypeAdapter

from warpsmith.sandbox.device.messages import Loaded, LoadModule, Open, Opened, Ran, Refused, RunCall, Survey, Surveyed
from warpsmith.sandbox.device.timing_messages import (
    EndTiming,
    Sampled,
    Staged,
    StageTiming,
    TakeSamples,
    TimingEnded,
)

TimingRequest: TypeAlias = StageTiming | TakeSamples | EndTiming
Request: TypeAlias = Annotated[Survey | Open | LoadModule | RunCall | TimingRequest, Field(discriminator="kind")]

TimingReply: TypeAlias = Staged | Sampled | TimingEnded
Reply: TypeAlias = Annotated[Surveyed | Opened | Loaded | Ran | TimingReply | Refused, Field(discriminator="kind")]

REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)
