"""Which values are looked at where a kernel is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.outcome import Wrong
from warpsmith.core.task import Cost, Output, Task, Tensor, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.bench_values import BenchCache, check_written
from warpsmith.tasks import load_task

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


def test_rows_that_the_kernel_names_are_looked_at_in_any_case() -> None:
    of, cache = task(1e9), BenchCache()
    values = 2 * cache.inputs_of(of, AT)["x"].array
    values[3210] += 1
    got, written = {"y": HostTensor(DType.FLOAT16, values.shape, values)}, np.ones(values.size, np.bool_)

    def refused(written: NDArray[np.bool_], named: frozenset[int]) -> bool:
        return isinstance(check_written(of, AT, got, {"y": written}, cache, 2, named), Wrong)

    assert refused(written, frozenset({3210, 1 << 20}))
    assert not refused(written, frozenset({3211}))
    written[3210 * 16 : 3211 * 16] = False
    assert not refused(written, frozenset({3210}))


def test_workloads_that_share_a_name_and_differ_in_size_have_inputs_of_their_own() -> None:
    of, cache = task(1e3), BenchCache()
    shorter = replace(AT, dims={"T": 40, "N": 16})
    assert [cache.inputs_of(of, workload)["x"].shape for workload in (shorter, AT)] == [(40, 16), (4000, 16)]
    assert cache.inputs_of(of, replace(AT)) is cache.inputs_of(of, AT)


CURVED = load_task(Path(__file__).parents[1] / "cheats" / "curved.py")
"""Second differences of smooth rows: at SMOOTH some millionths of their terms, which float32 does not hold to 4e-5."""
SMOOTH = CURVED.bench[0]


def as_the_reference(u: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = CURVED.reference(u)
    return found


def summed_otherwise(u: NDArray[np.float32]) -> NDArray[np.float32]:
    return (u[:, :-2] + u[:, 2:]) - 2 * u[:, 1:-1]


def in_sixteen_bits_of_mantissa(u: NDArray[np.float32]) -> NDArray[np.float32]:
    kept = (u.view(np.uint32) + 0x80 & 0xFFFFFF00).view(np.float32)
    return as_the_reference(kept)


def without_sixteen_columns(u: NDArray[np.float32]) -> NDArray[np.float32]:
    found = as_the_reference(u)
    found[:, 700:716] = 0
    return found


@pytest.mark.parametrize(
    ("kernel", "passes"),
    [
        (as_the_reference, True),
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
