"""Laws of the time model for any counters: above the bound, finite, positive, and never faster for doing more."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpsmith.core.arch import ARCHITECTURES, Architecture
from warpsmith.core.artifact import Resources
from warpsmith.core.counters import L2Traffic, LaunchCounters, SharedTraffic, Traffic
from warpsmith.core.quantity import Source
from warpsmith.core.task import Cost
from warpsmith.profiler.time_model import model_launch, model_workload

amounts = st.floats(min_value=0, max_value=1e12)
positive = st.floats(min_value=1, max_value=1e12)
PIPES = ("alu", "fma", "half", "fp64", "sfu", "tensor", "lsu", "control")
STEPS = ("arithmetic", "sfu", "tensor", "shared", "global", "issue")
ERRORS = ("warp_instructions", "warp_instructions.fma", "global_load.sectors", "shared_load.wavefronts", "atomic_lanes")
gpus = st.sampled_from([ARCHITECTURES[name] for name in ("a100", "rtx4090", "h200", "b200")])
globals_ = st.builds(Traffic, requests=amounts, sectors=amounts, bytes=amounts)
shareds = st.builds(SharedTraffic, requests=amounts, wavefronts=amounts, ideal_wavefronts=amounts)
launches = st.builds(
    LaunchCounters,
    source=st.just(Source.EMULATED),
    kernel=st.just("k"),
    grid_blocks=st.integers(1, 10**6),
    block_threads=st.integers(1, 1024),
    blocks_counted=st.just(1),
    warp_instructions=st.dictionaries(st.sampled_from(PIPES), amounts),
    thread_instructions=amounts,
    tensor_flops=st.dictionaries(st.sampled_from(["f16", "bf16", "tf32", "s8"]), amounts),
    global_load=globals_,
    global_store=globals_,
    local=globals_,
    shared_load=shareds,
    shared_store=shareds,
    atomic_lanes=amounts,
    atomic_serial=amounts,
    atomic_hottest=amounts,
    barriers=amounts,
    # 0 means that nobody counted them; from 1 on they are counts.
    block_unique_load_bytes=positive,
    footprint_bytes=positive,
    heaviest_block=st.floats(1, 100),
    outstanding_loads=st.floats(1, 64),
    global_atomic=globals_,
    shared_atomic=shareds,
    l2=st.none() | st.builds(L2Traffic, simulated=st.booleans(), dram_reads=amounts, dram_writes=amounts),
    dependent_steps=st.just({}) | st.dictionaries(st.sampled_from(STEPS), amounts, min_size=1),
    sampling_errors=st.dictionaries(st.sampled_from(ERRORS), st.floats(0, 2)),
)
resources = st.builds(
    Resources,
    registers=st.integers(0, 64),
    static_shared=st.integers(0, 48 * 1024),
    spill_stores=st.integers(0, 1000),
    spill_loads=st.integers(0, 1000),
    stack=st.integers(0, 4096),
)
costs = st.builds(
    Cost, flops=st.floats(0, 1e18), bytes=st.floats(0, 1e15), unit=st.sampled_from(["fp16", "fp32", "fp64", "int8"])
)


@given(launches, resources, costs, gpus)
@settings(max_examples=150, deadline=None)
def test_no_modelled_time_is_below_the_bound(
    counters: LaunchCounters, compiled: Resources, cost: Cost, arch: Architecture
) -> None:
    profile = model_workload("w", [(counters, compiled, 0)], cost, arch)
    assert profile.bound.us <= profile.duration.us
    assert profile.duration.low_us is not None
    assert profile.bound.us <= profile.duration.low_us


@given(launches, resources, gpus)
@settings(max_examples=150, deadline=None)
def test_every_time_and_limit_is_finite_and_the_time_covers_every_limit(
    counters: LaunchCounters, compiled: Resources, arch: Architecture
) -> None:
    profile = model_launch(counters, compiled, 0, arch)
    assert all(math.isfinite(limit) and limit >= 0 for limit in profile.limits.values())
    assert max(profile.limits.values()) <= profile.duration.us * (1 + 1e-9)
    assert profile.limits[profile.limiter] == max(profile.limits.values())


KINDS = ("global_load", "global_store", "global_atomic", "local")
TRAFFIC = [(field, part) for field in KINDS for part in ("requests", "sectors", "bytes")]
SHARED_KINDS = ("shared_load", "shared_store", "shared_atomic")
SHARED = [(field, part) for field in SHARED_KINDS for part in ("requests", "wavefronts")]
PLAIN = [
    *("atomic_lanes", "atomic_serial", "atomic_hottest", "barriers"),
    *("block_unique_load_bytes", "footprint_bytes", "heaviest_block"),
]
COUNTERS = [
    *((name, "") for name in PLAIN),
    *TRAFFIC,
    *SHARED,
    *(("warp_instructions", pipe) for pipe in PIPES),
    *(("tensor_flops", operand) for operand in ("f16", "tf32", "s8")),
]
STEP_COUNTERS = [("dependent_steps", kind) for kind in STEPS]


@given(launches, resources, gpus, st.sampled_from(COUNTERS), positive)
@settings(max_examples=600, deadline=None)
def test_more_of_anything_is_never_faster(
    counters: LaunchCounters, compiled: Resources, arch: Architecture, counter: tuple[str, str], more: float
) -> None:
    before = model_launch(counters, compiled, 0, arch).duration.us
    after = model_launch(increased(counters, *counter, more), compiled, 0, arch).duration.us
    assert before <= after * (1 + 1e-9)


@given(launches, resources, gpus)
@settings(max_examples=100, deadline=None)
def test_more_loads_in_flight_are_never_slower(
    counters: LaunchCounters, compiled: Resources, arch: Architecture
) -> None:
    more = counters.model_copy(update={"outstanding_loads": 2 * counters.outstanding_loads})
    before, after = (model_launch(item, compiled, 0, arch).duration.us for item in (counters, more))
    assert after <= before * (1 + 1e-9)


@pytest.mark.parametrize("counter", COUNTERS, ids="-".join)
def test_increasing_a_counter_changes_it(counter: tuple[str, str]) -> None:
    counters = LaunchCounters(
        source=Source.EMULATED, kernel="k", grid_blocks=1, block_threads=1, blocks_counted=1, warp_instructions={},
        thread_instructions=0,
    )  # fmt: skip
    assert counters != increased(counters, *counter, 1.0)


def increased(counters: LaunchCounters, name: str, part: str, more: float) -> LaunchCounters:
    """The same counters with one of them raised."""
    value = getattr(counters, name)
    match value:
        case dict():
            new: object = {**value, part: value.get(part, 0.0) + more}
        case Traffic() | SharedTraffic():
            new = value.model_copy(update={part: getattr(value, part) + more})
        case _:
            new = value + more
    return counters.model_copy(update={name: new})


@given(launches, resources, gpus, st.sampled_from(STEP_COUNTERS), positive)
@settings(max_examples=150, deadline=None)
def test_more_dependent_steps_are_never_faster(
    counters: LaunchCounters, compiled: Resources, arch: Architecture, counter: tuple[str, str], more: float
) -> None:
    # Where there are none at all, others stand in for them.
    steps = counters.model_copy(update={"dependent_steps": {"issue": 0.0, **counters.dependent_steps}})
    before = model_launch(steps, compiled, 0, arch).duration.us
    after = model_launch(increased(steps, *counter, more), compiled, 0, arch).duration.us
    assert before <= after * (1 + 1e-9)


@given(launches, resources, gpus)
@settings(max_examples=100, deadline=None)
def test_the_interval_holds_the_time_and_is_wider_where_blocks_were_sampled(
    counters: LaunchCounters, compiled: Resources, arch: Architecture
) -> None:
    whole = model_launch(counters.model_copy(update={"sampling_errors": {}}), compiled, 0, arch)
    sampled = model_launch(counters, compiled, 0, arch)
    assert (whole.duration.us, 0.0) == (sampled.duration.us, whole.sampling_error)
    mine, theirs = sampled.duration, whole.duration
    assert mine.low_us is not None
    assert mine.high_us is not None
    assert mine.low_us <= (theirs.low_us or 0) * (1 + 1e-9)
    assert mine.high_us >= (theirs.high_us or math.inf) * (1 - 1e-9)
