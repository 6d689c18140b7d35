"""A grid-wide loop turns twice only at sizes far beyond the verify workloads; an honest one is verified still."""

from __future__ import annotations

from pathlib import Path

from warpsmith import app

TINY = Path(__file__).parent / "tiny"


def outcome_of(text: str, folder: Path) -> str:
    kernel = folder / "kernel.cu"
    kernel.write_text(text)
    return app.verify(kernel, task=str(TINY / "scaled_sum.py"), arch="h200", seed=5).outcome.kind


def test_an_honest_grid_wide_loop_is_verified(tmp_path: Path) -> None:
    assert "Verified" == outcome_of((TINY / "grid_stride.cu").read_text(), tmp_path)


def test_a_grid_wide_loop_that_skips_from_its_second_turn_on_is_not(tmp_path: Path) -> None:
    text = (TINY / "grid_stride.cu").read_text()
    step = "i += gridDim.x * blockDim.x"
    assert 1 == text.count(step)
    assert outcome_of(text.replace(step, f"{step} + 1"), tmp_path) in ("Wrong", "Unwritten")
