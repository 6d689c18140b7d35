"""A whole run over both providers' wires: replies of every kind, each billed, the last accepted, the run replayed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from warpsmith import app
from warpsmith.agents.prompts.render import FOLDER
from warpsmith.cli.program import run
from warpsmith.core.events import Called, Evaluated, Event, Judged, Proposed
from warpsmith.store import Store

from ..unit.loopback import INPUT, KEY, OUTPUT, Loopback, say, serve, status

TASK = Path(__file__).parent / "tiny" / "row_sums.py"
FAST = (FOLDER / "example.cu").read_text()
SLOW = """// /// kernel
// task = "row_sums"
// [[launch]]
// kernel = "sums"
// grid = "cdiv(M, 32)"
// block = 32
// ///
__global__ void sums(const x_t* x, y_t* y, int M, int N)
{
    const int m = blockIdx.x * 32 + threadIdx.x;
    if (m >= M) return;
    float sum = 0.f;
    for (int n = 0; n < N; n++) sum += ws::to_float(x[(size_t)m * N + n]);
    y[m] = sum;
}
"""
UNCOMPILED = SLOW.replace("y[m] = sum;", "y[m] = summ;")
OUT_OF_BOUNDS = SLOW.replace("if (m >= M) return;", "")
A_TILE_SHORT = SLOW.replace("n < N; n++", "n < N - N % 32; n++")


def coded(text: str) -> str:
    return f"IDEA: another try\n```cuda\n{text}```\n"


def edited(search: str, replacement: str) -> str:
    return f"IDEA: mend it\n```edit\n<<<<<<< SEARCH\n{search}\n=======\n{replacement}\n>>>>>>> REPLACE\n```\n"


CORRECTION = json.dumps({"critical_issue": "a name", "why": "a slip", "minimal_fix": "mend it"})
ADVICE = json.dumps(
    {
        "bottleneck": "few warps walk long rows",
        "evidence": ["occupancy", "waves", "nonsense"],
        "method": "split rows",
        "plan": "1. one block a row 2. shuffle",
        "metric": "occupancy",
        "metric_after": 1.0,
        "time_ratio": 0.2,
    }
)
WRITTEN = [
    say("Let me think about rows first."),
    say(coded(UNCOMPILED)),
    say(coded(OUT_OF_BOUNDS)),
    say(coded(A_TILE_SHORT)),
    say(edited("n < N - N % 32; n++", "n < N; n++")),
    say(coded(FAST)),
]
JUDGED = [*[say(CORRECTION)] * 3, say(ADVICE)]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Loopback, Loopback]]:
    """A coder over OpenAI's Responses, a judge over Anthropic's Messages."""
    with serve(*WRITTEN) as coder, serve(*JUDGED) as judge:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{coder.url}/v1")
        monkeypatch.setenv("WARPSMITH_OPENAI_API", "responses")
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", judge.url)
        monkeypatch.setenv("WARPSMITH_STORE", str(tmp_path / "store.sqlite"))
        monkeypatch.setenv("WARPSMITH_LIBRARY", str(tmp_path / "library"))
        yield coder, judge


def optimise(*more: str) -> list[str]:
    models = ["--coder", "openai:m", "--judge", "anthropic:m"]
    return ["optimize", str(TASK), *models, "--rounds", "5", "--seed", "1", "--json", *more]


def recorded(tmp_path: Path, name: str = "") -> tuple[Event, ...]:
    with Store.open(tmp_path / "store.sqlite") as store:
        newest = store.newest_run()
        assert newest is not None
        return store.events(name or newest.run)


def of(events: tuple[Event, ...], kind: type) -> list:  # type: ignore[type-arg]
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.full
def test_a_run_of_all_kinds_of_replies_ends_with_the_good_one_and_replays(
    servers: tuple[Loopback, Loopback], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coder, judge = servers
    assert 0 == run(optimise())
    summary = json.loads(capsys.readouterr().out)
    events = recorded(tmp_path)
    kinds = [event.evaluation.outcome.kind for event in of(events, Evaluated)]
    assert ["CompileFailed", "OutOfBounds", "Wrong", "Verified", "Verified"] == kinds
    assert FAST == (Path(summary["kernel"]["path"]) / "kernel.cu").read_text()
    assert summary["reason"] == "rounds"

    calls = of(events, Called)
    assert len(coder.asked) + len(judge.asked) == len(calls) == summary["calls"] == 11
    assert summary["tokens"] == 11 * (INPUT + OUTPUT)
    assert summary["dollars"] is None
    assert "holds no code" in coder.asked[1]["input"][-1]["content"]

    scored = [event.score for event in of(events, Judged) if event.score]
    assert [("occupancy", True)] == [(it.metric, 0 <= it.on_time <= 1) for it in scored]
    assert ["occupancy", "waves"] == [metric.name for metric in of(events, Judged)[3].critique.evidence]

    assert 0 == run(["replay", summary["run"], "--json", "--library", str(tmp_path / "again")])
    shown = capsys.readouterr()
    assert "came to the same result" in shown.err
    assert 11 == len(coder.asked) + len(judge.asked)
    again = recorded(tmp_path)
    assert [event.kind for event in events] == [event.kind for event in again]
    assert [it.candidate for it in of(events, Proposed)] == [it.candidate for it in of(again, Proposed)]
    assert summary["kernel"]["digest"] == json.loads(shown.out)["kernel"]["digest"]
    assert_nowhere(KEY, tmp_path)


@pytest.mark.full
def test_a_replay_judges_by_the_task_as_it_is_now_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WARPSMITH_STORE", str(tmp_path / "store.sqlite"))
    task, answers = tmp_path / TASK.name, tmp_path / "answers"
    task.write_text(TASK.read_text())
    answers.mkdir()
    (answers / "001-coder.md").write_text(coded(FAST))
    asked = ["--coder", f"scripted:{answers}", "--judge", "builtin", "--rounds", "1"]
    assert 0 == run(["optimize", str(task), *asked, "--library", str(tmp_path / "library")])
    task.write_text(TASK.read_text() + "\n# Another file now.\n")
    capsys.readouterr()
    first = recorded(tmp_path)[0].run
    assert 0 == run(["replay", first, "--library", str(tmp_path / "again")])
    said = capsys.readouterr().err
    assert "has changed since; kernels are judged by what it is now" in said
    assert "came to the same result" in said
    assert 2 == run(["resume", first])


def assert_nowhere(secret: str, folder: Path) -> None:
    for path in folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_a_key_revoked_in_the_middle_ends_the_run_clearly_and_it_resumes(
    servers: tuple[Loopback, Loopback], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coder, judge = servers
    coder.acts[2:3] = [status(401), coder.acts[2]]
    assert 3 == run(optimise())
    error = json.loads(capsys.readouterr().out)["error"]
    assert ("ModelError", True) == (error["kind"], "OPENAI_API_KEY was refused" in error["message"])
    assert "warpsmith resume" in error["remedy"]
    assert 0 == run(["resume", "--json"])
    summary = json.loads(capsys.readouterr().out)
    assert FAST == (Path(summary["kernel"]["path"]) / "kernel.cu").read_text()
    paid = [call.label for call in of(recorded(tmp_path), Called) if call.reply]
    assert len(paid) == len(set(paid)) == 11
    assert 12 == len(coder.asked) + len(judge.asked)


def test_a_run_stops_hard_at_its_budget_and_keeps_what_is_verified(
    servers: tuple[Loopback, Loopback], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coder, judge = servers
    coder.acts[:] = [say(coded(SLOW)), say(coded(FAST))]
    judge.acts[:] = [say(ADVICE)]
    assert 0 == run(optimise("--max-tokens", str(INPUT + OUTPUT + 1)))  # passed by one call
    summary = json.loads(capsys.readouterr().out)
    assert ("budget", True, 2) == (summary["reason"], summary["accepted"], summary["calls"])
    assert SLOW == (Path(summary["kernel"]["path"]) / "kernel.cu").read_text()
    assert 0 == run(["runs", "show", "--json"])
    ledger = json.loads(capsys.readouterr().out)["ledger"]
    assert ["search", "search", "search", "verification"] == [line["phase"] for line in ledger]
    assert [1, 1] == [line["unpriced"] for line in ledger if line["what"] != "gate"]


@pytest.mark.parametrize(("name", "arch"), [("example.cu", "h200"), ("example.py.txt", "a100")])
def test_the_example_a_model_is_shown_is_verified(name: str, arch: str, tmp_path: Path) -> None:
    kernel = tmp_path / name.removesuffix(".txt")
    kernel.write_text((FOLDER / name).read_text())
    assert "Verified" == app.verify(kernel, task=str(TASK), arch=arch, seed=5).outcome.kind
