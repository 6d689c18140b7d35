"""Events are a closed union that survives a trip through JSON."""

import pytest
from pydantic import ValidationError

from warpsmith.core.events import (
    EVENT,
    Accepted,
    Evaluated,
    Event,
    Proposed,
    RunFinished,
    RunSettings,
    RunStarted,
    StopReason,
)
from warpsmith.core.outcome import CompileFailed, Stage
from warpsmith.core.protocols import Evaluation

SETTINGS = RunSettings(coder="builtin", judge="builtin", strategy="refine", rounds=3, library="out")
STARTED = RunStarted(run="r", task="t", task_digest="d", target="h200", device="emulator", settings=SETTINGS)
FAILED = Evaluation(candidate="c", outcome=CompileFailed(stage=Stage.COMPILE, message="no"), stages=())
EVENTS: list[Event] = [
    STARTED,
    Proposed(round=1, candidate="c", language="cuda", text_digest="x", knobs={"BM": 8}, idea="seed", by="builtin"),
    Evaluated(evaluation=FAILED),
    Accepted(candidate="c", kernel="k", path="out/k"),
    RunFinished(reason=StopReason.PLATEAU, best="c"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_comes_back_from_json_as_it_went(event: Event) -> None:
    assert event == EVENT.validate_json(event.model_dump_json())


def test_an_event_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValidationError, match="Rebooted"):
        EVENT.validate_json('{"kind": "Rebooted"}')


def test_an_event_with_a_field_it_does_not_know_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        EVENT.validate_python({**STARTED.model_dump(), "mood": "good"})


def test_a_run_of_no_rounds_cannot_be_asked_for() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        RunSettings(coder="builtin", judge="builtin", strategy="refine", rounds=0, library="out")
