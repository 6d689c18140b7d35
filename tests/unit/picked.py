"""A task whose inputs are of several kinds: any numbers in a matrix and in a row, numbers of one sign, and indices."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Workload


def picked(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    return (x * scale + shift)[at.long()]


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    M, N = dims["M"], dims["N"]
    return {
        "x": torch.randn(M, N, generator=generator),
        "shift": torch.randn(N, generator=generator),
        "scale": torch.rand(N, generator=generator) + 0.5,
        "at": torch.randint(0, M, (M,), generator=generator).int(),
    }


WORKLOADS = tuple(Workload(f"bench-sized {M}", {"M": M, "N": 64}, "normal") for M in range(20, 26))
TASK = Task(
    name="picked",
    family="tests",
    summary="rows that are picked",
    dims=("M", "N"),
    inputs=(
        Tensor("x", ("M", "N"), "float32"),
        Tensor("shift", ("N",), "float32"),
        Tensor("scale", ("N",), "float32"),
        Tensor("at", ("M",), "int32"),
    ),
    outputs=(Output("y", ("M", "N"), "float32"),),
    reference=picked,
    make_inputs={"normal": normal},
    verify=WORKLOADS[:1],
    bench=WORKLOADS[-1:],
    cost=lambda dims: Cost(flops=dims["M"] * dims["N"], bytes=8 * dims["M"] * dims["N"], unit="fp32"),
)
