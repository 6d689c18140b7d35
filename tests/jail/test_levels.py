"""Which level is chosen, what it says of itself, and what is refused below one that is required."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from warpsmith.core.errors import SettingsError
from warpsmith.doctor import State, examine
from warpsmith.sandbox.jail import levels
from warpsmith.sandbox.jail.levels import Level, Probe
from warpsmith.settings import read_settings


def machine(*working: Level) -> Mapping[Level, Probe]:
    return {level: Probe(level, level in working, f"{level} was looked for") for level in Level}


@pytest.mark.parametrize(
    ("working", "best"),
    [
        (tuple(Level), Level.BUBBLEWRAP),
        ((Level.LANDLOCK, Level.RLIMITS), Level.LANDLOCK),
        ((Level.RLIMITS,), Level.RLIMITS),
    ],
)
def test_the_best_that_works_is_taken(working: tuple[Level, ...], best: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "survey", lambda: machine(*working))
    assert best is levels.choose()
    assert best is levels.choose(Level.RLIMITS)


def test_less_than_is_required_is_refused_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "survey", lambda: machine(Level.RLIMITS))
    with pytest.raises(SettingsError, match=r"the best jail here is rlimits\. landlock was looked for"):
        levels.choose(Level.LANDLOCK)


def test_bubblewrap_that_may_not_make_name_spaces_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "program", lambda: "/bin/false")
    probe = levels._bubblewrap(True)
    assert not probe.works
    assert "may not make name spaces here" in probe.why


def test_where_bubblewrap_is_missing_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "program", lambda: None)
    assert "apt install bubblewrap" in levels._bubblewrap(True).why


def test_the_doctor_explains_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "survey", lambda: machine(Level.RLIMITS))
    finding = next(item for item in examine(read_settings()) if item.name == "jail")
    assert State.WARNING is finding.state
    assert finding.detail.startswith("rlimits")
    assert "bubblewrap was looked for" in finding.remedy
