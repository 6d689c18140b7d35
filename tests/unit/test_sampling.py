"""Which blocks stand for a grid, what they stand for, and how far the totals may be off."""

from __future__ import annotations

from math import prod, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpsmith.sandbox.counting.estimate import group_weights, relative_errors
from warpsmith.sandbox.counting.sampling import Grid, Stratum, blocks_at, choose_blocks, group_blocks

grids = st.tuples(st.integers(1, 200), st.integers(1, 60), st.integers(1, 12))


@given(grids, st.integers(1, 300), st.integers(0, 2**31))
@settings(deadline=None)
def test_the_strata_of_a_sample_make_up_the_grid(grid: Grid, count: int, seed: int) -> None:
    blocks = choose_blocks(grid, count, seed)
    if blocks is None:
        assert prod(grid) <= count
        return
    grouping = group_blocks(grid, blocks)
    assert prod(grid) == sum(stratum.size for stratum in grouping.strata)
    assert len(blocks) == sum(stratum.sampled for stratum in grouping.strata) == len(grouping.groups)
    assert all(0 < stratum.sampled <= stratum.size for stratum in grouping.strata)
    # What is the same in all blocks is estimated exactly.
    counts = np.bincount(grouping.groups, minlength=len(group_weights(grouping))).astype(float)
    assert prod(grid) == pytest.approx(group_weights(grouping) @ counts)
    assert {"same": 0.0} == pytest.approx(relative_errors(grouping, {"same": counts}))


@given(grids, st.frozensets(st.integers(0, 300), max_size=20), st.integers(1, 40), st.integers(0, 2**31))
def test_blocks_at_places_have_one_of_them_along_an_axis(
    grid: Grid, places: frozenset[int], most: int, seed: int
) -> None:
    blocks = blocks_at(grid, places, most, seed)
    assert len(blocks) <= most
    for block in blocks:
        at = block % grid[0], block // grid[0] % grid[1], block // grid[0] // grid[1]
        assert places & {*at}
        assert at[2] < grid[2]
    assert bool(blocks) is any(place < max(grid) for place in places)


def test_every_place_has_a_block_where_there_is_room_for_all() -> None:
    blocks = blocks_at((8192, 4, 1), {345, 5001, 9000}, 32, 1)
    assert {345, 5001} == {block % 8192 for block in blocks}


def test_corners_and_ragged_faces_are_strata_of_their_own() -> None:
    blocks = choose_blocks((10, 8, 1), 16, seed=1)
    assert blocks is not None
    sizes = sorted(stratum.size for stratum in group_blocks((10, 8, 1), blocks).strata)
    # Four corners; the last column has 8 blocks and the last row 10, corners left out; the rest is inside.
    assert [4, 6, 8, 80 - 18] == sizes


def test_a_lone_block_of_a_face_stands_with_the_inside() -> None:
    # Corners 0, 9, 70 and 79; block 19 alone is in the last column.
    grouping = group_blocks((10, 8, 1), (0, 9, 19, 33, 45, 70, 79))
    assert [(4, 4), (76, 3)] == sorted((stratum.size, stratum.sampled) for stratum in grouping.strata)


def test_many_blocks_share_groups() -> None:
    grouping = group_blocks((100_000, 1, 1), range(0, 100_000, 50))
    assert max(grouping.groups) < 300
    assert 2000 == sum(stratum.sampled for stratum in grouping.strata)


def test_the_error_of_a_total_is_what_its_formula_says() -> None:
    # Both ends, which are known, and four of the 98 blocks between.
    grouping = group_blocks((100, 1, 1), (0, 20, 40, 60, 80, 99))
    inner = next(stratum for stratum in grouping.strata if stratum.size == 98)
    assert Stratum(98, inner.groups, (1, 1, 1, 1)) == inner
    counted = np.zeros(6)
    counted[list(inner.groups)] = 10, 14, 10, 14
    # Neighbours differ by 4: their variance is 3 * 16 / (2 * 3); four of 98 are known.
    total = 98 * 12
    assert {"x": pytest.approx(sqrt((1 - 4 / 98) * 98**2 * 8 / 4) / total)} == relative_errors(grouping, {"x": counted})
    # A trend along the order is no error of the same size: neighbours differ by 4 where the spread is larger.
    counted[list(inner.groups)] = 0, 4, 8, 12
    assert relative_errors(grouping, {"x": counted})["x"] < np.std([0, 4, 8, 12]) / 6 / sqrt(4)


def test_the_error_says_how_far_estimates_scatter() -> None:
    random = np.random.default_rng(3)
    work = random.integers(50, 150, 1000).astype(float)
    misses, claimed = [], []
    for seed in range(300):
        blocks = choose_blocks((1000, 1, 1), 16, seed)
        assert blocks is not None
        grouping = group_blocks((1000, 1, 1), blocks)
        counted = np.zeros(len(group_weights(grouping)))
        np.add.at(counted, list(grouping.groups), work[list(blocks)])
        misses.append((group_weights(grouping) @ counted) / work.sum() - 1)
        claimed.append(relative_errors(grouping, {"x": counted})["x"])
    assert np.mean(misses) == pytest.approx(0, abs=0.02)
    assert float(np.sqrt(np.mean(np.square(claimed)))) == pytest.approx(float(np.std(misses)), rel=0.15)
