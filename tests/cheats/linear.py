"""y = x @ w + b in half precision: small enough to try a hundred attacks on."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from warpsmith.tasks import Cost, Output, Role, Task, Tensor, Tolerance, Workload


def reference(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return x @ w + b


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    M, N, K = (dims[name] for name in "MNK")
    return {
        "x": torch.randn(M, K, generator=generator).half(),
        "w": (torch.randn(K, N, generator=generator) / K**0.5).half(),
        "b": torch.randn(N, generator=generator).half(),
    }


def spikes(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Weak noise, one strong activation in every 16 k, and rows of mixed amplitude; the last k is strong."""
    M, K = dims["M"], dims["K"]
    x = 0.1 * torch.randn(M, K, generator=generator)
    x[:, torch.randint(0, 16, (1,), generator=generator).item() % max(K, 1) :: 16] = 2.0
    x[:, K - 1] = 4.0
    x *= 2.0 ** torch.randint(-3, 4, (M, 1), generator=generator)
    values = normal(dims, generator)
    return {**values, "x": x.half()}


def cost(dims: Mapping[str, int]) -> Cost:
    M, N, K = (dims[name] for name in "MNK")
    return Cost(flops=2 * M * N * K, bytes=2 * (M * K + K * N + N + M * N), unit="fp16")


def workload(name: str, M: int, N: int, K: int, distribution: str = "normal", source: str = "") -> Workload:
    return Workload(name, {"M": M, "N": N, "K": K}, distribution, source=source)


TASK = Task(
    name="linear",
    family="tests",
    summary="y = x @ w + b in half precision",
    dims=("M", "N", "K"),
    constraints=("M >= 1", "N >= 1", "K >= 1"),
    inputs=(
        Tensor("x", ("M", "K"), "float16"),
        Tensor("w", ("K", "N"), "float16", Role.STATIC),
        Tensor("b", ("N",), "float16"),
    ),
    outputs=(Output("y", ("M", "N"), "float16"),),
    reference=reference,
    make_inputs={"normal": normal, "spikes": spikes},
    verify=(
        workload("one row", 1, 96, 256, "spikes"),
        workload("ragged", 7, 33, 100),
        workload("whole tiles", 16, 128, 128, "spikes"),
        workload("long K", 2, 40, 1024),
    ),
    bench=(
        workload("a small layer", 16, 1024, 1024, source="made up"),
        workload("a large layer", 64, 512, 2048, source="made up"),
    ),
    cost=cost,
    tolerance=Tolerance(k=3.0, floor=4e-4, floor_largest=3e-3),
)
