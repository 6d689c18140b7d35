"""A run on the command line: its progress in a pipe, its summary, and how to go on after Ctrl-C."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from warpsmith.cli.progress import Progress
from warpsmith.cli.runs import follow
from warpsmith.core.errors import Interrupted
from warpsmith.core.events import Evaluated, Event, Proposed, RunFinished, RunSettings, RunStarted, StopReason
from warpsmith.core.outcome import Stage, Verified, WorkloadCheck, Wrong
from warpsmith.core.protocols import Evaluation
from warpsmith.core.quantity import Source
from warpsmith.core.summary import KernelSummary, RunSummary, WorkloadSummary

Observe = Callable[[Event], None]
STORE = Path("/somewhere/store.sqlite")

STARTED = RunStarted(
    run="20260101-r1",
    task="w4a16_gemm",
    task_digest="d" * 64,
    target="h200",
    device="emulator",
    settings=RunSettings(coder="builtin", judge="builtin", strategy="refine", rounds=2, library="/lib"),
)
PROPOSED = Proposed(
    round=1, candidate="c" * 64, language="cuda", text_digest="t" * 64, idea="BN 64 -> 128", by="builtin"
)
FAILED = Evaluated(
    evaluation=Evaluation(
        candidate="c" * 64,
        outcome=Wrong(stage=Stage.COMPARE, message="y[3, 7] is off by 2 [bold]", line=12),
        stages=(),
    )
)
PASSED = Evaluated(
    evaluation=Evaluation(
        candidate="c" * 64,
        outcome=Verified(
            checks=(WorkloadCheck(workload="a", seed=1, error=0.1, relative_l2=0.0, largest=0.0),), schedules=2
        ),
        stages=(),
    )
)
SUMMARY = RunSummary(
    run=STARTED.run,
    task="w4a16_gemm",
    target="h200",
    accepted=True,
    kernel=KernelSummary(digest="c" * 64, path=Path("/lib/w4a16_gemm/cccccccccccc")),
    rounds=2,
    outcomes={"Verified": 1, "Wrong": 1},
    workloads=(
        WorkloadSummary(
            name="decode", time_us=4.0, source=Source.MODELLED, bound_us=2.0, fraction=0.5, speedup_over_seed=3.0
        ),
    ),
    speedup_over_seed=3.0,
)


def a_run(observe: Observe) -> RunSummary:
    for event in (STARTED, PROPOSED, FAILED, PROPOSED, PASSED, RunFinished(reason=StopReason.ROUNDS)):
        observe(event)
    return SUMMARY


def test_a_run_in_a_pipe_is_plain_lines_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == follow(a_run, store=STORE, as_json=False)
    out = capsys.readouterr().out
    assert "run 20260101-r1: w4a16_gemm on h200, emulator, builtin" in out
    assert "round 1: BN 64 -> 128\n  Wrong: line 12: y[3, 7] is off by 2 [bold]\n" in out
    assert "time us (modelled)" in out
    assert "3.00x the naive seed" in out
    assert "accepted cccccccccccc" in out
    assert "\x1b" not in out


def test_with_json_stdout_is_the_summary_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == follow(a_run, store=STORE, as_json=True)
    shown = capsys.readouterr()
    assert SUMMARY == RunSummary.model_validate_json(shown.out)
    expected = {"run", "task", "target", "accepted", "kernel", "rounds", "outcomes", "workloads", "speedup_over_seed"}
    expected |= {"reason", "calls", "tokens", "dollars"}
    assert expected == set(json.loads(shown.out))
    assert "round 1" in shown.err


def test_a_run_without_improvement_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    none = RunSummary(run="r", task="t", target="h200", accepted=False, rounds=1, outcomes={"Wrong": 1})
    assert 1 == follow(lambda observe: none, store=STORE, as_json=False)
    assert "no improvement accepted" in capsys.readouterr().out


def test_ctrl_c_says_how_to_resume() -> None:
    def interrupted(observe: Observe) -> RunSummary:
        observe(STARTED)
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        follow(interrupted, store=STORE, as_json=True)
    assert f"warpsmith resume 20260101-r1 --store {STORE}" in caught.value.remedy


def test_a_run_that_recorded_its_interruption_says_how_to_resume() -> None:
    def interrupted(observe: Observe) -> RunSummary:
        observe(STARTED)
        observe(RunFinished(reason=StopReason.INTERRUPTED))
        return SUMMARY

    with pytest.raises(Interrupted, match="warpsmith resume 20260101-r1"):
        follow(interrupted, store=STORE, as_json=False)


def test_on_a_terminal_one_table_shows_the_rounds() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, color_system=None)
    with Progress(console) as progress:
        a_run(progress.observe)
    last = screen.getvalue().rsplit("round  change", 1)[1]
    assert "BN 64 -> 128" in last
    assert "y[3, 7] is off by 2 [bold]" in last
    assert "Verified" in last
