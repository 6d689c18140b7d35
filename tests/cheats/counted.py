"""How often each of 256 codes stands in a row: sums of all blocks meet in every output."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Workload


def reference(x: torch.Tensor) -> torch.Tensor:
    return torch.bincount(x, minlength=256).int()


def uniform(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {"x": torch.randint(0, 256, (dims["N"],), generator=generator, dtype=torch.int32)}


def skewed(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {"x": (255 * torch.rand(dims["N"], generator=generator) ** 4).int()}


TASK = Task(
    name="counted",
    family="tests",
    summary="how often each of 256 codes stands in a row",
    dims=("N",),
    constraints=("N >= 1",),
    inputs=(Tensor("x", ("N",), "int32"),),
    outputs=(Output("y", ("256",), "int32"),),
    reference=reference,
    make_inputs={"uniform": uniform, "skewed": skewed},
    verify=(
        Workload("odd", {"N": 77}, "uniform"),
        Workload("some blocks", {"N": 3000}, "skewed"),
        Workload("one", {"N": 1}, "uniform"),
        Workload("whole tiles", {"N": 2048}, "uniform"),
    ),
    bench=(Workload("a long row", {"N": 1 << 22}, "skewed", source="made up"),),
    cost=lambda dims: Cost(flops=dims["N"], bytes=4 * dims["N"] + 1024, unit="fp32"),
)
