"""One gate for all attacks; compilations are kept for the session."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith.app import gate
from warpsmith.sandbox.gate.stages import Gate
from warpsmith.tasks import load_task


@pytest.fixture(scope="session")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    """The whole gate of the small linear layer, on an H200."""
    return gate(load_task(Path(__file__).parent / "linear.py"), arch="h200", cache=tmp_path_factory.mktemp("compiled"))
