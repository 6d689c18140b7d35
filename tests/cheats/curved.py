"""Second differences of smooth rows: what is left when terms cancel, which float32 holds to few digits."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Workload


def reference(u: torch.Tensor) -> torch.Tensor:
    return u[:, :-2] - 2 * u[:, 1:-1] + u[:, 2:]


def smooth(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    place = torch.arange(dims["N"] + 2) / (dims["N"] + 2) + torch.rand(dims["R"], 1, generator=generator)
    return {"u": torch.sin(2 * torch.pi * place) + 2}


def workload(name: str, R: int, N: int, source: str = "") -> Workload:
    return Workload(name, {"R": R, "N": N}, "smooth", source=source)


TASK = Task(
    name="curved",
    family="tests",
    summary="second differences of each row of a smooth field",
    dims=("R", "N"),
    constraints=("R >= 1", "N >= 1"),
    inputs=(Tensor("u", ("R", "N + 2"), "float32"),),
    outputs=(Output("y", ("R", "N"), "float32"),),
    reference=reference,
    make_inputs={"smooth": smooth},
    verify=(workload("short", 3, 50), workload("odd", 5, 133), workload("tall", 40, 64)),
    bench=(workload("a field", 64, 1024, "made up"),),
    cost=lambda dims: Cost(flops=3 * dims["R"] * dims["N"], bytes=8 * dims["R"] * dims["N"], unit="fp32"),
)
