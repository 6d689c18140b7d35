"""The jail's levels in tests: one that does not work here is skipped with its reason, or required and failed."""

from __future__ import annotations

import os

import pytest

from warpsmith.sandbox.jail.levels import Level, survey

REQUIRED = "WARPSMITH_REQUIRE"


def here(level: Level) -> Level:
    """The level, where it works."""
    probe = survey()[level]
    if not probe.works:
        skip_or_fail(level.value, f"no jail at level {level}: {probe.why}")
    return level


def skip_or_fail(what: str, why: str) -> None:
    """Skip a test that needs `what` (`bubblewrap`, `browser`), unless WARPSMITH_REQUIRE lists it: then fail."""
    if what in os.environ.get(REQUIRED, "").split(","):
        pytest.fail(f"{why}; {REQUIRED} says that it must be there")
    pytest.skip(why)
