"""A grid-wide loop turns twice only at sizes far beyond the verify workloads; an honest one is verified still."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith import app

TINY = Path(__file__).parent / "tiny"


def outcome_of(text: str, folder: Path, task: Path = TINY / "scaled_sum.py") -> str:
    kernel = folder / "kernel.cu"
    kernel.write_text(text)
    return app.verify(kernel, task=str(task), arch="h200", seed=5).outcome.kind


@pytest.mark.full
def test_an_honest_grid_wide_loop_is_verified(tmp_path: Path) -> None:
    assert "Verified" == outcome_of((TINY / "grid_stride.cu").read_text(), tmp_path)


@pytest.mark.full
def test_a_grid_wide_loop_that_skips_from_its_second_turn_on_is_not(tmp_path: Path) -> None:
    text = (TINY / "grid_stride.cu").read_text()
    step = "i += gridDim.x * blockDim.x"
    assert 1 == text.count(step)
    assert outcome_of(text.replace(step, f"{step} + 1"), tmp_path) in ("Wrong", "Unwritten")


def test_turns_that_a_persistent_block_takes_on_a_small_device_alone_count_as_checked(tmp_path: Path) -> None:
    assert "Verified" == outcome_of((TINY / "wide_rows.cu").read_text(), tmp_path, TINY / "wide_rows.py")


def test_a_fault_in_them_is_found(tmp_path: Path) -> None:
    text = (TINY / "wide_rows.cu").read_text()
    right = "other += ws::to_float(row[(size_t)SMS * N + n]);"
    assert 1 == text.count(right)
    assert "Wrong" == outcome_of(text.replace(right, f"if (n < N - 1024) {right}"), tmp_path, TINY / "wide_rows.py")
