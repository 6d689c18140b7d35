"""Measured challengers are timed again beside the incumbent before they take its place."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from warpsmith.agents.scripted import scripted_workload
from warpsmith.core.acceptance import Standing, better
from warpsmith.core.candidate import Candidate
from warpsmith.core.profile import Profile
from warpsmith.core.quantity import Duration, Source
from warpsmith.profiler.comparison import LOOKS, PairedBlock, Sample, compare_times
from warpsmith.profiler.duel import decide

OLD = Candidate(task="t", language="cuda", text="old")
NEW = Candidate(task="t", language="cuda", text="new")


@dataclass
class SimulatedGpu:
    """Times both kernels with 0.2 % of noise a call."""

    speedups: dict[str, float]
    throttled: bool = False
    pairs: list[int] = field(default_factory=list)

    def fight(self, incumbent: Candidate, challenger: Candidate, pair: int) -> Sequence[PairedBlock]:
        assert (OLD, NEW) == (incumbent, challenger)
        self.pairs.append(pair)
        draw = random.Random(pair)

        def side(base: float) -> tuple[Sample, ...]:
            return tuple(Sample(base * math.exp(draw.gauss(0, 0.002)), 1980.0, self.throttled) for _ in range(4))

        return [
            PairedBlock(pair, side(50.0), side(50.0 / speedup), name)
            for name, speedup in self.speedups.items()
            for _ in range(5)
        ]


def test_a_clear_win_is_decided_at_the_first_look() -> None:
    gpu = SimulatedGpu({"a": 1.2, "b": 1.1})
    verdict = decide(gpu, OLD, NEW)
    assert Standing.FASTER is verdict.standing
    assert list(range(LOOKS[0])) == gpu.pairs
    assert math.isclose(math.sqrt(1.2 * 1.1), verdict.speedup or 0, rel_tol=5e-3)


def test_the_same_kernel_is_no_win() -> None:
    assert Standing.SAME is decide(SimulatedGpu({"a": 1.0}), OLD, NEW).standing


def test_a_slower_kernel_is_called_slower() -> None:
    assert Standing.SLOWER is decide(SimulatedGpu({"a": 0.9}), OLD, NEW).standing


def test_a_win_that_costs_one_workload_is_doubtful() -> None:
    verdict = decide(SimulatedGpu({"a": 1.5, "ragged": 0.8}), OLD, NEW)
    assert Standing.DOUBTFUL is verdict.standing
    assert "slower at ragged" in verdict.reason


def test_a_gpu_that_only_throttles_decides_nothing_after_the_last_look() -> None:
    gpu = SimulatedGpu({"a": 2.0}, throttled=True)
    verdict = decide(gpu, OLD, NEW)
    assert (Standing.INCOMPARABLE, LOOKS[-1]) == (verdict.standing, len(gpu.pairs))
    assert "throttles" in verdict.reason


def test_workloads_at_different_clocks_are_each_held_against_their_own() -> None:
    """A matrix product that draws all the power runs 20 % slower than a copy; neither is an outlier."""
    hot = [PairedBlock(n // 5, (Sample(10, 1500.0),) * 2, (Sample(9, 1500.0),) * 2, "hot") for n in range(20)]
    cold = [PairedBlock(n // 5, (Sample(8, 1980.0),) * 2, (Sample(7, 1980.0),) * 2, "cold") for n in range(20)]
    assert 0 == compare_times([*hot, *cold]).discarded


def test_measured_profiles_are_not_refused_for_a_modelled_level() -> None:
    def profile(us: float, dram: float, source: Source) -> Profile:
        workload = scripted_workload(us, name="w")
        launch = workload.launches[0].model_copy(update={"limits": {"dram": dram}})
        update = {"duration": Duration(us=us, source=source), "launches": (launch,)}
        return Profile(candidate="c", target="h200", source=source, workloads=(workload.model_copy(update=update),))

    faces = [better(profile(80, 79, source), profile(100, 10, source)) for source in (Source.MODELLED, Source.MEASURED)]
    assert [Standing.DOUBTFUL, Standing.FASTER] == [verdict.standing for verdict in faces]
