"""The smallest task worth optimising: y = a * x + b over a vector."""

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Tolerance, Workload


def reference(x, b, *, A):
    return A * x + b


def normal(dims, generator):
    return {
        "x": torch.randn(dims["N"], generator=generator),
        "b": torch.randn(dims["N"], generator=generator),
    }


TASK = Task(
    name="scaled_sum",
    family="tiny",
    summary="y = A x + b",
    inputs=(Tensor("x", ("N",), "float32"), Tensor("b", ("N",), "float32")),
    outputs=(Output("y", ("N",), "float32"),),
    dims=("N", "A"),
    reference=reference,
    make_inputs={"normal": normal},
    verify=(
        Workload("one element", {"N": 1, "A": 3}, "normal"),
        Workload("ragged", {"N": 1003, "A": 3}, "normal"),
    ),
    bench=(Workload("sixteen million", {"N": 1 << 24, "A": 3}, "normal", source="a round number"),),
    cost=lambda dims: Cost(flops=2.0 * dims["N"], bytes=12.0 * dims["N"], unit="fp32"),
    tolerance=Tolerance(floor=1e-6, floor_largest=1e-5),
)
