"""`warpsmith emulate --seed`: a drawn schedule finds what the text's order hides, and counts stay what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from warpsmith.cli.program import run

# A warp's upper half believes that its lower half has counted, which holds where the text's order does.
TRUSTING = """__global__ void hand_over(int* flags, int* out) {
    int w = threadIdx.x / 32, seen = 16;
    if (threadIdx.x % 32 < 16) {
#pragma unroll 1
        for (int i = 0; i <= w; i++) atomicAdd(&flags[w], 1);
    }
    BETWEEN
    if (threadIdx.x % 32 >= 16) {
#pragma unroll 1
        for (int i = 0; i <= w; i++) seen = atomicAdd(&flags[w], 0);
    }
    if (seen < 16) __trap();
    out[threadIdx.x] = seen;
}
"""
SEEDS = range(1, 7)


def emulate(captured: pytest.CaptureFixture[str], file: Path, seed: int) -> dict[str, Any]:
    arguments = ["--arg", "inout:i32[4]=zero", "--arg", "out:i32[128]", "--grid", "1", "--block", "128"]
    run(["emulate", str(file), *arguments, "--seed", str(seed), "--json"])
    found: dict[str, Any] = json.loads(captured.readouterr().out)
    return found


def test_a_drawn_schedule_faults_where_the_texts_order_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = tmp_path / "bad.cu", tmp_path / "good.cu"
    bad.write_text(TRUSTING.replace("BETWEEN", ""))
    good.write_text(TRUSTING.replace("BETWEEN", "__syncwarp();"))
    assert "Completed" == emulate(capsys, bad, 0)["outcome"]
    assert "Crashed" in {emulate(capsys, bad, seed)["outcome"] for seed in SEEDS}
    counts = {}
    for seed in (0, *SEEDS):
        found = emulate(capsys, good, seed)
        assert "Completed" == found["outcome"], seed
        counts[seed] = found["launches"][0]["counters"]
    # An odd seed moves the tensors' addresses too, and sectors with them.
    assert counts[0] == counts[2] == counts[4] == counts[6]
