"""Recorded events with no more of an evaluation than the site shows of a run.

An evaluation's profile holds counters for each line at each workload. Reading them all takes a hundred times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import geometric_mean
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from warpsmith.core.errors import StoreError
from warpsmith.core.events import Abandoned, Accepted, Called, Chosen, Judged, Proposed, RunFinished, RunStarted
from warpsmith.core.outcome import Outcome
from warpsmith.core.quantity import Bound, Duration


class BriefWorkload(BaseModel, frozen=True, extra="ignore"):
    """Time and bound at one bench workload."""

    workload: str
    duration: Duration
    bound: Bound


class BriefProfile(BaseModel, frozen=True, extra="ignore"):
    """A profile without launches and counters."""

    workloads: tuple[BriefWorkload, ...] = Field(min_length=1)

    @property
    def fraction(self) -> float:
        """Geometric mean over workloads of bound over time."""
        return geometric_mean([item.bound.us / item.duration.us for item in self.workloads])


class BriefStage(BaseModel, frozen=True, extra="ignore"):
    """One stage of the gate."""

    seconds: float


class BriefEvaluation(BaseModel, frozen=True, extra="ignore"):
    """Outcome, how long each stage took, and times."""

    candidate: str
    outcome: Outcome
    stages: tuple[BriefStage, ...] = ()
    profile: BriefProfile | None = None


class BriefEvaluated(BaseModel, frozen=True, extra="ignore"):
    """The gate's first or second answer."""

    kind: Literal["Evaluated", "Confirmed"]
    evaluation: BriefEvaluation


BriefEvent: TypeAlias = Annotated[
    RunStarted | Chosen | Called | Abandoned | Proposed | BriefEvaluated | Judged | Accepted | RunFinished,
    Field(discriminator="kind"),
]
_READER: TypeAdapter[BriefEvent] = TypeAdapter(BriefEvent)


def read_briefly(payloads: Iterable[str], since: int = 0) -> Iterator[BriefEvent]:
    """Events from their JSON, the first of which is number `since` of its run.

    Raises:
        StoreError: a payload is no event.
    """
    for number, payload in enumerate(payloads, since):
        try:
            yield _READER.validate_json(payload)
        except ValidationError as error:
            raise StoreError(
                f"event {number} cannot be read: {error.errors()[0]['msg']}.",
                remedy="Look for damage: warpsmith store check.",
            ) from error
