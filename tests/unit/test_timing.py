"""Plans, agreement of clocks and statistics of measured times."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from warpsmith.core.quantity import Source
from warpsmith.profiler.nvml import DeviceState, Reason, reasons_of
from warpsmith.profiler.timing import (
    Method,
    OutputCheck,
    TimedCall,
    Timing,
    TimingPlan,
    abba,
    disagreement,
    median_interval,
    plan_timing,
)

MIB = 1 << 20
CALM = DeviceState(sm_mhz=1980.0, memory_mhz=3201.0, power_w=300.0, temperature_c=41.0)
HOT = DeviceState(sm_mhz=1400.0, reasons=(Reason.HARDWARE_THERMAL,))
PLAN = TimingPlan(method=Method.CALL, sets=2, warm_up=10, samples=3, flush_bytes=180 * MIB)


def timing(*pairs: tuple[float, float], state: DeviceState = CALM, plan: TimingPlan = PLAN) -> Timing:
    samples = tuple(
        TimedCall(
            input_set=index % plan.sets, event_us=event, bracket_us=event + 80, host_us=host, before=CALM, after=state
        )
        for index, (event, host) in enumerate(pairs)
    )
    return Timing(plan=plan, device="NVIDIA H200", samples=samples, empty_host_us=8.0, empty_event_us=2.0)


def test_a_short_call_is_timed_as_a_graph_of_distinct_sets() -> None:
    plan = plan_timing(5.0, MIB, 60 * MIB)
    assert (Method.GRAPH, 32, 32) == (plan.method, plan.sets, plan.calls)


def test_a_call_of_twenty_microseconds_is_timed_alone() -> None:
    plan = plan_timing(20.0, MIB, 60 * MIB)
    assert (Method.CALL, 8, 1) == (plan.method, plan.sets, plan.calls)


@given(us=st.floats(0.5, 1e6), size=st.integers(1, 1 << 33), l2=st.integers(MIB, 256 * MIB))
def test_every_plan_flushes_three_times_the_cache_and_fits_memory(us: float, size: int, l2: int) -> None:
    plan = plan_timing(us, size, l2)
    assert plan.flush_bytes >= 3 * l2
    assert plan.sets * size <= max(8 << 30, size)
    assert (5 if us > 20_000 else 20) <= plan.samples <= 200
    assert plan.samples >= plan.sets or plan.method is Method.GRAPH


def test_two_sets_larger_than_the_cache_are_enough() -> None:
    assert 2 == plan_timing(500.0, 400 * MIB, 60 * MIB).sets


def test_a_plan_for_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot plan"):
        plan_timing(0.0, 1, 1)


def test_the_duration_is_the_median_with_its_interval() -> None:
    found = timing((50.0, 60.0), (52.0, 61.0), (51.0, 60.0)).duration
    assert (51.0, Source.MEASURED, 50.0, 52.0) == (found.us, found.source, found.low_us, found.high_us)


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    draw = random.Random(3)
    covered = 0
    for _ in range(1000):
        low, high = median_interval([draw.expovariate(1.0) for _ in range(40)])
        covered += low <= 0.6931 <= high
    assert 950 - 21 <= covered


def test_the_interval_narrows_with_more_samples() -> None:
    draw = random.Random(4)
    few, many = ([draw.gauss(100, 5) for _ in range(count)] for count in (20, 2000))
    (low, high), (lower, higher) = median_interval(few), median_interval(many)
    assert higher - lower < (high - low) / 3


def test_clocks_that_agree_say_nothing() -> None:
    assert "" == disagreement(timing((50.0, 142.0), (51.0, 241.0), (50.0, 140.0)))


def test_work_outside_the_events_is_seen() -> None:
    assert "work ran outside the events" in disagreement(timing((5.0, 320.0), (5.0, 330.0), (5.0, 325.0)))


def test_events_longer_than_the_host_waited_are_seen() -> None:
    assert "where the device's events say" in disagreement(timing((50.0, 20.0), (50.0, 21.0), (50.0, 20.0)))


def test_throttled_samples_are_left_out_of_the_median() -> None:
    good, bad = timing((50.0, 60.0)).samples, timing((500.0, 510.0), state=HOT).samples
    mixed = timing((50.0, 60.0)).model_copy(update={"samples": (*good, *bad)})
    assert (50.0, False) == (mixed.duration.us, mixed.throttled)
    assert timing((500.0, 510.0), state=HOT).throttled


def test_the_power_cap_is_recorded_but_spoils_nothing() -> None:
    assert not DeviceState(reasons=(Reason.POWER_CAP,)).throttled
    assert DeviceState(reasons=(Reason.POWER_CAP, Reason.THERMAL)).throttled


def test_reasons_are_read_bit_by_bit_and_unknown_ones_are_kept() -> None:
    assert ((Reason.POWER_CAP, Reason.HARDWARE_THERMAL), 1 << 20) == reasons_of(0x4 | 0x40 | 1 << 20)


def test_nvml_names_the_same_bits() -> None:
    import pynvml

    for bit, reason in (
        (pynvml.nvmlClocksEventReasonGpuIdle, Reason.IDLE),
        (pynvml.nvmlClocksEventReasonSwPowerCap, Reason.POWER_CAP),
        (pynvml.nvmlClocksEventReasonHwSlowdown, Reason.HARDWARE),
        (pynvml.nvmlClocksEventReasonSwThermalSlowdown, Reason.THERMAL),
        (pynvml.nvmlClocksEventReasonHwThermalSlowdown, Reason.HARDWARE_THERMAL),
        (pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown, Reason.POWER_BRAKE),
        (pynvml.nvmlClocksEventReasonDisplayClockSetting, Reason.DISPLAY_CLOCKS),
    ):
        assert ((reason,), 0) == reasons_of(bit)


def test_a_record_of_a_set_that_does_not_exist_cannot_be_built() -> None:
    with pytest.raises(ValidationError, match="input set 2 of 2"):
        Timing(
            plan=PLAN,
            device="g",
            samples=timing((1.0, 2.0)).samples,
            checks=(OutputCheck(input_set=2, calls=1, digests=("0",)),),
            empty_host_us=1,
            empty_event_us=1,
        )


def test_a_drifting_clock_favours_neither_side() -> None:
    for order in abba(3, 8):
        places = [[place for place, side in enumerate(order) if side == wanted] for wanted in (0, 1)]
        assert (8, 8) == (len(places[0]), len(places[1]))
        assert sum(places[0]) == sum(places[1])
    with pytest.raises(ValueError, match="even number"):
        abba(1, 3)
