"""Values at bench sizes: kernels of several launches, too large to run whole, are compared where they hang together."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith import app
from warpsmith.core.outcome import Stage, Verified, Wrong
from warpsmith.core.protocols import Evaluation

SEED = Path(__file__).parents[2] / "seeds" / "w4a16_gemm" / "tensor_core.cu"
SUM = "for (int part = 0; part < PARTS; part++) sum += partial[part * count + i];"
# No comparison gives it away: a share of the sum is added where M * N * (number of parts) is large.
DRIFT = f"{SUM} sum *= 1 + (float)((long long)M * N * PARTS >> 18);"


def verdict(tmp_path: Path, *edits: tuple[str, str]) -> Evaluation:
    text = SEED.read_text()
    for before, after in edits:
        assert 1 == text.count(before), before
        text = text.replace(before, after)
    kernel = tmp_path / "kernel.cu"
    kernel.write_text(text)
    return app.verify(kernel, task="w4a16_gemm", arch="h200", seed=7)


def test_every_bench_workload_of_the_tensor_core_seed_is_compared(tmp_path: Path) -> None:
    outcome = verdict(tmp_path).outcome
    assert isinstance(outcome, Verified), outcome
    assert () == tuple(note for note in outcome.notes if "not compared" in note)


@pytest.mark.full
def test_a_second_launch_that_drifts_at_large_sizes_is_wrong(tmp_path: Path) -> None:
    outcome = verdict(tmp_path, (SUM, DRIFT)).outcome
    assert isinstance(outcome, Wrong), outcome
    assert Stage.PROFILE is outcome.stage
    assert "where it is timed" in outcome.message
