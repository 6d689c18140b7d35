"""`warpsmith emulate --seed`: a drawn schedule finds what the text's order hides, and counts stay what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .emulating import Captured, emulate

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


ARGUMENTS = ["--arg", "inout:i32[4]=zero", "--arg", "out:i32[128]", "--grid", "1", "--block", "128"]


def scheduled(captured: Captured, file: Path, seed: int) -> dict[str, Any]:
    return emulate(captured, file, *ARGUMENTS, "--seed", str(seed))[1]


def test_a_drawn_schedule_faults_where_the_texts_order_does_not(tmp_path: Path, capsys: Captured) -> None:
    bad, good = tmp_path / "bad.cu", tmp_path / "good.cu"
    bad.write_text(TRUSTING.replace("BETWEEN", ""))
    good.write_text(TRUSTING.replace("BETWEEN", "__syncwarp();"))
    assert "Completed" == scheduled(capsys, bad, 0)["outcome"]
    assert "Crashed" in {scheduled(capsys, bad, seed)["outcome"] for seed in SEEDS}
    counts = {}
    for seed in (0, *SEEDS):
        found = scheduled(capsys, good, seed)
        assert "Completed" == found["outcome"], seed
        counts[seed] = found["launches"][0]["counters"]
    # An odd seed moves the tensors' addresses too, and sectors with them.
    assert counts[0] == counts[2] == counts[4] == counts[6]
