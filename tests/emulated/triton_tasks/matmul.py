"""Half-precision matrix product, odd sizes among its workloads."""

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Workload


def reference(a, b):
    return a @ b


def normal(dims, generator):
    return {
        "a": torch.randn(dims["M"], dims["K"], generator=generator).half(),
        "b": torch.randn(dims["K"], dims["N"], generator=generator).half(),
    }


def cost(dims):
    m, n, k = dims["M"], dims["N"], dims["K"]
    return Cost(flops=2.0 * m * n * k, bytes=2.0 * (m * k + k * n + m * n), unit="fp16")


TASK = Task(
    name="matmul",
    family="triton_tasks",
    summary="c = a b",
    inputs=(Tensor("a", ("M", "K"), "float16"), Tensor("b", ("K", "N"), "float16")),
    outputs=(Output("c", ("M", "N"), "float16"),),
    dims=("M", "N", "K"),
    reference=reference,
    make_inputs={"normal": normal},
    verify=(
        Workload("one tile", {"M": 64, "N": 64, "K": 64}, "normal"),
        Workload("odd sizes", {"M": 37, "N": 51, "K": 43}, "normal"),
    ),
    bench=(Workload("square", {"M": 512, "N": 512, "K": 512}, "normal", source="a round number"),),
    cost=cost,
)
