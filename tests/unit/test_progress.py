"""What a terminal shows of a run: rounds, outcomes, the best so far, the budget and the stage."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from warpsmith.cli.progress import Progress
from warpsmith.core.events import Budget, Chosen, Evaluated, Proposed
from warpsmith.core.outcome import Rejected
from warpsmith.core.protocols import Evaluation

from .toy import started


def watched(*, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=160, highlight=False)
    with Progress(console) as progress:
        progress.observe(started(budget=Budget(dollars=2.5, evaluations=7)))
        progress.observe(Chosen(round=1))
        progress.observe(
            Proposed(round=1, candidate="c", language="cuda", text_digest="t", idea="seed [naive]", by="toy")
        )
        outcome = Rejected(stage="screen", message="no", line=3)
        progress.observe(Evaluated(evaluation=Evaluation(candidate="c", outcome=outcome, stages=())))
    return out.getvalue()


@pytest.mark.parametrize(
    "said",
    [
        "seed [naive]",
        "Rejected",
        "nothing verified",
        "dollars: 0 of 2.5",
        "evaluations: 1 of 7",
        "now: the Judge reads",
    ],
)
def test_a_terminal_shows(said: str) -> None:
    assert said in watched(terminal=True)


def test_a_pipe_gets_plain_lines() -> None:
    lines = watched(terminal=False).splitlines()
    assert "round 1: seed [naive]" in lines
    assert "  Rejected: line 3: no" in lines
    assert not any("\x1b" in line for line in lines)
