"""Half-precision matrix product, odd sizes among its workloads."""

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Workload


def reference(a, b):
    return a @ b


def normal(dims, generator, dtypes):
    return {
        "a": torch.randn(dims["M"], dims["K"], generator=generator).to(dtypes["T"]),
        "b": torch.randn(dims["K"], dims["N"], generator=generator).to(dtypes["T"]),
    }


def cost(dims):
    m, n, k = dims["M"], dims["N"], dims["K"]
    return Cost(flops=2.0 * m * n * k, bytes=2.0 * (m * k + k * n + m * n), unit="fp16")


FP16, BF16 = {"T": "float16"}, {"T": "bfloat16"}

TASK = Task(
    name="matmul",
    family="examples",
    summary="c = a b",
    inputs=(Tensor("a", ("M", "K"), "T"), Tensor("b", ("K", "N"), "T")),
    outputs=(Output("c", ("M", "N"), "T"),),
    dims=("M", "N", "K"),
    reference=reference,
    make_inputs={"normal": normal},
    verify=(
        Workload("one tile", {"M": 64, "N": 64, "K": 64}, "normal", dtypes=FP16),
        Workload("odd sizes", {"M": 37, "N": 51, "K": 43}, "normal", dtypes=FP16),
        Workload("odd sizes, bf16", {"M": 37, "N": 51, "K": 43}, "normal", dtypes=BF16),
    ),
    bench=(Workload("square", {"M": 512, "N": 512, "K": 512}, "normal", dtypes=FP16, source="a round number"),),
    cost=cost,
)
