"""Which values are looked at where a kernel is timed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.outcome import Wrong
from warpsmith.core.task import Cost, Output, Task, Tensor, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.bench_values import BenchCache, check_written

AT = Workload("timed", {"T": 4000, "N": 16}, "normal", source="made up")


def doubled(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return 2 * x[rows]


def task(flops_a_row: float) -> Task:
    return Task(
        name="doubled",
        family="tests",
        summary="twice x",
        dims=("T", "N"),
        inputs=(Tensor("x", ("T", "N"), "float16"),),
        outputs=(Output("y", ("T", "N"), "float16"),),
        rows="T",
        reference=doubled,
        make_inputs={
            "normal": lambda dims, generator: {"x": torch.randn(dims["T"], dims["N"], generator=generator).half()}
        },
        verify=(AT,),
        bench=(AT,),
        cost=lambda dims: Cost(flops=flops_a_row * dims["T"], bytes=4 * dims["T"] * dims["N"], unit="fp16"),
        path=f"doubled-{flops_a_row}.py",
    )


@pytest.mark.parametrize(("flops_a_row", "least", "most"), [(1e9, 1, 20), (1e3, 35, 50)])
def test_more_rows_are_looked_at_where_they_are_cheap(flops_a_row: float, least: int, most: int) -> None:
    """Eight wrong rows of 4000 at fifty places: a sample of 96 seldom meets them, one of 1024 nearly always."""
    of, cache = task(flops_a_row), BenchCache()
    right = 2 * cache.inputs_of(of, AT)["x"].array
    written = {"y": np.ones(right.size, np.bool_)}

    def refused(values: NDArray[np.float16]) -> bool:
        got = {"y": HostTensor(DType.FLOAT16, right.shape, values)}
        return isinstance(check_written(of, AT, got, written, cache, seed=1), Wrong)

    rows = np.arange(len(right)).reshape(-1, 1)
    met = sum(
        refused(right + ((rows >= first) & (rows < first + 8)).astype(np.float16)) for first in range(0, 4000, 80)
    )
    assert least <= met <= most
    assert not refused(right)


def test_workloads_that_share_a_name_and_differ_in_size_have_inputs_of_their_own() -> None:
    of, cache = task(1e3), BenchCache()
    shorter = replace(AT, dims={"T": 40, "N": 16})
    assert [cache.inputs_of(of, workload)["x"].shape for workload in (shorter, AT)] == [(40, 16), (4000, 16)]
    assert cache.inputs_of(of, replace(AT)) is cache.inputs_of(of, AT)
