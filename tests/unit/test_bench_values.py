"""Which values are looked at where a kernel is timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

Kernel = Callable[[NDArray[np.float32]], NDArray[np.float32]]
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


SMOOTH = Workload("smooth", {"R": 24, "N": 1024}, "smooth", source="made up")


def smooth(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    place = torch.arange(dims["N"] + 2) / dims["N"] + torch.rand(dims["R"], 1, generator=generator)
    return {"u": torch.sin(2 * torch.pi * place) + 2}


def second_difference(u: torch.Tensor) -> torch.Tensor:
    return u[:, :-2] - 2 * u[:, 1:-1] + u[:, 2:]


CURVED = Task(
    name="curved",
    family="tests",
    summary="second differences of smooth rows: some millionths of their terms, which float32 does not hold to 4e-5",
    dims=("R", "N"),
    inputs=(Tensor("u", ("R", "N + 2"), "float32"),),
    outputs=(Output("y", ("R", "N"), "float32"),),
    reference=second_difference,
    make_inputs={"smooth": smooth},
    verify=(SMOOTH,),
    bench=(SMOOTH,),
    cost=lambda dims: Cost(flops=3 * dims["R"] * dims["N"], bytes=8 * dims["R"] * dims["N"], unit="fp32"),
    path="curved.py",
)


def summed_otherwise(u: NDArray[np.float32]) -> NDArray[np.float32]:
    return (u[:, :-2] + u[:, 2:]) - 2 * u[:, 1:-1]


def in_sixteen_bits_of_mantissa(u: NDArray[np.float32]) -> NDArray[np.float32]:
    kept = (u.view(np.uint32) + 0x80 & 0xFFFFFF00).view(np.float32)
    return second_difference_of(kept)


def second_difference_of(u: NDArray[np.float32]) -> NDArray[np.float32]:
    return u[:, :-2] - 2 * u[:, 1:-1] + u[:, 2:]


def without_sixteen_columns(u: NDArray[np.float32]) -> NDArray[np.float32]:
    found = second_difference_of(u)
    found[:, 700:716] = 0
    return found


@pytest.mark.parametrize(
    ("kernel", "passes"),
    [
        (second_difference_of, True),
        (summed_otherwise, True),
        (in_sixteen_bits_of_mantissa, False),
        (without_sixteen_columns, False),
    ],
)
def test_what_cancels_is_held_to_what_float32_gives(kernel: Kernel, passes: bool) -> None:
    cache = BenchCache()
    found = kernel(cache.inputs_of(CURVED, SMOOTH)["u"].array)
    got = {"y": HostTensor(DType.FLOAT32, found.shape, np.ascontiguousarray(found))}
    wrong = check_written(CURVED, SMOOTH, got, {"y": np.ones(found.size, np.bool_)}, cache, seed=1)
    assert passes is (wrong is None), wrong


def test_what_float32_hardly_bears_lets_no_zeros_pass() -> None:
    longer, cache = replace(SMOOTH, dims={"R": 24, "N": 8192}), BenchCache()
    shape = (24, 8192)
    got = {"y": HostTensor(DType.FLOAT32, shape, np.zeros(shape, np.float32))}
    assert isinstance(check_written(CURVED, longer, got, {"y": np.ones(24 * 8192, np.bool_)}, cache, seed=1), Wrong)
