"""Where the largest element of each row stands, the first of equals."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Workload


def reference(x: torch.Tensor) -> torch.Tensor:
    return x.argmax(dim=1).to(torch.int32)


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(dims["R"], dims["C"], generator=generator)}


def cost(dims: Mapping[str, int]) -> Cost:
    return Cost(flops=dims["R"] * dims["C"], bytes=4 * dims["R"] * dims["C"] + 4 * dims["R"], unit="fp32")


TASK = Task(
    name="largest",
    family="tests",
    summary="index of the largest element of each row",
    dims=("R", "C"),
    constraints=("R >= 1", "C >= 1"),
    inputs=(Tensor("x", ("R", "C"), "float32"),),
    outputs=(Output("index", ("R",), "int32"),),
    reference=reference,
    make_inputs={"normal": normal},
    verify=(
        Workload("few rows", {"R": 3, "C": 33}, "normal"),
        Workload("ragged", {"R": 67, "C": 100}, "normal"),
        Workload("long rows", {"R": 2, "C": 1003}, "normal"),
        Workload("many rows", {"R": 257, "C": 16}, "normal"),
    ),
    bench=(Workload("scores", {"R": 512, "C": 256}, "normal", source="made up"),),
    cost=cost,
)
