"""What exceeds a limit, doubled and packed: a data-dependent count, NaN and Inf, an optional input, a derived size."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from warpsmith.tasks import Cost, Output, Role, Task, Tensor, Workload


def reference(x: torch.Tensor, limit: torch.Tensor, scale: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    kept = x[(x > limit[0]) | torch.isnan(x)] * 2
    return {
        "vals": kept if scale is None else kept * scale[0],
        "n_out": torch.tensor([len(kept)], dtype=torch.int32),
    }


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(dims["N"], generator=generator), "limit": torch.randn(1, generator=generator)}


def special(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Exponents from -30 to 29; NaN and both infinities among them."""
    N = dims["N"]
    x = torch.randn(N, generator=generator) * 10.0 ** torch.randint(-30, 30, (N,), generator=generator).float()
    pick = torch.rand(N, generator=generator)
    x[pick < 0.05], x[pick > 0.95], x[(pick > 0.5) & (pick < 0.55)] = float("nan"), float("inf"), -float("inf")
    return {"x": x, "limit": torch.zeros(1), "scale": torch.full((1,), 0.5)}


def workload(name: str, N: int, distribution: str, source: str = "") -> Workload:
    return Workload(name, {"N": N}, distribution, source=source)


TASK = Task(
    name="compact",
    family="tests",
    summary="what exceeds a limit, doubled, in order, and how many there are",
    dims=("N",),
    derived={"BLOCKS": "cdiv(N, 256)"},
    constraints=("N >= 1",),
    inputs=(
        Tensor("x", ("N",), "float32"),
        Tensor("limit", ("1",), "float32", Role.HOST),
        Tensor("scale", ("1",), "float32", optional=True),
    ),
    outputs=(Output("vals", ("N",), "float32", valid="n_out"), Output("n_out", ("1",), "int32")),
    reference=reference,
    make_inputs={"normal": normal, "special": special},
    verify=(
        workload("odd", 77, "normal"),
        workload("with specials", 1000, "special"),
        workload("one", 1, "normal"),
        workload("whole tiles", 512, "special"),
        workload("large", 5000, "normal"),
    ),
    bench=(workload("a long row", 1 << 15, "normal", "made up"),),
    cost=lambda dims: Cost(flops=dims["N"], bytes=8 * dims["N"] + 4, unit="fp32"),
)
