"""The table of GPUs: figures that must agree with each other, and look-up."""

from __future__ import annotations

import dataclasses

import pytest

from warpsmith.core.arch import ARCHITECTURES, Architecture, find_architecture
from warpsmith.core.errors import SettingsError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("h200", "h200"),
        ("H100", "h100"),
        ("sm_80", "a100"),
        ("sm_89", "rtx4090"),
        ("sm_90", "h200"),
        ("sm_90a", "h200"),
        ("sm_100", "b200"),
        ("sm_100a", "b200"),
    ],
)
def test_a_gpu_is_found_by_name_and_by_compile_target(name: str, expected: str) -> None:
    assert expected == find_architecture(name).name


@pytest.mark.parametrize("name", ["sm_75", "v100", "", "sm_"])
def test_an_unknown_gpu_is_an_error_that_lists_the_known_ones(name: str) -> None:
    with pytest.raises(SettingsError, match=r"a100, rtx4090, h100, h200, b200, sm_80"):
        find_architecture(name)


@pytest.mark.parametrize(
    ("name", "published_tflops"), [("a100", 312), ("rtx4090", 330.3), ("h100", 989.4), ("h200", 989.4), ("b200", 2250)]
)
def test_tensor_peaks_are_at_most_a_tenth_above_the_published_ones_and_never_below(
    name: str, published_tflops: float
) -> None:
    peak = ARCHITECTURES[name].tensor_flops("fp16") / 1e12
    # Published figures are rounded to the unit and may assume less than the highest clock.
    assert published_tflops * 0.999 <= peak <= published_tflops * 1.1


@pytest.mark.parametrize(("name", "published_tflops"), [("a100", 19.5), ("rtx4090", 82.6), ("h100", 66.9)])
def test_fp32_peaks_are_the_published_ones(name: str, published_tflops: float) -> None:
    assert published_tflops == pytest.approx(ARCHITECTURES[name].lane_flops("fma") / 1e12, rel=0.01)


@pytest.mark.parametrize("row", ARCHITECTURES.values(), ids=lambda row: row.name)
def test_every_row_is_consistent(row: Architecture) -> None:
    assert row.shared_per_block + row.shared_reserved == row.shared_per_sm
    assert row.arithmetic_latency < row.shared_latency < row.l1_latency < row.l2_latency < row.dram_latency
    assert row.l2_gbps > row.dram_gbps
    assert {"fma", "alu", "half", "fp64", "sfu", "lsu"} == set(row.lanes)
    assert row.sources


def test_a_row_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ARCHITECTURES["h200"].sms = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        ARCHITECTURES["h200"].lanes["fma"] = 1.0  # type: ignore[index]
