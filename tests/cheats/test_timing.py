"""What sampled blocks leave to others is not for free in the modelled time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from warpsmith.core.profile import Profile
from warpsmith.sandbox.gate.stages import Gate, read_candidate

from .case import Case
from .timing import DEPTH, FEW_BLOCKS, HONEST_DEPTH, ONE_SLOW, PLAIN

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def microseconds(gates: dict[str, Gate]) -> Callable[[Case], list[float]]:
    """Modelled, at each bench workload."""

    @cache
    def of(case: Case) -> list[float]:
        evaluation = gates["linear"].evaluate(read_candidate(case.text), seed=11)
        assert isinstance(evaluation.profile, Profile), evaluation.outcome
        return [item.duration.us for item in evaluation.profile.workloads]

    return of


@pytest.mark.parametrize(("twin", "honest"), [(FEW_BLOCKS, PLAIN), (DEPTH, HONEST_DEPTH)], ids=lambda case: case.name)
def test_a_kernel_that_hides_work_from_the_sample_is_not_faster(
    twin: Case, honest: Case, microseconds: Callable[[Case], list[float]]
) -> None:
    times = [microseconds(case) for case in (twin, honest)]
    assert all(mine >= theirs for mine, theirs in zip(*times, strict=True)), times


def test_one_block_that_works_longer_than_the_others_is_waited_for(
    microseconds: Callable[[Case], list[float]],
) -> None:
    times = [microseconds(case) for case in (ONE_SLOW, HONEST_DEPTH)]
    assert times[0][0] > 2 * times[1][0], times
