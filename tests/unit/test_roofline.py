"""The bound, by hand."""

from __future__ import annotations

import math

import pytest

from warpsmith.core.arch import ARCHITECTURES, Architecture, find_architecture
from warpsmith.core.errors import TaskError
from warpsmith.core.task import Cost
from warpsmith.profiler.roofline import speed_of_light

H200 = find_architecture("h200")


def test_a_copy_is_bound_by_its_bytes() -> None:
    bound = speed_of_light(Cost(flops=0, bytes=4.8e9), H200)
    assert (pytest.approx(1000.0), "dram") == (bound.us, bound.limit)


def test_a_large_matrix_product_is_bound_by_the_tensor_cores() -> None:
    bound = speed_of_light(Cost(flops=2 * 8192.0**3, bytes=3 * 2 * 8192.0**2), H200)
    # 4096 FLOPs a clock x 132 x 1.98 GHz = 1.0705e15.
    assert (pytest.approx(2 * 8192.0**3 / 1.0705e9, rel=1e-3), "tensor fp16") == (bound.us, bound.limit)


def test_an_fp32_product_may_be_split_into_three_half_precision_ones() -> None:
    bound = speed_of_light(Cost(flops=1e12, bytes=0, unit="fp32"), H200)
    assert bound.us == pytest.approx(1e12 / (1.0705e15 / 3) * 1e6, rel=1e-3)
    assert "3 x tensor fp16" in bound.limit


def test_an_fp64_product_may_be_split_into_fourteen_int8_ones() -> None:
    bound = speed_of_light(Cost(flops=1e12, bytes=0, unit="fp64"), find_architecture("a100"))
    # 624 TOP/s / 14 = 44.6, above the 19.5 TFLOP/s of its fp64 tensor cores.
    assert bound.us == pytest.approx(1e12 / 44.6e12 * 1e6, rel=1e-2)
    assert "14 x tensor int8" in bound.limit


def test_a_task_with_no_work_still_has_a_positive_bound() -> None:
    bound = speed_of_light(Cost(flops=0, bytes=0), H200)
    assert bound.limit == "clock"
    assert 0 < bound.us < 0.001


@pytest.mark.parametrize("arch", ARCHITECTURES.values(), ids=lambda arch: arch.name)
@pytest.mark.parametrize("unit", ["fp16", "bf16", "tf32", "fp8", "int8", "fp32", "fp64"])
def test_every_unit_has_a_peak_on_every_gpu(arch: Architecture, unit: str) -> None:
    bound = speed_of_light(Cost(flops=1e15, bytes=0, unit=unit), arch)
    assert math.isfinite(bound.us)
    assert unit in bound.limit


@pytest.mark.parametrize("cost", [Cost(1.0, 1.0, "fp12"), Cost(-1.0, 1.0), Cost(1.0, math.nan), Cost(math.inf, 1.0)])
def test_a_cost_that_makes_no_sense_is_the_task_files_error(cost: Cost) -> None:
    with pytest.raises(TaskError):
        speed_of_light(cost, H200)
