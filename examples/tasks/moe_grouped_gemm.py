"""Mixture of experts without gating network: each token's rows through its experts, weighted and summed."""

import torch

from warpsmith.tasks import Cost, Output, Role, Task, Tensor, Tolerance, Workload


def reference(x, w, ids, gates):
    """y[t] = sum over k of gates[t, k] * w[ids[t, k]] x[t]."""
    y = torch.zeros(x.shape[0], w.shape[1], dtype=x.dtype)
    for expert in torch.unique(ids).tolist():  # of many experts, few tokens reach few
        token, slot = (ids == expert).nonzero(as_tuple=True)
        y.index_add_(0, token, gates[token, slot, None].to(x.dtype) * (x[token] @ w[expert].T))
    return y


def routed(dims, generator, weights):
    T, E, H, F, TOPK = (dims[name] for name in ("T", "E", "H", "F", "TOPK"))
    chosen = torch.multinomial(weights.expand(max(T, 1), E), TOPK, generator=generator)[:T]
    return {
        "x": torch.randn(T, H, generator=generator).to(torch.float16),
        "w": (torch.randn(E, F, H, generator=generator) / H**0.5).to(torch.float16),
        "ids": chosen.to(torch.int32),
        "gates": torch.rand(T, TOPK, generator=generator),
    }


def uniform(dims, generator):
    return routed(dims, generator, torch.ones(dims["E"]))


def skewed(dims, generator):
    """Expert e is asked for with weight 1 / (1 + e): the last ones may stay empty."""
    return routed(dims, generator, 1.0 / (1.0 + torch.arange(dims["E"])))


def cost(dims):
    T, E, H, F, TOPK = (dims[name] for name in ("T", "E", "H", "F", "TOPK"))
    rows = T * TOPK
    return Cost(flops=2.0 * rows * H * F, bytes=2.0 * min(rows, E) * F * H + 2.0 * T * (H + F) + 8.0 * rows)


def binding(t, e, h, f, topk):
    return {"T": t, "E": e, "H": h, "F": f, "TOPK": topk}


TASK = Task(
    name="moe_grouped_gemm",
    family="moe",
    summary="Route tokens to experts, multiply, combine.",
    inputs=(
        Tensor("x", ("T", "H"), "float16"),
        Tensor("w", ("E", "F", "H"), "float16", Role.STATIC),
        Tensor("ids", ("T", "TOPK"), "int32"),
        Tensor("gates", ("T", "TOPK"), "float32"),
    ),
    outputs=(Output("y", ("T", "F"), "float16"),),
    dims=("T", "E", "H", "F", "TOPK"),
    fixed=("TOPK",),
    constraints=("E >= 1", "TOPK >= 1", "TOPK <= E"),
    reference=reference,
    make_inputs={"uniform": uniform, "skewed": skewed},
    verify=(
        Workload("one token", binding(1, 4, 32, 64, 2), "uniform"),
        Workload("ragged tokens", binding(37, 5, 48, 64, 2), "uniform"),
        Workload("empty experts", binding(9, 16, 32, 128, 2), "skewed"),
    ),
    bench=(Workload("64 experts, T = 128", binding(128, 64, 1024, 512, 2), "skewed", source="a small layer"),),
    cost=cost,
    tolerance=Tolerance(),
)
