"""Whole programs of several techniques each, beside twins with one step left out or misplaced."""

from pathlib import Path

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind

KERNELS = Path(__file__).parents[1] / "kernels"


def source(name: str, old: str = "", new: str = "") -> str:
    text = (KERNELS / f"{name}.cu").read_text()
    assert old in text
    return text.replace(old, new) if old else text


@pytest.mark.full
def test_a_scan_whose_warps_look_back(bench):
    x = (np.arange(40 * 256, dtype=np.int32) * 13) % 7
    arrays = np.zeros_like(x), x, np.zeros(40, np.uint64), np.zeros(1, np.int32)
    bench.good(source("look_back_warp"), 40, 256, *arrays, resident=5, expected=np.cumsum(x, dtype=np.int32))
    early = source(
        "look_back_warp", "    if (lane == 31) sums[warp] = mine;\n    __syncthreads();", "    sums[warp] = mine;"
    )
    assert FaultKind.RACE == bench.bad(early, 40, 256, *arrays, resident=5).kind
    # Without a ticket a tile may wait for one that has not begun, and cannot while this one is resident.
    unordered = source("look_back_warp", "ticket = atomicAdd(tickets, 1)", "ticket = gridDim.x - 1 - blockIdx.x")
    assert FaultKind.DEADLOCK == bench.bad(unordered, 40, 256, *arrays, resident=5).kind


@pytest.mark.parametrize(
    "left_out", ["__syncwarp();  // read", "__syncwarp();  // written", "__syncthreads();  // scan"]
)
def test_a_radix_sort_by_match_groups(bench, left_out):
    keys = np.random.default_rng(3).integers(0, 2**32, 2048, dtype=np.uint32)
    bench.good(source("radix_sort"), 1, 256, keys, expected=np.sort(keys))
    assert FaultKind.RACE == bench.bad(source("radix_sort", left_out), 1, 256, keys).kind


@pytest.mark.parametrize(
    ("step", "instead"),
    [
        ("if (r > 1) wait(3 + r % 2);", "if (r > 1) arrive(3 + r % 2);"),
        ("wait(1 + r % 2);", "arrive(1 + r % 2);"),
        ("wait(1 + r % 2);", "wait(1 + (r + 1) % 2);"),
    ],
)
def test_producers_and_consumers_at_named_barriers(bench, step, instead):
    x = np.arange(9 * 64, dtype=np.float32)
    arrays = np.zeros(64, np.float32), x, 9
    bench.good(source("named_barriers"), 1, 128, *arrays, expected=x.reshape(9, 64)[:, ::-1].sum(0))
    found = bench.faults(source("named_barriers", step, instead), 1, 128, *arrays)
    kinds = (FaultKind.RACE, FaultKind.BARRIER, FaultKind.DEADLOCK, FaultKind.UNINITIALISED)
    assert all(fault is not None and fault.kind in kinds for fault in found), found


@pytest.mark.parametrize(
    ("step", "instead"),
    [
        ("wait_for_all_but<STAGES - 2>();", "wait_for_all_but<STAGES - 1>();"),
        ("        __syncthreads();\n", ""),
        ("fetch(tile + STAGES - 1);", "fetch(tile + STAGES);"),
    ],
)
def test_a_gemm_with_three_stages_in_flight(bench, step, instead):
    rng = np.random.default_rng(4)
    a, b = rng.integers(-8, 9, (2, 64, 160)).astype(np.float16)
    arrays = np.zeros((64, 64), np.float32), a, b, 64, 160
    bench.good(source("gemm_stages"), 1, 128, *arrays, expected=a.astype(np.float32) @ b.astype(np.float32).T)
    found = bench.faults(source("gemm_stages", step, instead), 1, 128, *arrays)
    assert all(fault is not None and fault.kind in (FaultKind.RACE, FaultKind.UNINITIALISED) for fault in found), found
