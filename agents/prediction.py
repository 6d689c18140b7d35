"""Holds what a Judge predicted of its advice against what came of it."""

from __future__ import annotations

import math

from warpsmith.agents.reading import Reading, read, read_like
from warpsmith.agents.state import Attempt, RunState
from warpsmith.core.profile import Score


def score(state: RunState, attempt: Attempt) -> Score | None:
    """The score of the prediction made for the parent; None where there is none, or the attempt has no profile."""
    parent = state.find(attempt.proposed.parent)
    if parent is None or parent.critique is None or parent.critique.prediction is None:
        return None
    prediction, before, after = parent.critique.prediction, parent.profile, attempt.profile
    if before is None or after is None or before.workloads[0].workload != after.workloads[0].workload:
        return None
    shown = read(before)
    here = read_like(after, shown) if shown else None
    if here is None:
        return None
    predicted = prediction.after - prediction.before
    observed = _value(here, prediction.metric, prediction.before) - prediction.before
    ratio = 1 / after.speedup_over(before)
    return Score(
        metric=prediction.metric,
        predicted=predicted,
        observed=observed,
        on_metric=agreement(predicted, observed),
        time_predicted=prediction.time_ratio,
        time_observed=ratio,
        on_time=agreement(math.log(prediction.time_ratio), math.log(ratio)),
    )


def _value(reading: Reading, name: str, otherwise: float) -> float:
    """A metric as it reads now; one that is no longer there (another limiter's share) has not moved."""
    try:
        return reading.metric(name).value
    except KeyError:
        return otherwise


def agreement(predicted: float, observed: float) -> float:
    """1 where two changes are equal, 0 where one is nothing or goes the other way; in between by their difference."""
    largest = max(abs(predicted), abs(observed))
    return 1.0 if largest == 0 else max(0.0, 1 - abs(predicted - observed) / largest)
