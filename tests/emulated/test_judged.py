"""Tasks that judge outputs by a check of their own, declare properties, and can be evaluated row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith import app
from warpsmith.core.protocols import Evaluation

HERE = Path(__file__).parent / "judged"
HONEST = (HERE / "last.cu").read_text()


def verdict(tmp_path: Path, *edits: tuple[str, str]) -> Evaluation:
    text = HONEST
    for before, after in edits:
        assert 1 == text.count(before)
        text = text.replace(before, after)
    kernel = tmp_path / "kernel.cu"
    kernel.write_text(text)
    return app.verify(kernel, task=str(HERE / "row_argmax.py"), arch="a100", seed=5)


def test_another_choice_among_ties_is_right(tmp_path: Path) -> None:
    evaluation = verdict(tmp_path)
    assert "Verified" == evaluation.outcome.kind, evaluation.outcome


def test_a_choice_that_is_no_largest_element_is_wrong(tmp_path: Path) -> None:
    outcome = verdict(tmp_path, ("index[r] = at;", "index[r] = at ? at - 1 : 0;")).outcome
    assert "Wrong" == outcome.kind
    assert "index names a largest element of its row" in getattr(outcome, "message", "")


def test_an_index_outside_the_row_is_wrong(tmp_path: Path) -> None:
    assert "Wrong" == verdict(tmp_path, ("index[r] = at;", "index[r] = at + C;")).outcome.kind


@pytest.mark.parametrize("output", ["value", "index"])
def test_rows_that_are_wrong_only_at_the_timed_size_are_found_by_a_sample(tmp_path: Path, output: str) -> None:
    stored = {"value": "ws::from_float<value_t>(best)", "index": "= at;"}[output]
    broken = {
        "value": "ws::from_float<value_t>(R * C > 4000000 ? 0.f : best)",
        "index": "= R * C > 4000000 ? C - 1 : at;",
    }[output]
    outcome = verdict(tmp_path, (stored, broken)).outcome
    assert "Wrong" == outcome.kind
    assert output in getattr(outcome, "message", "")
    assert "where it is timed" in getattr(outcome, "message", "")
