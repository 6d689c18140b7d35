"""Softmax over the rows of a matrix."""

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Workload


def reference(x):
    return torch.softmax(x, dim=-1)


def normal(dims, generator, dtypes):
    return {"x": torch.randn(dims["M"], dims["N"], generator=generator).to(dtypes["T"])}


FP16, BF16 = {"T": "float16"}, {"T": "bfloat16"}

TASK = Task(
    name="row_softmax",
    family="examples",
    summary="y = softmax(x) along rows",
    inputs=(Tensor("x", ("M", "N"), "T"),),
    outputs=(Output("y", ("M", "N"), "T"),),
    dims=("M", "N"),
    reference=reference,
    make_inputs={"normal": normal},
    verify=(
        Workload("one row", {"M": 1, "N": 64}, "normal", dtypes=FP16),
        Workload("ragged", {"M": 7, "N": 100}, "normal", dtypes=FP16),
        Workload("ragged, bf16", {"M": 7, "N": 100}, "normal", dtypes=BF16),
    ),
    bench=(Workload("long rows", {"M": 512, "N": 1024}, "normal", dtypes=FP16, source="a round number"),),
    cost=lambda dims: Cost(flops=5.0 * dims["M"] * dims["N"], bytes=4.0 * dims["M"] * dims["N"], unit="fp32"),
)
