"""Rows as codes of eight bits and a scale: integers that rounding decides, judged by the task's own check."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from warpsmith.tasks import Check, Cost, Output, Task, Tensor, Workload


def scaled(x: torch.Tensor) -> torch.Tensor:
    return x.abs().amax(1, keepdim=True) / 127


def reference(x: torch.Tensor) -> dict[str, torch.Tensor]:
    scale = scaled(x)
    return {"q": torch.where(scale > 0, (x / scale.where(scale > 0, 1)).round(), 0).to(torch.int8), "scale": scale}


def nearest(
    got: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Tensor],
    inputs: Mapping[str, torch.Tensor],
    dims: Mapping[str, int],
) -> dict[str, torch.Tensor]:
    x = inputs["x"].double()
    return {"q": (got["q"] * scaled(x) - x).abs() > 0.502 * scaled(x)}


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(dims["R"], dims["C"], generator=generator).bfloat16()}


def workload(name: str, R: int, C: int, source: str = "") -> Workload:
    return Workload(name, {"R": R, "C": C}, "normal", source=source)


TASK = Task(
    name="codes",
    family="tests",
    summary="q = round(x / scale), where scale is the largest magnitude of the row over 127",
    dims=("R", "C"),
    constraints=("R >= 1", "C >= 1"),
    inputs=(Tensor("x", ("R", "C"), "bfloat16"),),
    outputs=(Output("q", ("R", "C"), "int8"), Output("scale", ("R", "1"), "float32")),
    reference=reference,
    make_inputs={"normal": normal},
    verify=(workload("few", 3, 50), workload("one row", 1, 300), workload("tall", 64, 33)),
    bench=(workload("activations", 512, 256, "made up"),),
    cost=lambda dims: Cost(flops=3 * dims["R"] * dims["C"], bytes=3 * dims["R"] * dims["C"], unit="fp32"),
    checks=(Check(("q",), "q holds the nearest codes", nearest),),
)
