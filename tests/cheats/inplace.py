"""A momentum step in place, and the square norms of gradients: an input that is overwritten, and sums in any order."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from warpsmith.tasks import Cost, Output, Role, Task, Tensor, Workload


def reference(state: torch.Tensor, g: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"state": state * 0.9 + g, "norm": (g * g).sum(1)}


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {name: torch.randn(dims["R"], dims["C"], generator=generator) for name in ("state", "g")}


def denormal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {name: 1e-40 * value for name, value in normal(dims, generator).items()}


def cancelling(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    drawn = normal(dims, generator)
    return {**drawn, "g": 1e-3 * drawn["g"] - 0.9 * drawn["state"]}


def workload(name: str, R: int, C: int, distribution: str, source: str = "") -> Workload:
    return Workload(name, {"R": R, "C": C}, distribution, source=source)


TASK = Task(
    name="inplace",
    family="tests",
    summary="state = 0.9 state + g, and the square norm of each row of g",
    dims=("R", "C"),
    constraints=("R >= 1", "C >= 1"),
    inputs=(Tensor("state", ("R", "C"), "float32", Role.INPLACE), Tensor("g", ("R", "C"), "float32")),
    outputs=(Output("norm", ("R",), "float32"),),
    reference=reference,
    make_inputs={"normal": normal, "denormal": denormal, "cancelling": cancelling},
    verify=(
        workload("few", 3, 50, "normal"),
        workload("denormal", 4, 200, "denormal"),
        workload("cancelling", 9, 100, "cancelling"),
        workload("tall", 64, 33, "normal"),
    ),
    bench=(workload("a small layer", 512, 256, "normal", "made up"),),
    cost=lambda dims: Cost(flops=4 * dims["R"] * dims["C"], bytes=12 * dims["R"] * dims["C"], unit="fp32"),
)
