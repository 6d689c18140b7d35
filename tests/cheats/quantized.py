"""A layer of 4-bit weights, small: scales of one sign, packed words, zero points, and a fixed dimension."""

from __future__ import annotations

from dataclasses import replace

from warpsmith.tasks import Workload, load_task


def workload(name: str, M: int, N: int, K: int, G: int, distribution: str, source: str = "") -> Workload:
    return Workload(name, {"M": M, "N": N, "K": K, "G": G}, distribution, source=source)


TASK = replace(
    load_task("w4a16_gemm"),
    name="quantized",
    verify=(
        workload("one row", 1, 64, 256, 64, "normal"),
        workload("ragged", 17, 37, 128, 32, "outliers"),
        workload("zero points", 16, 40, 128, 32, "zero points"),
        workload("scales of either sign", 18, 40, 128, 32, "signed"),
        workload("NaN in some rows", 19, 40, 128, 32, "not numbers"),
    ),
    bench=(workload("a small layer", 32, 256, 512, 64, "normal", source="made up"),),
)
