"""L2 of a whole grid from what sampled blocks touched, for kernels whose traffic is known."""

from __future__ import annotations

import numpy as np
import pytest

from warpsmith.core.counters import L2Traffic
from warpsmith.sandbox.counting.l2 import estimate
from warpsmith.sandbox.emulator.machine import L2, L2Counts, Sharing, Touches

MIB = 2**20
RAN, BLOCKS = 16, 1600


def touched(sectors: float, by: int) -> np.ndarray:
    """Sectors that each of 16 blocks touches, all of them by so many of the blocks."""
    found = np.zeros(64, np.uint64)
    found[by - 1] = sectors * RAN
    return found


def of(*buffers: tuple[int, float, int], l2: int = 50 * MIB, wave: int = 132, kind: str = "load") -> L2Traffic:
    """L2 of a grid whose blocks load so many sectors of each buffer, shared by so many of the 16 that ran.

    `buffers` are (bytes, sectors a block, blocks that share them).
    """
    counts = L2Counts(
        L2(l2, wave=wave),
        *(0,) * 8,
        misses={},
        sites={i: Touches(i, touched(sectors, by)) for i, (_, sectors, by) in enumerate(buffers)},
        buffers=tuple(Sharing(size, int(sectors * RAN / by), touched(sectors, by)) for size, sectors, by in buffers),
    )
    asked = {i: (kind, sectors * BLOCKS) for i, (_, sectors, _) in enumerate(buffers)}
    return estimate(counts, blocks=BLOCKS, ran=RAN, asked=asked).traffic


def test_a_stream_comes_from_dram_once_whatever_its_length() -> None:
    for sectors in (10, 10_000):
        found = of((sectors * BLOCKS * 32, sectors, 1))
        assert (sectors * BLOCKS, sectors * BLOCKS) == (found.loads, pytest.approx(found.dram_reads))
        assert not found.simulated


def test_a_table_that_all_blocks_read_comes_from_dram_once() -> None:
    found = of((1000 * 32, 1000, 16))
    assert (1000, pytest.approx(1000 * (BLOCKS - 1))) == (pytest.approx(found.dram_reads), found.load_hits)


def test_a_table_stays_in_l2_beside_a_stream_that_is_larger() -> None:
    # 64 MiB go by in all, 5.3 MiB in one wave of 132 blocks.
    found = of((1000 * 32, 1000, 16), (64 * MIB, 64 * MIB / 32 / BLOCKS, 1))
    assert found.dram_reads == pytest.approx(1000 + 64 * MIB / 32, rel=1e-3)


def test_what_does_not_fit_beside_one_wave_comes_again_with_each() -> None:
    # 100 MiB that every block reads, through 50: half of it is lost between waves, of which neighbours save half.
    sectors = 100 * MIB / 32
    waves = BLOCKS / 132
    found = of((100 * MIB, sectors, 16))
    assert found.dram_reads == pytest.approx(sectors * (1 + (waves - 1) * 0.5 * 0.5), rel=0.02)


def test_a_buffer_has_no_more_sectors_than_it_holds() -> None:
    # Tiles of a matrix: no two of 16 blocks happen to share one, but 1600 blocks must.
    found = of((MIB, 1000, 1))
    assert found.dram_reads == pytest.approx(MIB / 32, rel=1e-3)


def test_stores_hit_and_are_written_once() -> None:
    found = of((BLOCKS * 100 * 32, 100, 1), kind="store")
    assert (160_000, pytest.approx(160_000), 0, 1.0) == (
        found.stores,
        found.dram_writes,
        found.dram_reads,
        found.hit_rate,
    )


def seen(by: dict[int, float], size: int) -> L2Traffic:
    """L2 of a grid, of which 16 blocks touched so many sectors of one buffer: {blocks that share them: sectors}."""
    touches = np.zeros(64, np.uint64)
    for blocks, sectors in by.items():
        touches[blocks - 1] = blocks * sectors
    asked = float(touches.sum()) * BLOCKS / RAN
    counts = L2Counts(
        L2(50 * MIB, wave=132),
        *(0,) * 8,
        misses={},
        sites={0: Touches(0, touches)},
        buffers=(Sharing(size, int(sum(by.values())), touches),),
    )
    return estimate(counts, blocks=BLOCKS, ran=RAN, asked={0: ("load", asked)}).traffic


def test_what_two_dozen_of_many_blocks_gather_comes_from_dram_once() -> None:
    # Each of 200,000 sectors is read by 24 of 1600 blocks, 4.8 million reads. Of 16 sampled blocks, each by 1 %,
    # j read 200,000 x C(24, j) 0.01^j 0.99^(24 - j) of them: 38,094, 4425, 328 and 17 for j = 1, 2, 3 and 4. The buffer
    # is large, and most of it is never read.
    found = seen({1: 38_094, 2: 4425, 3: 328, 4: 17}, 64 * MIB)
    assert found.loads == pytest.approx(4_800_000, rel=0.01)
    assert found.dram_reads == pytest.approx(200_000, rel=0.05)


def test_a_blocks_own_sectors_stay_its_own_beside_a_table_that_some_blocks_share() -> None:
    # 1000 sectors a block of its own, and 1000 that each 200 of 1600 blocks read, which 271, 272, 181, 90 of them show.
    own = seen({1: 16_000 + 271, 2: 272, 3: 181, 4: 90}, 64 * MIB)
    assert own.dram_reads == pytest.approx(1_600_000 + 1000, rel=0.01)


@pytest.mark.parametrize("by", [1, 2, 5, 16])
def test_a_larger_cache_never_reads_more_and_none_reads_more_than_is_asked(by: int) -> None:
    reads = [of((200 * MIB, 20_000, by), l2=size * MIB).dram_reads for size in (1, 10, 50, 100, 1000)]
    assert reads == sorted(reads, reverse=True)
    assert reads[0] <= 20_000 * BLOCKS
