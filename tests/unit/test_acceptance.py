"""A challenger is better by more than the resolution, everywhere it matters, or it is not better."""

import pytest

from warpsmith.agents.scripted import scripted_workload
from warpsmith.core.acceptance import Standing, better
from warpsmith.core.profile import Profile, WorkloadProfile
from warpsmith.core.quantity import Duration, Source


def profile(*times: float, target: str = "h200", source: Source = Source.MODELLED) -> Profile:
    return of(*(at(number, us, source) for number, us in enumerate(times)), target=target, source=source)


def at(number: int, us: float, source: Source = Source.MODELLED, **limits: float) -> WorkloadProfile:
    workload = scripted_workload(us, name=f"w{number}")
    launch = workload.launches[0].model_copy(update={"limits": {"latency": us, **limits}})
    return workload.model_copy(update={"duration": Duration(us=us, source=source), "launches": (launch,)})


def of(*workloads: WorkloadProfile, target: str = "h200", source: Source = Source.MODELLED) -> Profile:
    return Profile(candidate="c", target=target, source=source, workloads=workloads)


def test_a_challenger_beyond_the_resolution_is_faster() -> None:
    verdict = better(profile(80, 80), profile(100, 100))
    assert (verdict.standing, verdict.accepted) == (Standing.FASTER, True)
    assert pytest.approx(1.25) == verdict.speedup


def test_a_challenger_within_the_resolution_is_the_same() -> None:
    verdict = better(profile(95, 95), profile(100, 100))
    assert (verdict.standing, verdict.accepted) == (Standing.SAME, False)


def test_what_sampling_leaves_open_is_no_win() -> None:
    fast = at(0, 85)
    launch = fast.launches[0].model_copy(update={"sampling_error": 0.2, "duration": fast.duration})
    unsure = fast.model_copy(update={"launches": (launch,)})
    assert Standing.FASTER is better(of(fast), profile(100)).standing
    assert Standing.SAME is better(of(unsure), profile(100)).standing


def test_a_challenger_beyond_the_resolution_the_other_way_is_slower() -> None:
    assert Standing.SLOWER is better(profile(120), profile(100)).standing


def test_nothing_is_better_than_itself() -> None:
    assert Standing.SAME is better(profile(100, 50), profile(100, 50), resolution=0.0).standing


def test_a_win_bought_with_a_slower_workload_is_doubtful() -> None:
    verdict = better(profile(10, 130), profile(100, 100))
    assert Standing.DOUBTFUL is verdict.standing
    assert "w1 is 1.3x slower" in verdict.reason


def test_measured_and_modelled_times_are_never_compared() -> None:
    verdict = better(profile(1, source=Source.MEASURED), profile(100))
    assert (verdict.standing, verdict.speedup) == (Standing.INCOMPARABLE, None)
    assert "measured and modelled" in verdict.reason


def test_times_of_different_targets_are_never_compared() -> None:
    assert Standing.INCOMPARABLE is better(profile(1, target="b200"), profile(100)).standing


def test_times_of_different_workloads_are_never_compared() -> None:
    assert Standing.INCOMPARABLE is better(profile(1), profile(100, 100)).standing


def test_measured_times_are_told_apart_more_finely() -> None:
    measured = Source.MEASURED
    assert Standing.FASTER is better(profile(95, source=measured), profile(100, source=measured)).standing


def test_a_level_grown_beyond_the_incumbent_s_busiest_makes_a_win_doubtful() -> None:
    verdict = better(of(at(0, 80, dram=70)), of(at(0, 100, dram=40, fma=50)))
    assert Standing.DOUBTFUL is verdict.standing
    assert "dram takes 70 us where it took 40 us" in verdict.reason


def test_a_level_grown_where_the_incumbent_left_it_idle_is_no_reason_to_doubt() -> None:
    assert Standing.FASTER is better(of(at(0, 50, shared=40)), of(at(0, 100, dram=90, shared=0))).standing


def test_waiting_longer_for_latency_alone_is_no_level_that_grew() -> None:
    grown = at(0, 80).launches[0].limits
    assert grown == {"latency": 80}
    assert Standing.FASTER is better(of(at(0, 80)), of(at(0, 100, dram=10))).standing
