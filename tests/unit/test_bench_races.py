"""Which blocks of a large launch are run to find two that spoil each other's scratch."""

from __future__ import annotations

import pytest

from warpsmith.sandbox.gate.bench_races import at_every_distance


@pytest.mark.parametrize("total", [2, 5, 200, 4096, 100_000])
@pytest.mark.parametrize("at_once", [2, 132, 1056, 4224])
def test_two_blocks_lie_at_every_distance_of_blocks_that_work_at_once(total: int, at_once: int) -> None:
    blocks = at_every_distance(total, at_once, warps=100.0, seed=3)
    distances = {later - earlier for earlier in blocks for later in blocks if later > earlier}
    assert {*range(1, min(at_once, total))} <= distances
    assert 0 <= min(blocks) <= max(blocks) < total


def test_they_are_about_twice_the_root_of_those_that_work_at_once() -> None:
    assert len(at_every_distance(100_000, 4224, 100.0, 1)) <= 2 * 65 + 1


def test_fewer_run_where_each_takes_long() -> None:
    assert len(at_every_distance(100_000, 4224, 1e6, 1)) < 12


def test_where_they_begin_is_drawn() -> None:
    assert 1 < len({at_every_distance(100_000, 4224, 100.0, seed)[0] for seed in range(8)})
