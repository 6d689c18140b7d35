"""Rows of int8 with a power of two for each 32 of them, times half-precision weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Workload


def reference(x: torch.Tensor, e: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return (x * torch.exp2(e.to(w.dtype) - 127).repeat_interleave(32, 1)) @ w


def drawn(dims: Mapping[str, int], generator: torch.Generator, low: int, high: int) -> dict[str, torch.Tensor]:
    M, N, K = (dims[name] for name in ("M", "N", "K"))
    return {
        "x": torch.randint(-128, 128, (M, K), generator=generator).to(torch.int8),
        "e": torch.randint(low, high + 1, (M, K // 32), generator=generator).to(torch.uint8),
        "w": torch.randn(K, N, generator=generator).half(),
    }


def usual(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return drawn(dims, generator, 116, 124)


def wide(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return drawn(dims, generator, 110, 124)


def workload(name: str, M: int, N: int, K: int, distribution: str, source: str = "") -> Workload:
    return Workload(name, {"M": M, "N": N, "K": K}, distribution, source=source)


def cost(dims: Mapping[str, int]) -> Cost:
    M, N, K = (dims[name] for name in ("M", "N", "K"))
    return Cost(flops=2 * M * N * K, bytes=M * K + 2 * K * N + 2 * M * N, unit="fp32")


TASK = Task(
    name="exponents",
    family="tests",
    summary="y = (x * 2**(e - 127)) @ w",
    dims=("M", "N", "K"),
    constraints=("M >= 1", "N >= 1", "K >= 256", "K % 32 == 0"),
    inputs=(
        Tensor("x", ("M", "K"), "int8"),
        Tensor("e", ("M", "K // 32"), "uint8"),
        Tensor("w", ("K", "N"), "float16"),
    ),
    outputs=(Output("y", ("M", "N"), "float16"),),
    reference=reference,
    make_inputs={"usual": usual, "wide": wide},
    verify=(
        workload("few", 3, 20, 288, "wide"),
        workload("one row", 1, 64, 256, "usual"),
        workload("tall", 40, 24, 256, "usual"),
    ),
    bench=(workload("a layer", 64, 128, 512, "usual", "made up"),),
    cost=cost,
)
