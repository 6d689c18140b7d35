"""Sums of rows: small enough to be verified in a second, large enough to be slow or fast."""

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Tolerance, Workload


def reference(x):
    """y[m] = sum of x[m, :]."""
    return x.sum(dim=1)


def normal(dims, generator):
    return {"x": torch.randn(dims["M"], dims["N"], generator=generator).half()}


TASK = Task(
    name="row_sums",
    family="tiny",
    summary="y[m] = sum of x[m, :]",
    inputs=(Tensor("x", ("M", "N"), "float16"),),
    outputs=(Output("y", ("M",), "float32"),),
    dims=("M", "N"),
    constraints=("M >= 1", "N >= 1"),
    reference=reference,
    make_inputs={"normal": normal},
    verify=(
        Workload("one row", {"M": 1, "N": 33}, "normal"),
        Workload("ragged", {"M": 7, "N": 1003}, "normal"),
    ),
    bench=(Workload("a matrix", {"M": 512, "N": 4096}, "normal", source="a round number"),),
    cost=lambda dims: Cost(flops=dims["M"] * dims["N"], bytes=2.0 * dims["M"] * dims["N"] + 4 * dims["M"], unit="fp32"),
    tolerance=Tolerance(floor=1e-5, floor_largest=1e-4),
)
