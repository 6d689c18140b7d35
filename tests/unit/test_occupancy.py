"""Occupancy against cases worked out by hand, and launches that the target refuses."""

from __future__ import annotations

import pytest

from warpsmith.core.arch import find_architecture
from warpsmith.core.artifact import Resources
from warpsmith.core.profile import Occupancy
from warpsmith.profiler.occupancy import ResourceExceeded, check_resources, occupancy

KIB = 1024


@pytest.mark.parametrize(
    ("gpu", "registers", "shared", "threads", "blocks", "limiter"),
    [
        # 32 x 32 = 1024 registers a warp; 16384 of a partition hold 16, so 64 warps: as many as there are.
        ("h200", 32, 0, 256, 8, "threads"),
        # 64 x 32 = 2048: 8 a partition, 32 warps, 4 blocks of 8.
        ("h200", 64, 0, 256, 4, "registers"),
        # 168 x 32 = 5376: 3 a partition, 12 warps, 3 blocks of 4.
        ("h200", 168, 0, 128, 3, "registers"),
        # 33 x 32 = 1056, rounded up to 1280: 12 a partition, 48 warps, 6 blocks of 8.
        ("h200", 33, 0, 256, 6, "registers"),
        # 48 KiB and the reserved one: 228 / 49 = 4.
        ("h200", 32, 48 * KIB, 128, 4, "shared"),
        # The same block on an A100: 164 / 49 = 3.
        ("a100", 32, 48 * KIB, 128, 3, "shared"),
        # One warp a block: 32 blocks are all an SM keeps, 24 on Ada.
        ("h200", 16, 0, 32, 32, "blocks"),
        ("rtx4090", 16, 0, 32, 24, "blocks"),
        # Ada has 48 warps: one block of 32 warps, not two.
        ("rtx4090", 32, 0, 1024, 1, "threads"),
        ("h200", 32, 0, 1024, 2, "threads"),
        # A block of 33 threads takes two warps.
        ("h200", 32, 0, 33, 32, "threads"),
        # 227 KiB: the whole multiprocessor.
        ("h200", 128, 227 * KIB, 128, 1, "shared"),
    ],
)
def test_blocks_per_multiprocessor(
    gpu: str, registers: int, shared: int, threads: int, blocks: int, limiter: str
) -> None:
    found = occupancy(Resources(registers=registers, static_shared=0), shared, threads, find_architecture(gpu))
    assert isinstance(found, Occupancy)
    assert (blocks, limiter) == (found.blocks_per_sm, found.limiter)
    assert blocks * -(-threads // 32) == found.warps_per_sm


def test_static_and_dynamic_shared_memory_count_together() -> None:
    arch = find_architecture("h200")
    found = occupancy(Resources(registers=32, static_shared=24 * KIB), 24 * KIB, 128, arch)
    assert isinstance(found, Occupancy)
    assert found.blocks_per_sm == 4


def test_a_grid_too_small_to_fill_the_chip_is_the_limiter() -> None:
    arch = find_architecture("h200")
    resources = Resources(registers=32, static_shared=0)
    small = occupancy(resources, 0, 256, arch, grid_blocks=133)
    large = occupancy(resources, 0, 256, arch, grid_blocks=100_000)
    assert isinstance(small, Occupancy)
    assert isinstance(large, Occupancy)
    assert (small.blocks_per_sm, small.limiter) == (2, "grid")
    assert (large.blocks_per_sm, large.limiter) == (8, "threads")


@pytest.mark.parametrize(
    ("registers", "static", "dynamic", "threads", "resource", "limit"),
    [
        (32, 0, 0, 1025, "threads", 1024),
        (65, 0, 0, 1024, "registers", 65536),
        (256, 0, 0, 32, "registers", 255),
        (32, 0, 227 * KIB + 1, 128, "shared", 227 * KIB),
        (32, 48 * KIB, 180 * KIB, 128, "shared", 227 * KIB),
        (32, 49 * KIB, 0, 128, "shared", 48 * KIB),
    ],
)
def test_a_launch_beyond_a_limit_is_refused_by_name(
    registers: int, static: int, dynamic: int, threads: int, resource: str, limit: int
) -> None:
    resources = Resources(registers=registers, static_shared=static)
    found = occupancy(resources, dynamic, threads, find_architecture("h200"))
    assert isinstance(found, ResourceExceeded)
    assert (resource, limit) == (found.resource, found.limit)
    assert found.needed > found.limit


@pytest.mark.parametrize(
    ("registers", "static", "dynamic", "threads"),
    [(64, 0, 0, 1024), (255, 0, 0, 256), (32, 0, 227 * KIB, 128), (32, 48 * KIB, 179 * KIB, 128)],
)
def test_a_launch_at_a_limit_is_accepted(registers: int, static: int, dynamic: int, threads: int) -> None:
    resources = Resources(registers=registers, static_shared=static)
    assert check_resources(resources, dynamic, threads, find_architecture("h200")) is None


def test_a_thread_has_half_a_mebibyte_of_local_memory() -> None:
    arch = find_architecture("h200")
    fits, not_quite = (Resources(registers=32, static_shared=0, stack=bytes_) for bytes_ in (512 * KIB, 512 * KIB + 16))
    assert check_resources(fits, 0, 128, arch) is None
    exceeded = check_resources(not_quite, 0, 128, arch)
    assert exceeded is not None
    assert ("local", 512 * KIB) == (exceeded.resource, exceeded.limit)
    assert "[[buffer]]" in exceeded.reason


def test_launch_bounds_are_a_limit_of_their_own() -> None:
    arch = find_architecture("h200")
    bounded = Resources(registers=32, static_shared=0, max_threads=128)
    assert check_resources(bounded, 0, 128, arch) is None
    exceeded = check_resources(bounded, 0, 256, arch)
    assert exceeded is not None
    assert "__launch_bounds__ allows 128" in exceeded.reason
