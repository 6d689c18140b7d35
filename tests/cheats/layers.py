"""Sparse convolutions over maps of few sites: full and empty rows, NaN among features."""

from __future__ import annotations

from dataclasses import replace

from warpsmith.tasks import Workload, load_task


def workload(name: str, NV: int, NOUT: int, distribution: str, source: str = "") -> Workload:
    return Workload(name, {"NV": NV, "NOUT": NOUT, "KS": 3, "CIN": 32, "COUT": 64}, distribution, source=source)


TASK = replace(
    load_task("spconv_forward"),
    name="layers",
    verify=(
        workload("a surface", 130, 130, "indoor"),
        workload("any map", 40, 50, "any map"),
        workload("full and empty rows", 30, 40, "full"),
        workload("NaN among features", 50, 40, "not numbers"),
    ),
    bench=(workload("a small surface", 400, 400, "indoor", source="made up"),),
)
