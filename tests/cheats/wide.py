"""The small linear layer, timed at a size of which a kernel without atomics is only looked at in part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from warpsmith.tasks import Workload, load_task

TASK = replace(
    load_task(Path(__file__).with_name("linear.py")),
    name="wide",
    summary="y = x @ w + b in half precision, timed at a large size",
    bench=(
        Workload("a small layer", {"M": 16, "N": 512, "K": 512}, "normal", source="made up"),
        Workload("a wide layer", {"M": 128, "N": 2048, "K": 2048}, "normal", source="made up"),
    ),
)
