"""Layer normalisation of rows, in bfloat16 and float16."""

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Workload


def reference(x, weight, bias):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias, eps=1e-5)


def normal(dims, generator, dtypes):
    return {
        "x": (3 + torch.randn(dims["M"], dims["N"], generator=generator)).to(dtypes["T"]),
        "weight": torch.randn(dims["N"], generator=generator).to(dtypes["T"]),
        "bias": torch.randn(dims["N"], generator=generator).to(dtypes["T"]),
    }


FP16, BF16 = {"T": "float16"}, {"T": "bfloat16"}

TASK = Task(
    name="layer_norm",
    family="examples",
    summary="y = (x - mean) / deviation * weight + bias along rows",
    inputs=(
        Tensor("x", ("M", "N"), "T"),
        Tensor("weight", ("N",), "T"),
        Tensor("bias", ("N",), "T"),
    ),
    outputs=(Output("y", ("M", "N"), "T"),),
    dims=("M", "N"),
    reference=reference,
    make_inputs={"normal": normal},
    verify=(
        Workload("ragged", {"M": 5, "N": 777}, "normal", dtypes=BF16),
        Workload("even", {"M": 4, "N": 512}, "normal", dtypes=BF16),
        Workload("ragged, fp16", {"M": 5, "N": 777}, "normal", dtypes=FP16),
    ),
    bench=(Workload("hidden 1024", {"M": 256, "N": 1024}, "normal", dtypes=BF16, source="a round number"),),
    cost=lambda dims: Cost(flops=8.0 * dims["M"] * dims["N"], bytes=4.0 * dims["M"] * dims["N"], unit="fp32"),
)
