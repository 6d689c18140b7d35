"""Metrics, hot lines and the report, from counters whose answers are known."""

from __future__ import annotations

from typing import Any

import pytest

from warpsmith.core.arch import find_architecture
from warpsmith.core.artifact import Resources
from warpsmith.core.counters import (
    Branches,
    Distances,
    L2Traffic,
    LaunchCounters,
    LineCounters,
    SharedTraffic,
    Traffic,
)
from warpsmith.core.profile import LaunchProfile, Profile
from warpsmith.core.quantity import Source
from warpsmith.core.task import Cost
from warpsmith.profiler.metrics import hot_lines, metrics
from warpsmith.profiler.ncu_metrics import CUDAFORGE, OWN
from warpsmith.profiler.nsight import nsight_metrics
from warpsmith.profiler.nsight_page import TARGET, UNAVAILABLE, text
from warpsmith.profiler.report import render
from warpsmith.profiler.time_model import model_launch, model_workload

H200 = find_architecture("h200")
LEAN = Resources(registers=32, static_shared=1024)


def counters(**changes: Any) -> LaunchCounters:
    """Loads in every fourth sector used, shared memory with two-way conflicts, half of the lanes idle."""
    loads = Traffic(requests=1e6, sectors=16e6, bytes=128e6)
    facts: dict[str, Any] = {
        "source": Source.EMULATED,
        "kernel": "gather<BM>",
        "grid_blocks": 1320,
        "block_threads": 256,
        "blocks_counted": 16,
        "warp_instructions": {"fma": 3e6, "lsu": 1e6},
        "thread_instructions": 64e6,
        "global_load": loads,
        "shared_load": SharedTraffic(requests=1e5, wavefronts=2e5, ideal_wavefronts=1e5),
        "block_unique_load_bytes": 128e6,
        "footprint_bytes": 64e6,
        "lines": (
            LineCounters(line=3, warp_instructions=3e6, thread_instructions=48e6),
            LineCounters(line=2, warp_instructions=1e6, thread_instructions=16e6, global_load=loads),
        ),
    }
    return LaunchCounters(**facts | changes)


@pytest.mark.parametrize(
    ("name", "value", "unit", "source"),
    [
        ("sectors per load request", 16, "sectors", Source.EMULATED),
        ("load sector use", 25, "%", Source.EMULATED),
        ("shared bank conflict ratio", 2, "1", Source.EMULATED),
        ("active threads per warp", 16, "threads", Source.EMULATED),
        ("L1 hit rate, ideal", 75, "%", Source.EMULATED),
        ("loads over footprint", 8, "1", Source.EMULATED),
        ("arithmetic intensity", 3, "FLOP/B", Source.EMULATED),
        ("fma share of instructions", 75, "%", Source.EMULATED),
        ("occupancy", 100, "%", Source.MODELLED),
        ("waves", 1320 / 132 / 8, "1", Source.MODELLED),
    ],
)
def test_a_metric_has_its_value_unit_and_source(name: str, value: float, unit: str, source: Source) -> None:
    metric = metrics(model_launch(counters(), LEAN, 0, H200))[name]
    assert (pytest.approx(value), unit, source) == (metric.value, metric.unit, metric.source)


def test_what_a_launch_does_not_do_has_no_ratio() -> None:
    idle = counters(global_load=Traffic(), shared_load=SharedTraffic())
    found = metrics(model_launch(idle, LEAN, 0, H200))
    assert "sectors per load request" not in found
    assert "shared bank conflict ratio" not in found
    assert "same-address passes per atomic request" not in found


def test_no_resource_is_busier_than_the_time() -> None:
    found = metrics(model_launch(counters(), LEAN, 0, H200))
    assert all(0 <= metric.value <= 100 for name, metric in found.items() if name.endswith("busy"))
    assert max(metric.value for name, metric in found.items() if name.endswith("exposed") or "busy" in name) > 90


def test_the_line_that_loads_is_hotter_than_the_line_that_multiplies() -> None:
    profile = model_launch(counters(), LEAN, 0, H200)
    first, second = hot_lines(profile, 5)
    assert (first.line, second.line) == (2, 3)
    assert first.resource == profile.limiter
    assert (pytest.approx(profile.limits["issue"] * 3 / 4), "issue") == (second.us, second.resource)
    assert (first,) == hot_lines(profile, 1)


def shown(source: str = "") -> str:
    workload = model_workload("M16 N4096", [(counters(), LEAN, 0)], Cost(flops=1e6, bytes=64e6), H200)
    profile = Profile(candidate="ab" * 32, target="h200", source=Source.MODELLED, workloads=(workload,))
    return render(profile, source=source)


def test_a_report_says_how_far_from_the_bound_and_why() -> None:
    text = shown()
    assert text.startswith("h200, modelled times, candidate abababababab")
    assert "bound by" in text
    # 64 MB at 4.8 TB/s.
    assert "13.3" in text
    for fact in ("gather<BM>", "limited by", "occupancy  100 %", "sectors/load 16", "16 of 1320 blocks counted"):
        assert fact in text


def test_hot_lines_are_quoted_where_the_source_is_known() -> None:
    assert "| float v = table[row];" in shown("a\n  float v = table[row];\nc\n")
    assert "|" not in shown()


def test_a_report_has_no_exponents_and_fits_a_wide_terminal() -> None:
    assert all(len(line) <= 120 for line in shown().splitlines())
    assert "e+" not in shown()
    assert "e-" not in shown()


def emulated(**changes: Any) -> LaunchProfile:
    return model_launch(counters(**changes), LEAN, 0, H200)


def test_every_metric_of_cudaforges_judge_has_a_value_or_a_reason() -> None:
    l2 = L2Traffic(simulated=False, loads=4e6, load_hits=3e6, stores=1e6, dram_reads=1e6, dram_writes=1e6)
    found = nsight_metrics(emulated(l2=l2, branches=Branches(executed=8, divergent=2)), H200)
    assert set(CUDAFORGE) == (set(CUDAFORGE) & found.keys()) | UNAVAILABLE.keys()
    assert not found.keys() & UNAVAILABLE.keys()
    assert set(OWN) <= found.keys()


@pytest.mark.parametrize(
    ("name", "value", "source"),
    [
        ("l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_ld.ratio", 16, Source.EMULATED),
        ("l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum", 1e5, Source.EMULATED),
        ("smsp__sass_average_branch_targets_threads_uniform.pct", 75, Source.EMULATED),
        ("sm__inst_executed_pipe_fma.sum", 3e6, Source.EMULATED),
        ("lts__t_sectors_op_read_lookup_miss.sum", 1e6, Source.MODELLED),
        ("lts__t_sector_hit_rate.pct", 80, Source.MODELLED),
        ("dram__bytes_read.sum", 32e6, Source.MODELLED),
        # 32 warps per block of 256 threads: 8 blocks of 8 warps fill the 64 that an SM holds.
        ("launch__occupancy_limit_warps", 8, Source.EMULATED),
        ("launch__occupancy_limit_registers", 8, Source.EMULATED),
        ("launch__registers_per_thread", 32, Source.EMULATED),
    ],
)
def test_a_metric_under_nsights_name(name: str, value: float, source: Source) -> None:
    l2 = L2Traffic(simulated=False, loads=4e6, load_hits=3e6, stores=1e6, dram_reads=1e6, dram_writes=1e6)
    metric = nsight_metrics(emulated(l2=l2, branches=Branches(executed=8, divergent=2)), H200)[name]
    assert (pytest.approx(value), source) == (metric.value, metric.source)


def test_what_was_not_modelled_has_no_metric() -> None:
    assert "dram__bytes_read.sum" not in nsight_metrics(emulated(), H200)
    assert "dram__bytes_read.sum" in nsight_metrics(emulated(l2=L2Traffic(simulated=True)), H200)


def test_the_page_of_metrics_is_the_tables() -> None:
    assert text() == TARGET.read_text(encoding="utf-8")


def test_sampling_widens_the_interval_and_the_report_says_by_how_much() -> None:
    loads = ("global_load.requests", "global_load.sectors", "block_unique_load_bytes")
    names = ("warp_instructions", "warp_instructions.fma", *loads)
    whole, sampled = emulated(), emulated(sampling_errors=dict.fromkeys(names, 0.03))
    assert (0, whole.duration.us) == (whole.sampling_error, sampled.duration.us)
    # Two standard errors of 3 %, of which launch overhead has none.
    assert 0.02 < sampled.sampling_error < 0.06
    assert sampled.duration.low_us < whole.duration.low_us < whole.duration.high_us < sampled.duration.high_us
    workload = model_workload("w", [(sampled.counters, LEAN, 0)], Cost(flops=1e6, bytes=64e6), H200)
    assert workload.sampling_error == pytest.approx(sampled.sampling_error)
    profile = Profile(candidate="ab" * 32, target="h200", source=Source.MODELLED, workloads=(workload,))
    assert "% from sampling" in render(profile)
    assert "from sampling" not in shown()


def test_a_line_shows_what_it_moves_and_wastes() -> None:
    line = LineCounters(
        line=2,
        warp_instructions=1e6,
        thread_instructions=32e6,
        active_instructions=8e6,
        global_load=Traffic(requests=1e6, sectors=16e6, bytes=128e6, dram_sectors=2e6),
        atomics=320.0,
        atomic_serial=160.0,
        branches=Branches(executed=100, divergent=25),
        distances=Distances(results=10, total=40),
    )
    workload = model_workload("w", [(counters(lines=(line,)), LEAN, 0)], Cost(flops=1e6, bytes=64e6), H200)
    profile = Profile(candidate="ab" * 32, target="h200", source=Source.MODELLED, workloads=(workload,))
    page = render(profile)
    for fact in ("64MB DRAM", "320 atomic lanes in 160 passes", "25 % of branches divergent", "75 % of threads"):
        assert fact in page
    assert "used 4 instructions on" in page
