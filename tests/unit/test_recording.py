"""A run as a file: whole, free of this machine's folders, and refused where it was tampered with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from warpsmith.agents.journal import place_of
from warpsmith.agents.state import fold
from warpsmith.core.errors import SettingsError
from warpsmith.store import Store
from warpsmith.store.recording import read_recording, write_recording

from .toy import Toy, loop_with, started

Opener = Callable[[Path], Store]


@pytest.fixture
def recording(tmp_path: Path, open_store: Opener) -> Path:
    store = open_store(tmp_path / "first")
    folder = str(tmp_path / "desk")
    loop_with(store, Toy()).start(started(rounds=2, library=str(tmp_path / "lib"), coder=f"handoff:{folder}@ann"))
    assert 16 == write_recording(store, "r", tmp_path / "run.jsonl")
    return tmp_path / "run.jsonl"


def test_a_recorded_run_is_the_same_in_another_store(recording: Path, tmp_path: Path, open_store: Opener) -> None:
    first, other = open_store(tmp_path / "first"), open_store(tmp_path / "other")
    assert "r" == read_recording(recording, other) == read_recording(recording, other)
    mine, theirs = first.events("r"), other.events("r")
    assert [place_of(event) for event in mine] == [place_of(event) for event in theirs]
    assert fold(mine, first.get_text).attempts == fold(theirs, other.get_text).attempts
    assert [other.get_text(call.reply) for call in fold(theirs, other.get_text).calls]


def test_a_recording_names_no_folder_of_this_machine(recording: Path, tmp_path: Path) -> None:
    assert str(tmp_path) not in recording.read_text()
    assert '"coder":"handoff:ann"' in recording.read_text()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("warpsmith run 1", "warpsmith run 9"),
        lambda text: text.replace('"kind":"Judged"', '"kind":"Sold"'),
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]\n",
        lambda text: text.replace("SPLIT = [2]", "SPLIT = [3]"),
    ],
)
def test_a_damaged_recording_is_refused(
    recording: Path, tmp_path: Path, open_store: Opener, damage: Callable[[str], str]
) -> None:
    recording.write_text(damage(recording.read_text()))
    with pytest.raises(SettingsError, match=r"no recorded run|damaged"):
        read_recording(recording, open_store(tmp_path / "other"))


def test_a_run_that_is_not_there_cannot_be_written(tmp_path: Path, open_store: Opener) -> None:
    with pytest.raises(SettingsError, match="no run ghost"):
        write_recording(open_store(tmp_path / "s"), "ghost", tmp_path / "x")


def test_every_line_is_json(recording: Path) -> None:
    assert all(isinstance(json.loads(line), dict) for line in recording.read_text().splitlines())
