"""Models in the loop: side by side, within a budget, replayed in order, killed at any moment, and never paid twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from warpsmith.agents.budget import spent_on_search
from warpsmith.agents.coder import BuiltinCoder
from warpsmith.agents.estimate import estimate
from warpsmith.agents.journal import ReplayDivergedError, place_of
from warpsmith.agents.judge import BuiltinJudge
from warpsmith.agents.ledger import ledger
from warpsmith.agents.llm.model import Reply, Request
from warpsmith.agents.llm.replay import Replay
from warpsmith.agents.llm.scripted import Scripted
from warpsmith.agents.model_coder import ModelCoder
from warpsmith.agents.model_judge import Advice, ModelJudge, read_answer, strict_schema
from warpsmith.agents.prediction import agreement
from warpsmith.agents.prompts.render import Writer
from warpsmith.core.calls import Finish, Usage
from warpsmith.core.errors import ModelError
from warpsmith.core.events import Abandoned, Budget, Called, Event, Judged, Proposed, StopReason
from warpsmith.core.outcome import Stage, Wrong
from warpsmith.core.profile import Metric
from warpsmith.core.quantity import Source
from warpsmith.seeds import Seed
from warpsmith.store import Store

from .toy import ADVICE, CORRECTION, TASK, Toy, answer, by_number, kernel, loop_with, started

Opener = Callable[[Path], Store]


@pytest.fixture
def store(tmp_path: Path, open_store: Opener) -> Store:
    return open_store(tmp_path / "store.sqlite")


def of(events: tuple[Event, ...], kind: type) -> list:  # type: ignore[type-arg]
    return [event for event in events if isinstance(event, kind)]


def jitter(seed: int) -> Callable[[Request], float]:
    moments = random.Random(seed)
    return lambda request: moments.uniform(0, 0.02)


def answers_of(store: Store) -> Replay:
    calls = of(store.events("r"), Called)
    texts = {it.label: Reply(store.get_text(it.reply), it.finish, it.usage, it.dollars, it.seconds) for it in calls}
    return Replay("toy", texts)


def test_a_model_writes_and_judges_every_round_and_every_call_is_recorded(store: Store) -> None:
    toy = Toy()
    state = loop_with(store, toy).start(started())
    assert [1, 2, 3, 4, 5, 6] == [it.candidate.knobs["SPLIT"] for it in state.attempts]
    assert ["001-coder-new-1", "001-judge-advise-1", "002-coder-optimise-1", "002-judge-advise-1"] == toy.asked[:4]
    assert (12, 12 * 150) == (len(state.calls), spent_on_search(state).tokens)
    assert state.accepted is not None
    assert "kernel 6" in store.get_text(state.calls[-2].reply)
    assert "The kernel to make faster" in store.get_text(state.calls[-2].prompt)


def test_several_rounds_are_open_at_a_time_and_no_more(store: Store) -> None:
    toy = Toy(delay=lambda request: 0.02)
    state = loop_with(store, toy, width=3).start(started(width=3, rounds=9))
    assert (9, 3) == (len(state.attempts), toy.most)
    assert {1, 2, 3, 4, 5, 6, 7, 8, 9} == {it.candidate.knobs["SPLIT"] for it in state.attempts}


def test_a_replay_records_the_same_events_in_the_same_order_whatever_takes_how_long(
    tmp_path: Path, open_store: Opener
) -> None:
    first = open_store(tmp_path / "first")
    loop_with(first, Toy(delay=jitter(1)), width=4).start(started(width=4, rounds=12))
    events = first.events("r")
    again = open_store(tmp_path / "again")
    loop_with(again, answers_of(first), width=4, order=events).start(started(width=4, rounds=12))
    assert [place_of(event) for event in events] == [place_of(event) for event in again.events("r")]
    assert events[1:] == again.events("r")[1:]


def test_a_replay_that_takes_another_way_says_where(tmp_path: Path, open_store: Opener) -> None:
    first = open_store(tmp_path / "first")
    loop_with(first, Toy()).start(started(rounds=3))
    failing = Wrong(stage=Stage.COMPARE, message="no")
    again = loop_with(
        open_store(tmp_path / "again"),
        answers_of(first),
        order=first.events("r"),
        script=lambda it: failing if it.knobs["SPLIT"] == 2 else by_number(it),
    )
    with pytest.raises(ModelError, match="002-judge-correct-1"):
        again.start(started(rounds=3))
    swapped = list(first.events("r"))
    swapped[3], swapped[4] = swapped[4], swapped[3]
    with pytest.raises(ReplayDivergedError, match="the recorded run went on with"):
        loop_with(open_store(tmp_path / "third"), answers_of(first), order=tuple(swapped)).start(started(rounds=3))


@pytest.mark.parametrize("limit", [{"tokens": 1000}, {"dollars": 1.0}])
@pytest.mark.parametrize("width", [1, 4])
def test_the_budget_is_passed_by_one_call_at_the_most(store: Store, limit: dict[str, float], width: int) -> None:
    toy = Toy(delay=lambda request: 0.01)
    budget = Budget.model_validate(limit)
    state = loop_with(store, toy, width=width).start(started(width=width, rounds=40, budget=budget))
    assert 1000 <= spent_on_search(state).tokens <= 1000 + 150
    assert state.finished is not None
    assert (StopReason.BUDGET, True) == (state.finished.reason, state.accepted is not None)
    assert "are spent" in state.finished.detail


def test_evaluations_and_minutes_are_limits_too(tmp_path: Path, open_store: Opener) -> None:
    for name, budget in (("a", Budget(evaluations=3)), ("b", Budget(minutes=0.1))):
        state = loop_with(open_store(tmp_path / name), Toy()).start(started(rounds=40, budget=budget))
        assert state.finished is not None
        assert (StopReason.BUDGET, 3) == (state.finished.reason, len(state.attempts))


def test_replies_without_a_kernel_are_answered_billed_bounded_and_end_the_run(store: Store) -> None:
    toy = Toy(rule=lambda request: "I would tile it.")
    state = loop_with(store, toy).start(started())
    assert state.finished is not None
    assert (StopReason.NOTHING_VERIFIED, 9, 9) == (state.finished.reason, len(toy.asked), len(state.calls))
    assert ["001-coder-new-1", "001-coder-new-2", "001-coder-new-3"] == toy.asked[:3]
    assert all("hold" in it.reason for it in of(store.events("r"), Abandoned))


def test_a_kernel_that_was_tried_is_sent_back(store: Store) -> None:
    def stubborn(request: Request) -> str:
        if request.label == "002-coder-optimise-1":
            return f"```cuda\n{kernel(1)}```"
        return answer(request)

    toy = Toy(rule=stubborn)
    state = loop_with(store, toy).start(started(rounds=2))
    assert "002-coder-optimise-2" in toy.asked
    assert [1, 2] == [it.candidate.knobs["SPLIT"] for it in state.attempts]
    assert "is the kernel of round 1" in store.get_text(state.calls[3].prompt)


def test_a_judge_that_cannot_be_read_is_replaced_by_the_rules_under_their_name(store: Store) -> None:
    toy = Toy(rule=lambda request: "hm" if request.schema else answer(request))
    state = loop_with(store, toy).start(started(rounds=1))
    assert ["001-judge-advise-1", "001-judge-advise-2"] == toy.asked[1:]
    assert state.attempts[0].critique is not None
    assert "builtin" == state.attempts[0].critique.judge


def test_a_prediction_is_scored_on_the_next_profile_and_shown_to_the_judge(store: Store) -> None:
    state = loop_with(store, Toy()).start(started(rounds=3))
    scores = [event.score for event in of(store.events("r"), Judged)]
    assert scores[0] is None
    assert ("occupancy", 0.0, 0.0) == (scores[1].metric, scores[1].observed, scores[1].on_metric)
    assert (0.5, 0.5, 1.0) == (scores[1].time_predicted, scores[1].time_observed, scores[1].on_time)
    assert "time ratio 0.5, came 0.5 (score 1.00)" in store.get_text(state.calls[-1].prompt)


@pytest.mark.parametrize(
    ("predicted", "observed", "score"),
    [(1.0, 1.0, 1.0), (1.0, 0.5, 0.5), (0.5, 1.0, 0.5), (1.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)],
)
def test_two_changes_agree_by_their_difference(predicted: float, observed: float, score: float) -> None:
    assert score == agreement(predicted, observed)


METRICS = (Metric(name="time", value=1, unit="us", source=Source.MODELLED),)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no JSON object"),
        ("{'a': 1}", "cannot be read"),
        ("{", "no JSON object"),
        ('{"bottleneck": "b"}', "`evidence`"),
        (json.dumps({**ADVICE, "metric": "charm"}), "no metric `charm`"),
        (json.dumps({**ADVICE, "metric": "time", "time_ratio": 0}), "`time_ratio`"),
        ('{"a":' * 100_000 + "}", "nests too deeply"),
        (json.dumps({**ADVICE, "metric": "time", "metric_after": float("nan")}), "`metric_after`"),
    ],
)
def test_a_judgement_that_does_not_fit_is_answered_precisely(text: str, wrong: str) -> None:
    found = read_answer(Reply(text, Finish.COMPLETE, Usage(), 0.0, 0.0), Advice, METRICS)
    assert isinstance(found, str)
    assert wrong in found


def test_a_judgement_may_stand_in_prose() -> None:
    text = f"Here:\n```json\n{json.dumps({**ADVICE, 'metric': 'time', 'more': 1})}\n```"
    assert isinstance(read_answer(Reply(text, Finish.COMPLETE, Usage(), 0.0, 0.0), Advice, METRICS), Advice)


def test_the_judges_schema_is_closed_and_names_the_metrics_shown() -> None:
    schema = strict_schema(Advice, ("time",))
    assert (False, set(schema["properties"])) == (schema["additionalProperties"], set(schema["required"]))
    assert ["time"] == schema["properties"]["metric"]["enum"] == schema["properties"]["evidence"]["items"]["enum"]


def test_the_ledger_counts_search_and_verification_apart(store: Store) -> None:
    state = loop_with(store, Toy()).start(started(rounds=2))
    lines = ledger(state).lines
    assert ["search", "search", "search", "verification"] == [line.phase for line in lines]
    assert ["coder toy", "judge toy", "gate", "gate"] == [line.what for line in lines]
    assert (4 * 0.15, 0, 4 * 150) == (
        pytest.approx(ledger(state).dollars),
        ledger(state).unpriced,
        ledger(state).tokens,
    )


CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.unit import toy
from warpsmith.store import Store
paid = open({paid!r}, "a")
def say(request):
    time.sleep(0.003)
    paid.write(request.label + "\\n"); paid.flush()
    return toy.answer(request)
store = Store.open({path!r})
loop = toy.loop_with(store, toy.Toy(rule=say), width={width})
print("ready", flush=True)
loop.resume("r") if store.events("r") else loop.start(toy.started(rounds=30, width={width}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("width", [1, pytest.param(3, marks=pytest.mark.full)])
def test_a_run_killed_at_random_moments_pays_no_recorded_reply_twice(tmp_path: Path, width: int) -> None:
    path, paid, moments = tmp_path / "store.sqlite", tmp_path / "paid", random.Random(3)
    code = CHILD.format(root=str(Path(__file__).parents[2]), path=str(path), paid=str(paid), width=width)
    seen: set[str] = set()
    for _ in range(3):
        before = paid.read_text().splitlines() if paid.exists() else []
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(moments.uniform(0.02, 0.2))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert seen.isdisjoint(paid.read_text().splitlines()[len(before) :])
        with Store.open(path) as store:
            store.integrity_check()
            seen = {call.label for call in of(store.events("r"), Called)}
    toy = Toy()
    with Store.open(path) as store:
        loop = loop_with(store, toy, width=width)
        state = loop.resume("r") if store.events("r") else loop.start(started(rounds=30, width=width))
        labels = [call.label for call in of(store.events("r"), Called)]
        rounds = [event.round for event in of(store.events("r"), Proposed)]
    assert seen.isdisjoint(toy.asked)
    assert len(labels) == len(set(labels))
    assert (30, list(range(1, 31))) == (len(state.attempts), sorted(rounds))


def test_a_script_answers_by_round_and_role_and_names_what_it_lacks(tmp_path: Path, store: Store) -> None:
    (tmp_path / "001-coder.md").write_text(f"```cuda\n{kernel(1)}```")
    (tmp_path / "001-judge.md").write_text(json.dumps(ADVICE))
    with pytest.raises(ModelError, match="no answer to 002-coder-optimise-1") as caught:
        loop_with(store, Scripted(tmp_path)).start(started(rounds=2))
    assert "002-coder.md" in caught.value.remedy
    newest = store.newest_run()
    assert newest is not None
    assert newest.resumable
    (tmp_path / "002-coder.md").write_text(f"```cuda\n{kernel(2)}```")
    (tmp_path / "002-judge.md").write_text(json.dumps(CORRECTION | ADVICE))
    assert 2 == len(loop_with(store, Scripted(tmp_path)).resume("r").attempts)


def test_an_estimate_counts_what_is_asked_and_knows_what_it_does_not_know() -> None:
    class Unpriced(Toy):
        """Its price is unknown."""

        def price(self, usage: Usage) -> float | None:
            return None

    with_price, without = (
        estimate(
            ModelCoder(model, Writer("s"), TASK, "cuda", first=Seed("naive", kernel(1))),
            ModelJudge(Toy(), Writer("s")),
            10,
        )
        for model in (Toy(), Unpriced())
    )
    assert with_price is not None
    assert without is not None
    assert (19, 9 * 10_001 + 10 * 5_001) == (with_price.calls, with_price.tokens)
    assert (pytest.approx(with_price.tokens / 1000), None) == (with_price.dollars, without.dollars)
    assert "nobody knows" in str(without)
    assert None is estimate(BuiltinCoder(()), BuiltinJudge(), 10)
