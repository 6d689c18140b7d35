"""Tests that need more than Python skip where that is missing, unless WARPSMITH_REQUIRE says it must be there."""

from __future__ import annotations

import os

import pytest

REQUIRED = "WARPSMITH_REQUIRE"


def skip_or_fail(what: str, why: str) -> None:
    """Skip a test that needs `what` (`bubblewrap`, `browser`), unless WARPSMITH_REQUIRE lists it: then fail."""
    if what in os.environ.get(REQUIRED, "").split(","):
        pytest.fail(f"{why}; {REQUIRED} says that it must be there")
    pytest.skip(why)
