"""The loop keeps the best, survives failures, and resumes from any recorded instant without repeating itself."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from warpsmith.agents.coder import BuiltinCoder
from warpsmith.agents.judge import BuiltinJudge
from warpsmith.agents.loop import Loop, evaluation_seed
from warpsmith.agents.protocols import Acceptance
from warpsmith.agents.refine import Refine
from warpsmith.agents.scripted import Answer, ScriptedEvaluator
from warpsmith.agents.state import Attempt, RunState, fold
from warpsmith.core.candidate import Candidate
from warpsmith.core.errors import KernelFileError, SettingsError, ToolchainError
from warpsmith.core.events import Evaluated, Event, Proposed, RunSettings, RunStarted, StopReason
from warpsmith.core.outcome import Rejected, Stage, Wrong
from warpsmith.seeds import Seed
from warpsmith.store import Store

Opener = Callable[[Path], Store]


def kernel(tags: str, knobs: str = "") -> str:
    return f"""// /// kernel
// task = "toy"
// tags = [{tags}]
// [tune]
{"".join(f"// {line}" + chr(10) for line in knobs.splitlines())}// [[launch]]
// kernel = "k"
// grid = 1
// block = 32
// ///
__global__ void k(float* y) {{}}
"""


NAIVE = Seed("naive.cu", kernel('"naive"'))
TUNED = Seed("tuned.cu", kernel('"tuned"', "BM = [16, 8, 32, 64]\nSPLIT = [1, 2, 4]"))
SETTINGS = RunSettings(coder="builtin", judge="builtin", strategy="refine", rounds=8, patience=8, library="out")
STARTED = RunStarted(run="r", task="toy", task_digest="d", target="h200", device="emulator", settings=SETTINGS)


def with_settings(**changes: object) -> RunStarted:
    return STARTED.model_copy(update={"settings": SETTINGS.model_copy(update=changes)})


def valley(candidate: Candidate) -> Answer:
    """Naive takes 1000 us; the tuned kernel is fastest at BM = 32, SPLIT = 4."""
    if not candidate.knobs:
        return 1000.0
    return 100.0 + 5 * abs(candidate.knobs["BM"] - 32) + 40 * (4 - candidate.knobs["SPLIT"])


class Shelf:
    """A library that takes every kernel offered and remembers each offer."""

    def __init__(self) -> None:
        self.offered: list[str] = []

    def __call__(self, attempt: Attempt) -> Acceptance:
        self.offered.append(attempt.identity)
        return Acceptance(kernel=attempt.identity, path=f"out/{attempt.identity[:12]}")


def loop_over(store: Store, evaluator: ScriptedEvaluator, shelf: Shelf, *seeds: Seed) -> Loop:
    coder = BuiltinCoder(seeds or (TUNED, NAIVE))
    return Loop(store, coder, BuiltinJudge(), Refine(), evaluator, shelf)


@pytest.fixture
def store(tmp_path: Path, open_store: Opener) -> Store:
    return open_store(tmp_path / "store.sqlite")


def us(attempt: Attempt | None) -> float:
    assert attempt is not None
    assert attempt.profile is not None
    return attempt.profile.workloads[0].duration.us


def kinds(events: tuple[Event, ...]) -> list[str]:
    return [event.kind for event in events]


def test_a_run_begins_with_the_naive_kernel_and_accepts_what_beats_it(store: Store) -> None:
    shelf = Shelf()
    state = loop_over(store, ScriptedEvaluator(valley), shelf).start(STARTED)
    assert us(state.baseline) == 1000.0
    assert (us(state.best), state.best and state.best.candidate.knobs) == (100.0, {"BM": 32, "SPLIT": 4})
    assert state.accepted is not None
    assert [state.accepted.candidate] == shelf.offered


def test_each_round_is_proposed_evaluated_and_judged_and_the_end_is_confirmed(store: Store) -> None:
    loop_over(store, ScriptedEvaluator(valley), Shelf()).start(with_settings(rounds=2))
    rounds = ["Chosen", "Proposed", "Evaluated", "Judged"] * 2
    assert ["RunStarted", *rounds, "Confirmed", "Accepted", "RunFinished"] == kinds(store.events("r"))


def test_no_candidate_is_proposed_twice(store: Store) -> None:
    state = loop_over(store, ScriptedEvaluator(valley), Shelf()).start(with_settings(rounds=50, patience=50))
    assert state.finished is not None
    assert state.finished.reason == StopReason.EXHAUSTED
    assert 13 == len(state.attempts) == len(state.tried)


def test_a_regression_is_reverted_to_the_best(store: Store) -> None:
    state = loop_over(store, ScriptedEvaluator(valley), Shelf()).start(STARTED)
    best_so_far: Attempt | None = None
    for attempt in state.attempts:
        if attempt.proposed.parent:
            assert best_so_far is not None
            assert best_so_far.identity == attempt.proposed.parent
        if best_so_far is None or us(attempt) < us(best_so_far):
            best_so_far = attempt


def test_failures_are_recorded_and_passed_over(store: Store) -> None:
    def half_broken(candidate: Candidate) -> Answer:
        if candidate.knobs.get("BM") == 16:
            return Wrong(stage=Stage.COMPARE, message="element 3 is off", line=11)
        return valley(candidate)

    state = loop_over(store, ScriptedEvaluator(half_broken), Shelf()).start(STARTED)
    assert us(state.best) == 100.0
    failed = [attempt for attempt in state.attempts if attempt.profile is None]
    assert failed
    assert all(attempt.critique and "element 3 is off" in attempt.critique.action for attempt in failed)


def test_a_run_in_which_nothing_verifies_says_so_and_accepts_nothing(store: Store) -> None:
    shelf = Shelf()
    broken = ScriptedEvaluator(lambda _: Wrong(stage=Stage.COMPARE, message="no"))
    state = loop_over(store, broken, shelf).start(with_settings(rounds=3))
    assert state.finished is not None
    assert (state.finished.reason, state.finished.best, shelf.offered) == (StopReason.NOTHING_VERIFIED, "", [])


def test_a_run_without_gain_ends_on_its_plateau(store: Store) -> None:
    state = loop_over(store, ScriptedEvaluator(lambda _: 500.0), Shelf()).start(with_settings(rounds=12, patience=3))
    assert state.finished is not None
    assert (state.finished.reason, len(state.attempts)) == (StopReason.PLATEAU, 4)


def test_a_run_at_the_speed_of_light_ends_at_once(store: Store) -> None:
    state = loop_over(store, ScriptedEvaluator(lambda _: 1.05), Shelf()).start(STARTED)
    assert state.finished is not None
    assert (state.finished.reason, len(state.attempts)) == (StopReason.BOUND, 1)


def test_a_gain_within_the_resolution_is_kept_but_not_accepted(store: Store) -> None:
    shelf = Shelf()
    state = loop_over(store, ScriptedEvaluator(lambda it: 95.0 if it.knobs else 100.0), shelf).start(STARTED)
    assert state.finished is not None
    assert (us(state.best), shelf.offered, state.accepted) == (95.0, [], None)
    assert "not better than the first kernel" in state.finished.detail


def test_a_kernel_that_fails_on_fresh_inputs_is_not_accepted_and_the_next_one_is(store: Store) -> None:
    class Lucky(ScriptedEvaluator):
        """The fastest candidate passes once, and never again."""

        def evaluate(self, candidate: Candidate, *, seed: int):  # type: ignore[no-untyped-def]
            again = candidate.identity in [identity for identity, _ in self.asked]
            evaluation = super().evaluate(candidate, seed=seed)
            if again and candidate.knobs == {"BM": 32, "SPLIT": 4}:
                return evaluation.model_copy(
                    update={"outcome": Wrong(stage=Stage.COMPARE, message="lucky"), "profile": None}
                )
            return evaluation

    shelf = Shelf()
    state = loop_over(store, Lucky(valley), shelf).start(STARTED)
    assert state.accepted is not None
    accepted = state.find(state.accepted.candidate)
    assert us(accepted) > 100.0
    assert len(shelf.offered) == 1


def test_a_text_that_is_no_kernel_file_is_a_rejection_of_it(store: Store) -> None:
    def refuse(candidate: Candidate) -> Answer:
        if candidate.knobs:
            raise KernelFileError("unknown tensor `z`.", line=7)
        return 1000.0

    state = loop_over(store, ScriptedEvaluator(refuse), Shelf()).start(with_settings(rounds=2))
    assert state.attempts[1].evaluation is not None
    outcome = state.attempts[1].evaluation.outcome
    assert isinstance(outcome, Rejected)
    assert (outcome.line, outcome.stage) == (7, Stage.PLAN)


def test_our_own_failure_blames_no_candidate_and_the_run_resumes(store: Store) -> None:
    def no_compiler(candidate: Candidate) -> Answer:
        raise ToolchainError("no compiler")

    with pytest.raises(ToolchainError):
        loop_over(store, ScriptedEvaluator(no_compiler), Shelf()).start(STARTED)
    assert kinds(store.events("r")) == ["RunStarted", "Chosen", "Proposed"]
    assert us(loop_over(store, ScriptedEvaluator(valley), Shelf()).resume("r").best) == 100.0


def test_ctrl_c_leaves_a_run_that_resumes_to_the_same_end(store: Store, tmp_path: Path, open_store: Opener) -> None:
    class Impatient(ScriptedEvaluator):
        def evaluate(self, candidate: Candidate, *, seed: int):  # type: ignore[no-untyped-def]
            if len(self.asked) == 3:
                raise KeyboardInterrupt
            return super().evaluate(candidate, seed=seed)

    state = loop_over(store, Impatient(valley), Shelf()).start(STARTED)
    newest = store.newest_run()
    assert newest is not None
    assert (state.finished, newest.reason, newest.resumable) == (None, StopReason.INTERRUPTED, True)
    undisturbed = loop_over(open_store(tmp_path / "other"), ScriptedEvaluator(valley), Shelf()).start(STARTED)
    resumed = loop_over(store, ScriptedEvaluator(valley), Shelf()).resume("r")
    assert replace(undisturbed, count=0) == replace(resumed, count=0)


def test_a_run_that_does_not_exist_cannot_be_resumed(store: Store) -> None:
    with pytest.raises(SettingsError, match="no run ghost"):
        loop_over(store, ScriptedEvaluator(valley), Shelf()).resume("ghost")


def test_a_finished_run_resumes_to_its_own_end_without_work(store: Store) -> None:
    done = loop_over(store, ScriptedEvaluator(valley), Shelf()).start(STARTED)
    idle = ScriptedEvaluator(valley)
    assert done == loop_over(store, idle, Shelf()).resume("r")
    assert idle.asked == []


def test_a_run_cut_after_any_event_resumes_to_the_same_end_and_evaluates_nothing_twice(
    tmp_path: Path, open_store: Opener
) -> None:
    whole = open_store(tmp_path / "whole")
    undisturbed = loop_over(whole, ScriptedEvaluator(valley), Shelf()).start(STARTED)
    events = whole.events("r")
    for length in range(1, len(events)):
        store = open_store(tmp_path / f"cut {length}")
        for text in {attempt.candidate.text for attempt in undisturbed.attempts}:
            store.put_text(text)
        for seq, event in enumerate(events[:length]):
            store.append("r", event, at=seq)
        evaluator = ScriptedEvaluator(valley)
        assert undisturbed == loop_over(store, evaluator, Shelf()).resume("r")
        assert events == store.events("r")
        recorded = {event.evaluation.candidate for event in events[:length] if isinstance(event, Evaluated)}
        firsts = [it for it, seed in evaluator.asked if seed == evaluation_seed(SETTINGS.seed, it, "evaluate")]
        assert recorded.isdisjoint(firsts)
        store.close()


def test_equal_runs_ask_for_equal_inputs_and_other_seeds_for_others(tmp_path: Path, open_store: Opener) -> None:
    asked = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        evaluator = ScriptedEvaluator(valley)
        loop_over(open_store(tmp_path / name), evaluator, Shelf()).start(with_settings(seed=seed, rounds=3))
        asked.append(evaluator.asked)
    assert asked[0] == asked[1]
    assert [it for it, _ in asked[0]] == [it for it, _ in asked[2]]
    assert {seed for _, seed in asked[0]}.isdisjoint(seed for _, seed in asked[2])


def test_the_observer_hears_every_event_after_it_was_recorded(store: Store) -> None:
    heard: list[tuple[str, int]] = []

    def observe(event: Event, state: RunState) -> None:
        heard.append((event.kind, len(store.events("r"))))

    loop = replace(loop_over(store, ScriptedEvaluator(valley), Shelf()), observe=observe)
    loop.start(with_settings(rounds=2))
    assert list(zip(kinds(store.events("r")), range(1, 13), strict=True)) == heard


def test_an_event_of_a_candidate_nobody_proposed_does_not_fold(store: Store) -> None:
    loop_over(store, ScriptedEvaluator(valley), Shelf()).start(with_settings(rounds=1))
    events = store.events("r")
    with pytest.raises(ValueError, match="never proposed"):
        fold((events[0], events[3]), store.get_text)


def test_a_proposal_whose_text_is_another_does_not_fold(store: Store) -> None:
    text = store.put_text(NAIVE.text)
    forged = Proposed(round=1, candidate="0" * 64, language="cuda", text_digest=text, idea="seed", by="builtin")
    with pytest.raises(ValueError, match="does not match"):
        fold((STARTED, forged), store.get_text)


CHILD = """
import sys, time
sys.path.insert(0, {folder!r})
import test_loop as t
def slow(candidate):
    time.sleep(0.004)
    return t.valley(candidate)
store = t.Store.open({path!r})
loop = t.loop_over(store, t.ScriptedEvaluator(slow), t.Shelf())
print("ready", flush=True)
started = t.with_settings(rounds=50, patience=50)
loop.resume("r") if store.events("r") else loop.start(started)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_run_killed_at_random_moments_loses_nothing_recorded(tmp_path: Path) -> None:
    path, moments = tmp_path / "store.sqlite", random.Random(7)
    code = CHILD.format(folder=str(Path(__file__).parent), path=str(path))
    seen: tuple[Event, ...] = ()
    for _ in range(4):
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(moments.uniform(0.0, 0.08))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        with Store.open(path) as store:
            store.integrity_check()
            events = store.events("r")
        assert seen == events[: len(seen)]
        seen = events
    with Store.open(path) as store:
        loop = loop_over(store, ScriptedEvaluator(valley), Shelf())
        run = with_settings(rounds=50, patience=50)
        state = loop.resume("r") if seen else loop.start(run)
        evaluated = [event.evaluation.candidate for event in store.events("r") if isinstance(event, Evaluated)]
    assert (len(state.attempts), len(evaluated)) == (13, 13)
    assert len(evaluated) == len(set(evaluated))
