"""The recorded run of a language model, told in docs/a-run.md."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from warpsmith import runs

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "examples" / "runs" / "spconv_forward.jsonl"


def outcomes() -> list[str]:
    """Kinds of Outcome in the order of the rounds."""
    events = [json.loads(line) for line in RECORDING.read_text().splitlines()]
    return [event["evaluation"]["outcome"]["kind"] for event in events if event.get("kind") == "Evaluated"]


def test_the_page_tells_as_many_failures_as_the_recording_holds() -> None:
    page = (ROOT / "docs" / "a-run.md").read_text()
    rounds = [line for line in page.splitlines() if line[:3] in {f"| {number}" for number in range(1, 8)}]
    told = Counter("CompileFailed" if "CompileFailed" in line else "Verified" for line in rounds)
    assert {"Verified": 6, "CompileFailed": 1} == dict(told)
    assert told == Counter(outcomes())


@pytest.mark.full
def test_the_recording_replays_offline_to_the_same_result(tmp_path: Path) -> None:
    _, differences = runs.replay(
        str(RECORDING), store=tmp_path / "store.sqlite", library=tmp_path / "library", observe=lambda event: None
    )
    assert () == differences
