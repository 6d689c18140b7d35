"""The accept rule for measured times."""

from __future__ import annotations

import math
import random

import pytest

from warpsmith.profiler.comparison import Finding, PairedBlock, Sample, compare_times, t_quantile


def blocks(pairs: int, speedup: float, *, seed: int = 1) -> list[PairedBlock]:
    draw = random.Random(seed)

    def side(base: float) -> tuple[Sample, ...]:
        return tuple(Sample(base * math.exp(draw.gauss(0, 0.002)), 1980.0) for _ in range(4))

    return [PairedBlock(pair, side(50.0), side(50.0 / speedup)) for pair in range(pairs) for _ in range(5)]


def test_a_win_of_three_per_cent_is_found() -> None:
    found = compare_times(blocks(4, 1.03))
    assert Finding.FASTER is found.finding
    assert math.isclose(1.03, found.speedup, rel_tol=2e-3)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    found = [compare_times(blocks(4, 1.03, seed=seed)) for seed in range(400)]
    assert sum(not item.low <= 1.03 <= item.high for item in found) <= 400 * 2 * 0.05 / 3 + 3 * 13**0.5


def test_equal_speed_is_no_win() -> None:
    assert Finding.SAME is compare_times(blocks(4, 1.0)).finding


def test_few_pairs_decide_nothing() -> None:
    assert Finding.AMBIGUOUS is compare_times(blocks(3, 2.0)).finding


def test_one_pair_has_no_spread() -> None:
    with pytest.raises(ValueError, match="1 process pairs"):
        compare_times(blocks(1, 1.03))


def test_throttled_blocks_are_left_out() -> None:
    slow = PairedBlock(0, (Sample(500.0, 1980.0, True),), (Sample(1.0, 1980.0),))
    kept, spoiled = compare_times(blocks(4, 1.03)), compare_times([*blocks(4, 1.03), slow])
    assert (0, 1) == (kept.discarded, spoiled.discarded)
    assert kept.speedup == spoiled.speedup


def test_a_clock_that_moves_cancels() -> None:
    lower = [
        PairedBlock(
            block.pair, block.incumbent, tuple(Sample(s.us / 0.97, s.clock_mhz * 0.97) for s in block.challenger)
        )
        for block in blocks(4, 1.0)
    ]
    assert math.isclose(compare_times(blocks(4, 1.0)).speedup, compare_times(lower).speedup)


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 6.3138), (3, 2.3534), (10, 1.8125), (100, 1.6602)])
def test_quantiles_are_students(freedom: int, quantile: float) -> None:
    assert math.isclose(quantile, t_quantile(0.95, freedom), rel_tol=1e-4)
