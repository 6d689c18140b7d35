"""Attention of every position to itself and those before it, in half precision."""

import torch

from warpsmith.tasks import Cost, Output, Task, Tensor, Workload


def reference(q, k, v):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return torch.softmax(scores.masked_fill(~seen, float("-inf")), dim=-1) @ v


def normal(dims, generator, dtypes):
    shape = (dims["B"], dims["H"], dims["S"], dims["D"])
    return {name: torch.randn(shape, generator=generator).to(dtypes["T"]) for name in "qkv"}


def cost(dims):
    """Two products over half the square of positions."""
    b, h, s, d = (dims[name] for name in "BHSD")
    return Cost(flops=2.0 * b * h * s * (s + 1) * d, bytes=8.0 * b * h * s * d, unit="fp16")


def workload(name, dtype, b, h, s, d, source=""):
    return Workload(name, {"B": b, "H": h, "S": s, "D": d}, "normal", dtypes={"T": dtype}, source=source)


SHAPE = ("B", "H", "S", "D")
TASK = Task(
    name="causal_attention",
    family="examples",
    summary="o = softmax(q kT / sqrt(D), masked to what came before) v",
    inputs=(Tensor("q", SHAPE, "T"), Tensor("k", SHAPE, "T"), Tensor("v", SHAPE, "T")),
    outputs=(Output("o", SHAPE, "T"),),
    dims=SHAPE,
    fixed=("D",),
    reference=reference,
    make_inputs={"normal": normal},
    verify=(
        workload("odd length, fp16", "float16", 1, 2, 77, 32),
        workload("odd length, bf16", "bfloat16", 1, 2, 77, 32),
        workload("one position", "float16", 1, 1, 1, 32),
        workload("whole tiles", "bfloat16", 1, 1, 128, 64),
    ),
    bench=(workload("a head of 64, S = 256", "bfloat16", 1, 4, 256, 64, source="a round number"),),
    cost=cost,
)
