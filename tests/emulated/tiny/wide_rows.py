"""Rows so long that no run under the checkers has more of them than the target multiprocessors."""

from dataclasses import replace
from pathlib import Path

from warpsmith.tasks import Workload, load_task

TASK = replace(
    load_task(Path(__file__).with_name("row_sums.py")),
    name="wide_rows",
    fixed=("N",),
    verify=(
        Workload("one row", {"M": 1, "N": 65536}, "normal"),
        Workload("ragged", {"M": 7, "N": 65536}, "normal"),
    ),
    bench=(Workload("a matrix", {"M": 512, "N": 65536}, "normal", source="a round number"),),
)
