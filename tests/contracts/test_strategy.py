"""What every search strategy must do, whatever its plan."""

import pytest

from warpsmith.agents.protocols import Improve, Start, Stop, Strategy
from warpsmith.agents.refine import Refine
from warpsmith.agents.scripted import ScriptedEvaluator
from warpsmith.agents.state import RunState, fold
from warpsmith.core.candidate import Candidate
from warpsmith.core.events import Evaluated, Event, Judged, Proposed, RunSettings, RunStarted, StopReason
from warpsmith.core.outcome import Stage, Unsupported, Wrong
from warpsmith.core.profile import Critique

STRATEGIES: list[Strategy] = [Refine()]
WRONG = Wrong(stage=Stage.COMPARE, message="no")
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda it: it.name)


def state_of(*answers: float | Wrong | Unsupported, rounds: int = 20, patience: int = 4) -> RunState:
    """A run whose candidates took these microseconds, or failed."""
    settings = RunSettings(
        coder="builtin", judge="builtin", strategy="any", rounds=rounds, patience=patience, library="out"
    )
    events: list[Event] = [
        RunStarted(run="r", task="toy", task_digest="d", target="h200", device="emulator", settings=settings)
    ]
    texts = {}
    for number, answer in enumerate(answers):
        candidate = Candidate(task="toy", language="cuda", text=f"kernel {number}")
        texts[candidate.text_digest] = candidate.text
        events += round_of(number + 1, candidate, answer)
    return fold(events, texts.__getitem__)


def round_of(number: int, candidate: Candidate, answer: float | Wrong | Unsupported) -> list[Event]:
    proposed = Proposed(
        round=number,
        candidate=candidate.identity,
        language=candidate.language,
        text_digest=candidate.text_digest,
        idea="idea",
        by="test",
    )
    evaluation = ScriptedEvaluator(lambda _: answer).evaluate(candidate, seed=0)
    critique = Critique(candidate=candidate.identity, bottleneck="b", evidence=(), action="a", judge="test")
    return [proposed, Evaluated(evaluation=evaluation), Judged(critique=critique)]


@every_strategy
def test_a_new_run_starts(strategy: Strategy) -> None:
    assert isinstance(strategy.select(state_of()), Start)


@every_strategy
def test_a_verified_kernel_is_improved(strategy: Strategy) -> None:
    state = state_of(100.0)
    assert Improve(state.attempts[0]) == strategy.select(state)


@every_strategy
def test_the_bound_on_rounds_is_kept(strategy: Strategy) -> None:
    assert Stop(StopReason.ROUNDS) == strategy.select(state_of(100.0, 50.0, 25.0, rounds=3))
    assert isinstance(strategy.select(state_of(100.0, 50.0, rounds=3)), Improve)


@every_strategy
def test_a_kernel_near_the_speed_of_light_ends_the_run(strategy: Strategy) -> None:
    assert Stop(StopReason.BOUND) == strategy.select(state_of(100.0, 1.1))
    assert isinstance(strategy.select(state_of(100.0, 1.2)), Improve)


@every_strategy
def test_rounds_without_gain_end_the_run(strategy: Strategy) -> None:
    assert Stop(StopReason.PLATEAU) == strategy.select(state_of(100.0, 99.0, 120.0, 98.0, 101.0))
    assert isinstance(strategy.select(state_of(100.0, 99.0, 120.0, 98.0)), Improve)


@every_strategy
def test_small_gains_that_add_up_are_no_plateau(strategy: Strategy) -> None:
    assert isinstance(strategy.select(state_of(100.0, 96.0, 92.0, 89.0, 86.0)), Improve)


@every_strategy
def test_equal_states_are_answered_alike(strategy: Strategy) -> None:
    assert strategy.select(state_of(100.0, 120.0)) == strategy.select(state_of(100.0, 120.0))


def test_refine_goes_back_to_the_best_after_a_regression() -> None:
    state = state_of(100.0, 60.0, 90.0)
    assert Improve(state.attempts[1]) == Refine().select(state)


def test_refine_mends_a_failure_twice_and_then_goes_back_to_the_best() -> None:
    state = state_of(100.0, WRONG, WRONG)
    assert Improve(state.attempts[2]) == Refine().select(state)
    state = state_of(100.0, WRONG, WRONG, WRONG)
    assert Improve(state.attempts[0]) == Refine().select(state)


def test_refine_mends_nothing_that_is_nobody_s_fault() -> None:
    state = state_of(100.0, Unsupported(stage=Stage.EMULATE, message="wgmma"))
    assert Improve(state.attempts[0]) == Refine().select(state)


def test_refine_goes_on_from_the_last_while_nothing_is_verified() -> None:
    state = state_of(WRONG, WRONG, WRONG, WRONG)
    assert Improve(state.attempts[3]) == Refine().select(state)
