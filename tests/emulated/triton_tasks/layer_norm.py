"""Layer normalisation of rows, in bfloat16."""

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Workload


def reference(x, weight, bias):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias, eps=1e-5)


def normal(dims, generator):
    return {
        "x": (3 + torch.randn(dims["M"], dims["N"], generator=generator)).bfloat16(),
        "weight": torch.randn(dims["N"], generator=generator).bfloat16(),
        "bias": torch.randn(dims["N"], generator=generator).bfloat16(),
    }


TASK = Task(
    name="layer_norm",
    family="triton_tasks",
    summary="y = (x - mean) / deviation * weight + bias along rows",
    inputs=(
        Tensor("x", ("M", "N"), "bfloat16"),
        Tensor("weight", ("N",), "bfloat16"),
        Tensor("bias", ("N",), "bfloat16"),
    ),
    outputs=(Output("y", ("M", "N"), "bfloat16"),),
    dims=("M", "N"),
    reference=reference,
    make_inputs={"normal": normal},
    verify=(
        Workload("ragged", {"M": 5, "N": 777}, "normal"),
        Workload("even", {"M": 4, "N": 512}, "normal"),
    ),
    bench=(Workload("hidden 1024", {"M": 256, "N": 1024}, "normal", source="a round number"),),
    cost=lambda dims: Cost(flops=8.0 * dims["M"] * dims["N"], bytes=4.0 * dims["M"] * dims["N"], unit="fp32"),
)
