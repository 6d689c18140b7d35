"""No atomic hides what a kernel computes where it is timed, whatever it does there; honest blocks may meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith.app import gate
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.outcome import Outcome, Racy, Stage, Verified, Wrong
from warpsmith.core.profile import Profile
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.gate.bench import Bench
from warpsmith.sandbox.gate.stages import Gate, read_candidate
from warpsmith.tasks import load_task

from .case import Case
from .wide_sizes import BEHIND, MEET, OWN, SPOILT


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Gate]:
    folder, cache = Path(__file__).parent, tmp_path_factory.mktemp("compiled")
    return {name: gate(load_task(folder / f"{name}.py"), arch="h200", cache=cache) for name in ("wide", "counted")}


def timed(gates: dict[str, Gate], case: Case, seed: int) -> tuple[Profile | Outcome, list[str]]:
    """What the gate's bench stage makes of a kernel, and the workloads of which it compared every element."""
    candidate = read_candidate(case.text)
    judging = gates[candidate.task]
    builds = Builds(parse_kernel_file(case.text), judging.task, candidate.knobs, judging.arch, judging.compiler)
    assert builds.build_all(judging.task.bench) is None
    bench = Bench(judging.task, builds, judging.launcher, seed)
    return bench.profile(candidate), bench.whole


def _some(cases: tuple[Case, ...]) -> list[object]:
    """The first in every run of the tests, all of them in the full one."""
    return [
        pytest.param(case, id=case.name, marks=pytest.mark.full if number else ()) for number, case in enumerate(cases)
    ]


@pytest.mark.parametrize("case", _some(BEHIND))
def test_values_that_are_wrong_where_they_are_timed_are_found_behind(case: Case, large: dict[str, Gate]) -> None:
    found, _ = timed(large, case, 0)
    assert isinstance(found, Wrong), found
    assert Stage.PROFILE is found.stage
    assert case.says in found.message


@pytest.mark.parametrize("case", _some(MEET))
def test_honest_blocks_that_meet_are_timed_and_compared_whole(case: Case, large: dict[str, Gate]) -> None:
    found, whole = timed(large, case, 0)
    assert isinstance(found, Profile), found
    assert {item.name for item in large[read_candidate(case.text).task].task.bench} == set(whole)


@pytest.mark.parametrize("case", SPOILT, ids=lambda case: case.name)
@pytest.mark.parametrize("seed", [0, 5])
def test_blocks_that_share_scratch_at_a_large_size_alone_are_found(
    case: Case, seed: int, large: dict[str, Gate]
) -> None:
    found, _ = timed(large, case, seed)
    assert isinstance(found, Racy), found
    assert "a wide layer" == found.workload
    assert case.says in found.message


@pytest.mark.parametrize("case", OWN, ids=lambda case: case.name)
def test_scratch_of_a_blocks_own_is_no_race(case: Case, large: dict[str, Gate]) -> None:
    found, _ = timed(large, case, 0)
    assert isinstance(found, Profile), found


@pytest.mark.full
@pytest.mark.parametrize("case", [BEHIND[0], BEHIND[9], BEHIND[16]], ids=lambda case: case.name)
def test_nothing_but_the_bench_stage_finds_them(case: Case, large: dict[str, Gate]) -> None:
    evaluation = large["wide"].evaluate(read_candidate(case.text), seed=4)
    assert isinstance(evaluation.outcome, Wrong), evaluation.outcome
    assert Stage.PROFILE is evaluation.outcome.stage


@pytest.mark.full
@pytest.mark.parametrize("case", MEET, ids=lambda case: case.name)
def test_the_whole_gate_accepts_honest_blocks_that_meet(case: Case, large: dict[str, Gate]) -> None:
    candidate = read_candidate(case.text)
    assert isinstance(outcome := large[candidate.task].evaluate(candidate, seed=4).outcome, Verified), outcome
