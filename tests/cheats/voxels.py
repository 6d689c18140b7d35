"""Kernel maps of a few small clouds: batches and coordinates of 15 bits, filled boxes, equal low bits."""

from __future__ import annotations

from dataclasses import replace

from warpsmith.tasks import Workload, load_task


def workload(name: str, NV: int, KS: int, STRIDE: int, distribution: str, source: str = "") -> Workload:
    return Workload(name, {"NV": NV, "KS": KS, "STRIDE": STRIDE}, distribution, source=source)


TASK = replace(
    load_task("spconv_kernel_map"),
    name="voxels",
    verify=(
        workload("rings", 150, 3, 1, "lidar"),
        workload("both ends", 120, 3, 1, "ends"),
        workload("far", 90, 3, 1, "far"),
        workload("no site", 0, 3, 1, "uniform"),
        workload("a bit apart", 200, 3, 1, "bits apart"),
        workload("every neighbour", 125, 3, 1, "solid"),
        workload("equal low bits", 120, 3, 1, "lattice"),
    ),
    bench=(workload("a small cloud", 600, 3, 1, "lidar", source="made up"),),
)
