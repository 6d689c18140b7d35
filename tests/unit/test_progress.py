"""What a terminal shows of a run: rounds, outcomes, the best so far, the budget and the stage."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from warpsmith.cli.progress import Progress
from warpsmith.core.calls import Finish, Usage
from warpsmith.core.events import Budget, Called, Chosen, Evaluated, Proposed
from warpsmith.core.outcome import Rejected, Stage
from warpsmith.core.protocols import Evaluation, StageReport
from warpsmith.core.spending import Spending, said

from .toy import started


def watched(*, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=160, highlight=False)
    now = [0.0]
    with Progress(console, clock=lambda: now[0]) as progress:
        progress.observe(started(budget=Budget(dollars=2.5, evaluations=7, minutes=10)))
        for number, idea in ((1, "seed [naive]"), (2, "wider")):
            progress.observe(Chosen(round=number))
            if number == 2:
                progress.observe(asked(round_=2, seconds=60, dollars=0.5))
            identity = f"c{number}"
            progress.observe(
                Proposed(round=number, candidate=identity, language="cuda", text_digest="t", idea=idea, by="toy")
            )
            outcome = Rejected(stage="screen", message="no", line=3)
            stages = (StageReport(stage=Stage.SCREEN, passed=False, seconds=30),)
            progress.observe(Evaluated(evaluation=Evaluation(candidate=identity, outcome=outcome, stages=stages)))
        now[0] = 90.0
    return out.getvalue()


@pytest.mark.parametrize(
    "said_",
    [
        "seed [naive]",
        "Rejected",
        "nothing verified",
        "rounds: 2 of 6, 4 left",
        "dollars: 0.5 of 2.5, 2 left",
        "evaluations: 1 of 7, 6 left",
        "tokens: 30",
        "minutes: 3.0 of 10, 7.0 left",
        "now: the Judge reads",
    ],
)
def test_a_terminal_shows(said_: str) -> None:
    assert said_ in watched(terminal=True)


def asked(round_: int, seconds: float, dollars: float | None) -> Called:
    usage = Usage(input_tokens=20, output_tokens=10)
    return Called(
        label=f"{round_:03}-coder-write-1",
        round=round_,
        role="coder",
        model="toy",
        prompt="p",
        finish=Finish.COMPLETE,
        usage=usage,
        dollars=dollars,
        seconds=seconds,
    )


def test_what_the_run_began_with_counts_towards_no_limit_and_an_unknown_price_makes_the_sum_unknown() -> None:
    spending = Spending()
    spending.proposed(Proposed(round=1, candidate="a", language="cuda", text_digest="t", idea="seed", by="toy"))
    spending.evaluated("a", 30.0)
    spending.called(asked(round_=2, seconds=6, dollars=None))
    spending.proposed(Proposed(round=2, candidate="b", language="cuda", text_digest="t", idea="new", by="toy"))
    spending.evaluated("b", 12.0)
    assert (1, 18.0, None) == (spending.evaluations, spending.seconds, spending.dollars)
    uses = {use.name: use for use in spending.uses(started(budget=Budget(dollars=1.0, minutes=0.25)).settings)}
    assert "dollars: unknown of 1" == said(uses["dollars"])
    assert "minutes: 0.3 of 0.25, 0.0 left" == said(uses["minutes"])


def test_a_candidate_that_a_model_wrote_first_counts() -> None:
    spending = Spending()
    spending.called(asked(round_=1, seconds=1, dollars=0.1))
    spending.proposed(Proposed(round=1, candidate="a", language="cuda", text_digest="t", idea="new", by="toy"))
    spending.evaluated("a", 2.0)
    assert (1, 3.0) == (spending.evaluations, spending.seconds)


def test_a_pipe_gets_plain_lines() -> None:
    lines = watched(terminal=False).splitlines()
    assert "round 1: seed [naive]" in lines
    assert "  Rejected: line 3: no" in lines
    assert not any("\x1b" in line for line in lines)
