"""Log-sum-exp of rows of logits: few rows beside many columns, as a language model's vocabulary has them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Tolerance, Workload


def reference(x: torch.Tensor) -> torch.Tensor:
    return torch.logsumexp(x, -1)


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {"x": (2 * torch.randn(dims["N"], dims["V"], generator=generator)).bfloat16()}


def workload(name: str, N: int, V: int, source: str = "") -> Workload:
    return Workload(name, {"N": N, "V": V}, "normal", source=source)


TASK = Task(
    name="vocabulary",
    family="tests",
    summary="y = log(sum(exp(x))) along each row",
    dims=("N", "V"),
    constraints=("N >= 1", "V >= 1"),
    inputs=(Tensor("x", ("N", "V"), "bfloat16"),),
    outputs=(Output("y", ("N",), "float32"),),
    reference=reference,
    make_inputs={"normal": normal},
    verify=(workload("one short row", 1, 37), workload("few", 5, 1000), workload("many", 130, 64)),
    bench=(workload("a vocabulary", 64, 50257, "GPT-2"),),
    cost=lambda dims: Cost(flops=4 * dims["N"] * dims["V"], bytes=2 * dims["N"] * dims["V"], unit="fp32"),
    tolerance=Tolerance(k=3.0, floor=2e-5, floor_largest=1e-4),
)
