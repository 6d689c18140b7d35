"""The largest element of each row and where one of them stands: ties may go either way."""

import torch

from warpsmith.tasks import Check, Cost, Output, Property, Task, Tensor, Workload


def reference(x, rows):
    best = x[rows].max(dim=1)
    return {"value": best.values, "index": best.indices.to(torch.int32)}


def coarse(dims, generator):
    """Few distinct values, so that most rows have several largest elements."""
    x = torch.randint(-9, 10, (dims["R"], dims["C"]), generator=generator)
    return {"x": (x * (0.5 + torch.rand(dims["R"], 1, generator=generator))).half()}


def names_a_largest(got, expected, inputs, dims, rows):
    index = got["index"].long()
    found = inputs["x"][rows, index.clamp(0, dims["C"] - 1)]
    right = (index >= 0) & (index < dims["C"]) & (found == expected["value"])
    return {"index": ~right}


def permuted(inputs, dims, generator):
    order = torch.randperm(dims["R"], generator=generator)
    inputs["x"] = inputs["x"][order]
    return inputs, order


def same_rows(first, second, order):
    return {"value": (first["value"][order], second["value"])}


def cost(dims):
    return Cost(flops=dims["R"] * dims["C"], bytes=2 * dims["R"] * dims["C"] + 6 * dims["R"], unit="fp32")


def exact_cost(dims, inputs):
    """Rows that begin above zero are taken to need one look less."""
    early = int((inputs["x"][:, :1] > 0).sum())
    looked = dims["R"] * dims["C"] - early
    return Cost(flops=looked, bytes=2 * looked + 6 * dims["R"], unit="fp32")


TASK = Task(
    name="row_argmax",
    family="judged",
    summary="value = max(x), index = a place of it, along each row",
    dims=("R", "C"),
    constraints=("R >= 1", "C >= 1"),
    inputs=(Tensor("x", ("R", "C"), "float16"),),
    outputs=(Output("value", ("R",), "float16"), Output("index", ("R",), "int32")),
    reference=reference,
    make_inputs={"coarse": coarse},
    rows="R",
    checks=(Check(("index",), "index names a largest element of its row", names_a_largest),),
    properties=(Property("permuting rows permutes results", permuted, same_rows),),
    exact_cost=exact_cost,
    verify=(
        Workload("few rows", {"R": 3, "C": 33}, "coarse"),
        Workload("ragged", {"R": 67, "C": 100}, "coarse"),
        Workload("long rows", {"R": 2, "C": 1003}, "coarse"),
        Workload("many rows", {"R": 257, "C": 16}, "coarse"),
    ),
    bench=(Workload("scores", {"R": 8192, "C": 512}, "coarse"),),
    cost=cost,
)
