"""The jail's levels in tests: one that does not work here is skipped with its reason, or required and failed."""

from __future__ import annotations

from tests.required import skip_or_fail
from warpsmith.sandbox.jail.levels import Level, survey


def here(level: Level) -> Level:
    """The level, where it works."""
    probe = survey()[level]
    if not probe.works:
        skip_or_fail(level.value, f"no jail at level {level}: {probe.why}")
    return level
