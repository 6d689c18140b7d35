"""The time model against arithmetic done by hand, and the laws it must keep for any counters."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from warpsmith.core.arch import Architecture, find_architecture
from warpsmith.core.artifact import Resources
from warpsmith.core.counters import LaunchCounters, SharedTraffic, Traffic
from warpsmith.core.profile import LaunchProfile
from warpsmith.core.quantity import Source
from warpsmith.core.task import Cost
from warpsmith.profiler.time_model import LIMITS, ModelledLaunch, model_launch, model_workload, overlapped

H200 = find_architecture("h200")
LEAN = Resources(registers=32, static_shared=0)
MIB = 2**20


def launch(
    blocks: int,
    threads: int,
    instructions: dict[str, float],
    *,
    arch: Architecture = H200,
    resources: Resources = LEAN,
    dynamic_shared: int = 0,
    **counts: Any,
) -> LaunchProfile:
    return model_launch(count(blocks, threads, instructions, **counts), resources, dynamic_shared, arch)


def count(blocks: int, threads: int, instructions: dict[str, float], **counts: Any) -> LaunchCounters:
    return LaunchCounters(
        source=Source.EMULATED,
        kernel="k",
        grid_blocks=blocks,
        block_threads=threads,
        blocks_counted=blocks,
        warp_instructions=instructions,
        thread_instructions=32 * sum(instructions.values()),
        **counts,
    )


def stream_copy(arch: Architecture = H200) -> LaunchProfile:
    """1 GiB read and 1 GiB written, 16 bytes a thread: 2^21 warps of one load and one store."""
    warps = 2.0**21
    moved = Traffic(requests=warps, sectors=16 * warps, bytes=2.0**30)
    return launch(
        2**18, 256, {"alu": 6 * warps, "fma": warps, "lsu": 2 * warps, "control": warps}, arch=arch,
        global_load=moved, global_store=moved, block_unique_load_bytes=2.0**30, footprint_bytes=2.0**31,
    )  # fmt: skip


@pytest.mark.parametrize("gpu", ["a100", "rtx4090", "h100", "h200", "b200"])
def test_a_stream_copy_takes_its_bytes_over_the_bandwidth(gpu: str) -> None:
    arch = find_architecture(gpu)
    profile = stream_copy(arch)
    ideal = 2.0**31 / (arch.dram_gbps * 1e3)
    assert profile.limiter == "dram"
    assert ideal == pytest.approx(profile.limits["dram"], rel=0.10)
    assert ideal < profile.duration.us < 1.10 * ideal + arch.launch_us


def test_a_launch_that_does_nothing_costs_its_launch() -> None:
    profile = launch(1, 32, {"control": 1.0})
    assert profile.limiter == "launch"
    assert H200.launch_us == pytest.approx(profile.duration.us, rel=0.01)


def one_block_sum(blocks: int) -> LaunchProfile:
    """2^22 floats summed: each warp loads, adds, and loads again; one block or many share the work."""
    requests = 2.0**22 / 32
    loads = Traffic(requests=requests, sectors=4 * requests, bytes=2.0**24)
    return launch(
        blocks, 256, {"fma": requests, "lsu": requests, "alu": requests, "control": requests},
        global_load=loads, block_unique_load_bytes=2.0**24, footprint_bytes=2.0**24,
    )  # fmt: skip


def test_a_grid_of_one_block_waits_for_latency() -> None:
    profile = one_block_sum(1)
    # 8 warps, 16384 loads each, 479 cycles from DRAM, 4 instructions x 2 cycles: 16384 x 487 / 1980 MHz.
    assert profile.limiter == "latency"
    assert pytest.approx(16384 * 487 / 1980) == profile.limits["latency"]
    assert one_block_sum(132 * 8).duration.us < profile.duration.us / 100


def test_half_the_occupancy_doubles_the_latency_limit() -> None:
    warps = 132 * 8 * 10 * 8.0
    loads = Traffic(requests=warps, sectors=4 * warps, bytes=128 * warps)

    def at(registers: int) -> float:
        resources = Resources(registers=registers, static_shared=0)
        return launch(132 * 80, 256, {"lsu": warps}, resources=resources, global_load=loads).limits["latency"]

    # 32 registers keep 64 warps on a multiprocessor, 64 keep 32.
    assert at(64) == pytest.approx(2 * at(32))


def busy(blocks: int, work: float) -> LaunchProfile:
    return launch(blocks, 256, {"fma": work})


def test_few_blocks_use_few_multiprocessors() -> None:
    # The same work on 4 blocks has 4 of 132 multiprocessors: 33 times the fma time.
    assert 33 * busy(132, 1e8).limits["fma"] == pytest.approx(busy(4, 1e8).limits["fma"])


def test_a_133rd_block_starts_a_second_round() -> None:
    per_block = 1e6
    full, spilled_over = busy(132, 132 * per_block), busy(133, 133 * per_block)
    assert 2 * full.limits["fma"] == pytest.approx(spilled_over.limits["fma"])


def test_a_heavy_block_sticks_out() -> None:
    even = launch(1320, 256, {"fma": 1e8}, heaviest_block=1.0)
    heavy = launch(1320, 256, {"fma": 1e8}, heaviest_block=11.0)
    # 10 blocks a multiprocessor; one of 11 sizes makes 20.
    assert 2 * even.limits["fma"] == pytest.approx(heavy.limits["fma"])


def test_one_warp_alone_has_one_of_four_schedulers() -> None:
    assert 4 * launch(132, 128, {"fma": 1e6}).limits["fma"] == pytest.approx(
        launch(132, 32, {"fma": 1e6}).limits["fma"]
    )


N = 2048.0
"""Extent of the square matrices that four kernels multiply below, counted by hand."""
WARPS = N * N / 32
"""With one output a thread."""


def strided_product() -> LaunchProfile:
    """Lanes along rows: each load of A touches 32 sectors, each of B one that all lanes share."""
    requests = WARPS * 2 * N
    return launch(
        16384, 256, {"fma": WARPS * N, "lsu": requests, "alu": WARPS * N * 1.5, "control": WARPS * N / 4},
        global_load=Traffic(requests=requests, sectors=WARPS * N * 33, bytes=requests * 128),
        block_unique_load_bytes=16384 * N * 5 * 32, footprint_bytes=3 * N * N * 4,
    )  # fmt: skip


def coalesced_product() -> LaunchProfile:
    """Lanes along columns: one shared sector of A, four of B; the loop unrolled four times."""
    requests = WARPS * 2 * N
    return launch(
        16384, 256, {"fma": WARPS * N, "lsu": requests, "alu": WARPS * N * 1.5, "control": WARPS * N / 4},
        global_load=Traffic(requests=requests, sectors=WARPS * N * 5, bytes=requests * 128),
        block_unique_load_bytes=16384 * (8 * N * 4 + 32 * N * 4), footprint_bytes=3 * N * N * 4,
        outstanding_loads=8.0,
    )  # fmt: skip


def tiled_product() -> LaunchProfile:
    """64 x 64 tiles in shared memory, 4 x 4 a thread: 16 fma for 2 vector loads of 3 wavefronts."""
    warps, read = 1024 * 8.0, 1024 * 2 * 64 * N * 4
    loads = Traffic(requests=read / 512, sectors=read / 32, bytes=read)
    shared = SharedTraffic(requests=warps * N * 2, wavefronts=warps * N * 3, ideal_wavefronts=warps * N * 3)
    return launch(
        1024, 256, {"fma": warps * N * 16, "lsu": warps * N * 2 + 2 * read / 512, "alu": warps * N},
        resources=Resources(registers=64, static_shared=16384), global_load=loads, shared_load=shared,
        barriers=warps * N / 8, block_unique_load_bytes=read, footprint_bytes=3 * N * N * 4, outstanding_loads=2.0,
    )  # fmt: skip


def tensor_product(flops_per_instruction: float = 4096, arch: Architecture = H200) -> LaunchProfile:
    """128 x 128 tiles of fp16 through tensor cores."""
    flops, read = 2 * N**3, 256 * 2 * 128 * N * 2
    issued, warps = flops / flops_per_instruction, 256 * 8.0
    loads = Traffic(requests=read / 512, sectors=read / 32, bytes=read)
    matrices = SharedTraffic(requests=warps * N / 16 * 6, wavefronts=warps * N / 16 * 24)
    return launch(
        256, 256, {"tensor": issued, "lsu": warps * N / 16 * 6 + read / 512, "alu": warps * N / 8}, arch=arch,
        resources=Resources(registers=128, static_shared=32768), global_load=loads, shared_load=matrices,
        tensor_flops={"f16": flops}, block_unique_load_bytes=read, footprint_bytes=3 * N * N * 2,
        outstanding_loads=8.0,
    )  # fmt: skip


def test_each_step_of_the_textbook_makes_a_matrix_product_faster() -> None:
    steps = [strided_product(), coalesced_product(), tiled_product(), tensor_product()]
    times = [step.duration.us for step in steps]
    assert times == sorted(times, reverse=True)
    assert all(slower > 2 * faster for slower, faster in pairwise(times))


def test_what_limits_each_step() -> None:
    assert strided_product().limiter == "l1"
    # 33 sectors a pair, four a clock: 131072 warps x 2048 x 33 / 4 / 132 / 1980.
    assert pytest.approx(131072 * 2048 * 33 / 4 / 132 / 1980, rel=0.02) == strided_product().limits["l1"]
    assert coalesced_product().limiter in {"lsu", "l1"}
    # 16 fma beside 2 loads: the multiply-adds fill the issue slots.
    assert tiled_product().limiter in {"fma", "issue"}
    # 2048^3 / 32 warp instructions, four a clock: no faster than 67 TFLOP/s.
    assert tiled_product().limits["fma"] >= 2 * N**3 / 67e6


def test_warp_level_mma_is_slower_than_a_warpgroups_on_hopper_and_the_same_on_ampere() -> None:
    assert tensor_product(4096).limits["tensor"] == pytest.approx(tensor_product(32768).limits["tensor"] / 0.63)
    a100 = find_architecture("a100")
    assert tensor_product(4096, a100).limits["tensor"] == tensor_product(32768, a100).limits["tensor"]


def test_bank_conflicts_cost_their_extra_passes() -> None:
    clean = SharedTraffic(requests=1e7, wavefronts=1e7, ideal_wavefronts=1e7)
    conflicted = SharedTraffic(requests=1e7, wavefronts=3.2e8, ideal_wavefronts=1e7)
    few, many = (launch(1320, 256, {"lsu": 1e7}, shared_load=traffic) for traffic in (clean, conflicted))
    assert 32 * few.limits["shared"] == pytest.approx(many.limits["shared"])
    assert many.limiter == "shared"


def dram_of(footprint: float, requested: float) -> float:
    loads = Traffic(requests=requested / 128, sectors=requested / 32, bytes=requested)
    profile = launch(
        132 * 80, 256, {"lsu": 1.0}, global_load=loads, block_unique_load_bytes=requested, footprint_bytes=footprint
    )
    return profile.limits["dram"]


def test_what_fits_l2_comes_from_dram_once_and_what_does_not_comes_again() -> None:
    assert dram_of(40 * MIB, 40 * MIB) == dram_of(40 * MIB, 4000 * MIB)
    assert dram_of(400 * MIB, 400 * MIB) == pytest.approx(10 * dram_of(40 * MIB, 40 * MIB))
    assert 2 * dram_of(400 * MIB, 400 * MIB) < dram_of(400 * MIB, 40_000 * MIB)


def test_atomics_queue_at_one_address() -> None:
    spread = launch(1320, 256, {"lsu": 1e4}, atomic_lanes=3.2e5, atomic_serial=1e4, atomic_hottest=10.0)
    queued = launch(1320, 256, {"lsu": 1e4}, atomic_lanes=3.2e5, atomic_serial=3.2e5, atomic_hottest=3.2e5)
    assert queued.limiter == "atomics"
    assert queued.limits["atomics"] == pytest.approx(3.2e5 * 2 / 1980)
    assert spread.limits["atomics"] < queued.limits["atomics"] / 100


def test_spills_cost_loads_and_stores() -> None:
    spilling = Resources(registers=32, static_shared=0, spill_loads=400, spill_stores=400, stack=400)
    few, many = (launch(1320, 256, {"fma": 1e6}, resources=resources) for resources in (LEAN, spilling))
    for limit in ("issue", "lsu", "l1", "l2", "latency"):
        assert few.limits[limit] < many.limits[limit]


def test_a_call_is_the_sum_of_its_launches_and_memsets() -> None:
    counted = ModelledLaunch(count(132, 256, {"fma": 1e6}), LEAN, 0)
    cost = Cost(flops=1.0, bytes=1.0)
    one, two, with_fill = (
        model_workload("w", [counted] * launches, cost, H200, fills=fills).duration.us
        for launches, fills in ((1, ()), (2, ()), (1, (4.8e6 * 0.92,)))
    )
    assert 2 * one == pytest.approx(two)
    # The memset takes a launch and one microsecond at sustained bandwidth.
    assert one + H200.launch_us + 1.0 == pytest.approx(with_fill)


def test_time_is_never_below_the_bound_even_where_the_counters_say_so() -> None:
    nothing = (count(1, 32, {"control": 1.0}), LEAN, 0)
    profile = model_workload("w", [nothing], Cost(flops=0, bytes=4.8e9), H200)
    assert profile.bound.us == profile.duration.us == pytest.approx(1000)
    assert any("bound stands" in note for note in profile.notes)
    assert profile.fraction == 1.0


def test_a_modelled_time_says_so_and_claims_ten_percent() -> None:
    profile = model_workload("w", [(count(132, 256, {"fma": 1e9}), LEAN, 0)], Cost(1.0, 1.0), H200)
    time = profile.duration
    assert time.source is Source.MODELLED
    assert (pytest.approx(0.9 * time.us), pytest.approx(1.1 * time.us)) == (time.low_us, time.high_us)


def test_doubtful_figures_are_noted_once() -> None:
    spilling = Resources(registers=32, static_shared=0, spill_loads=4)
    counters = count(132, 256, {"lsu": 1e4}, atomic_lanes=32.0, global_load=Traffic(requests=1, sectors=4, bytes=128))
    notes = model_workload("w", [(counters, spilling, 0)] * 2, Cost(1.0, 1.0), H200).notes
    for word in ("spill", "L1", "atomic"):
        assert sum(word in note for note in notes) == 1
    assert model_workload("w", [(count(132, 256, {"fma": 1e4}), LEAN, 0)], Cost(1.0, 1.0), H200).notes == ()


@pytest.mark.parametrize(
    ("counters", "message"),
    [
        (count(1, 32, {"warp-drive": 1.0}), "warp-drive"),
        (count(1, 32, {"tensor": 1.0}, tensor_flops={"e2m1": 1.0}), "e2m1"),
    ],
)
def test_what_the_model_does_not_know_is_refused(counters: LaunchCounters, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model_launch(counters, LEAN, 0, H200)


def test_tensor_cores_a_gpu_lacks_are_refused() -> None:
    counters = count(1, 32, {"tensor": 1.0}, tensor_flops={"e4m3": 1.0})
    assert model_launch(counters, LEAN, 0, H200).duration.us > 0
    with pytest.raises(ValueError, match="a100 has no tensor cores for e4m3"):
        model_launch(counters, LEAN, 0, find_architecture("a100"))


def test_fp64_matrix_instructions_run_on_the_lanes_where_there_are_no_such_tensor_cores() -> None:
    ada = find_architecture("rtx4090")
    counters = count(128, 256, {"tensor": 1e6}, tensor_flops={"f64": 5.12e8})
    # 2 lanes x 2 FLOPs a clock, 128 multiprocessors, 2520 MHz, at 0.85 of the peak.
    assert pytest.approx(5.12e8 / 4 / 128 / 2520 / 0.85) == model_launch(counters, LEAN, 0, ada).limits["tensor"]


def test_a_block_asks_l2_for_no_more_than_there_is() -> None:
    # Ten requests for each sector of a 1 MiB table, by one block: nine of them find it in L1.
    loads = Traffic(requests=10 * 2**18, sectors=10 * 2**15, bytes=10 * 2.0**20)
    table = launch(1, 256, {"lsu": 1.0}, global_load=loads, footprint_bytes=2.0**20)
    unknown = launch(1, 256, {"lsu": 1.0}, global_load=loads)
    assert 10 * table.limits["l2"] == pytest.approx(unknown.limits["l2"])


def test_a_launch_that_does_not_fit_has_no_time() -> None:
    with pytest.raises(ValueError, match="does not fit h200"):
        model_launch(count(1, 1024, {"fma": 1.0}), Resources(registers=128, static_shared=0), 0, H200)


def test_every_limit_is_always_there() -> None:
    assert set(LIMITS) == set(launch(1, 32, {"fma": 1.0}).limits)


def test_overlap_lies_between_the_largest_and_the_sum() -> None:
    assert overlapped([10.0, 0.1], 4.0) == pytest.approx(10.0)
    assert overlapped([10.0, 10.0], 4.0) == pytest.approx(11.9, rel=0.01)
    assert overlapped([], 4.0) == overlapped([0.0, 0.0], 4.0) == 0.0
    assert math.isfinite(overlapped([1e300, 1e300], 4.0))


@pytest.mark.parametrize("gpu", ["a100", "h200"])
def test_scalar_half_precision_is_not_held_up_by_the_special_function_unit(gpu):
    """Per element: a fp16 value widened, one fused multiply-add, the sum rounded: HADD2.F32, FFMA, F2FP."""
    arch = find_architecture(gpu)
    warps = 2.0**20
    found = launch(arch.sms * 64, 256, {"half": warps, "fma": warps, "alu": warps}, arch=arch)
    # The ALU's 64 lanes are the narrowest: 32 x 2^20 / (64 x multiprocessors) clocks. 16 lanes of the SFU would take
    # two conversions eight times as long.
    clocks = 32 * warps / (64 * arch.sms)
    assert found.limits["alu"] == pytest.approx(clocks / arch.clock_mhz)
    assert found.limits["sfu"] == 0
    assert launch(arch.sms * 64, 256, {"sfu": 2 * warps}, arch=arch).limits["sfu"] == pytest.approx(
        8 * clocks / arch.clock_mhz
    )
