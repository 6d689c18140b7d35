"""One gate for all attacks; compilations are kept for the session."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith.app import gate
from warpsmith.sandbox.gate.stages import Gate
from warpsmith.tasks import load_task

TASKS = (
    "linear", "biased", "compact", "inplace", "quantized", "voxels", "layers", "largest", "curved", "codes",
    "vocabulary", "exponents",
)  # fmt: skip


@pytest.fixture(scope="session")
def gates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Gate]:
    """By task, the whole gate of a small task on an H200."""
    folder, cache = Path(__file__).parent, tmp_path_factory.mktemp("compiled")
    return {name: gate(load_task(folder / f"{name}.py"), arch="h200", cache=cache) for name in TASKS}
