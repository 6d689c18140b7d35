"""A task with a tensor that is read and overwritten: acc += x, and A x beside it."""

import torch

from warpsmith.core.task import Role
from warpsmith.tasks import Cost, Output, Task, Tensor, Tolerance, Workload


def reference(acc, x, *, A):
    return {"acc": acc + x, "scaled": A * x}


def normal(dims, generator):
    return {
        "acc": torch.randn(dims["N"], generator=generator),
        "x": torch.randn(dims["N"], generator=generator),
    }


TASK = Task(
    name="accumulate",
    family="tiny",
    summary="acc += x, and A x",
    inputs=(Tensor("acc", ("N",), "float32", Role.INPLACE), Tensor("x", ("N",), "float32")),
    outputs=(Output("scaled", ("N",), "float32"),),
    dims=("N", "A"),
    reference=reference,
    make_inputs={"normal": normal},
    verify=(Workload("ragged", {"N": 67, "A": 3}, "normal"),),
    bench=(Workload("a million", {"N": 1 << 20, "A": 3}, "normal", source="a round number"),),
    cost=lambda dims: Cost(flops=2.0 * dims["N"], bytes=16.0 * dims["N"], unit="fp32"),
    tolerance=Tolerance(floor=1e-6, floor_largest=1e-5),
)
