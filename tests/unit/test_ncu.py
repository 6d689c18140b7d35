"""What Nsight Compute is asked, and what its answers mean.

No GPU was at hand: the samples are written after the format its documentation describes, and say nothing measured.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from warpsmith.profiler.ncu import (
    PERMISSION_REMEDY,
    NoCounters,
    Rung,
    collect_command,
    parse_chip,
    parse_query,
    parse_raw,
)
from warpsmith.profiler.ncu_metrics import CUDAFORGE, OWN, Resolved, base, resolve

QUERY = """\
Device NVIDIA H200 (GH100)
"Metric Name","Metric Type","Metric Unit","Metric Description"
"dram__bytes","Counter","byte","# of bytes accessed in DRAM"
"dram__bytes_read","Counter","byte","# of bytes read from DRAM"
"sm__inst_executed_pipe_fma","Counter","inst","# of warp instructions executed by fma pipe"
"sm__warps_active","Counter","warp","cumulative # of warps in flight"
"""
TABLE = """\
Device NVIDIA H200 (GH100)
---------------------------- --------- ---------- ------------------------------
Metric Name                  Type      Unit       Description
---------------------------- --------- ---------- ------------------------------
dram__bytes                  Counter   byte       # of bytes accessed in DRAM
dram__bytes_read             Counter   byte       # of bytes read from DRAM
"""
RAW = """\
==PROF== Connected to process 71 (/usr/bin/python3.12)
==PROF== Profiling "gemm" - 0: 0%....50%....100% - 9 passes
"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size","Grid Size","Device","CC",\
"dram__bytes_read.sum","launch__registers_per_thread","sm__warps_active.avg.pct_of_peak_sustained_active"
"","","","","","","","","","","","byte","register/thread","%"
"0","71","python3.12","127.0.0.1","gemm","1","7","(128, 1, 1)","(96, 1, 1)","0","9.0","25,165,824","64","n/a"
"1","71","python3.12","127.0.0.1","reduce","1","7","(256, 1, 1)","(48, 1, 1)","0","9.0","1024","32","71.25"
"""
REFUSED = """\
==PROF== Connected to process 71 (/usr/bin/python3.12)
==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU Performance Counters.
"""

ASKED = (
    "dram__bytes_read.sum",
    "launch__registers_per_thread",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
)
WANTED = resolve(parse_query(QUERY), "GH100", ASKED)


def test_cudaforges_metrics_are_twenty_four_different_ones() -> None:
    assert (24, 24) == (len(CUDAFORGE), len(set(CUDAFORGE)))
    assert set() == set(CUDAFORGE) & set(OWN)


def test_every_wanted_metric_is_collected_or_named_with_a_reason() -> None:
    found = resolve(parse_query(QUERY), "GH100")
    assert [*CUDAFORGE, *OWN] == [item.wanted for item in found]
    assert all(item.collected_as == item.wanted or item.reason for item in found)


def test_a_metric_that_is_offered_is_asked_for_by_its_own_name() -> None:
    (found,) = resolve(frozenset({"dram__bytes_read"}), "GH100", ("dram__bytes_read.sum",))
    assert ("dram__bytes_read.sum", "") == (found.collected_as, found.reason)


def test_a_stand_in_says_what_it_counts() -> None:
    (found,) = resolve(parse_query(QUERY), "GH100", ("sm__inst_executed_pipe_fp32.avg.pct_of_peak_sustained_active",))
    assert "sm__inst_executed_pipe_fma.avg.pct_of_peak_sustained_active" == found.collected_as
    assert "GH100 counts sm__inst_executed_pipe_fma in its place" == found.reason


def test_the_stall_of_nvprofs_days_is_named_unavailable_with_todays_name() -> None:
    (found,) = resolve(frozenset(), "GH100", ("smsp__warp_issue_stalled_memory_dependency_per_warp_active.pct",))
    assert ("", True) == (found.collected_as, "long_scoreboard" in found.reason)


def test_what_the_driver_knows_of_a_launch_needs_no_counter() -> None:
    (found,) = resolve(frozenset(), "GH100", ("launch__registers_per_thread",))
    assert found.wanted == found.collected_as


def test_a_missing_metric_without_a_reason_is_no_record() -> None:
    with pytest.raises(ValidationError, match="does not say why"):
        Resolved(wanted="dram__bytes.sum")


@pytest.mark.parametrize("text", [QUERY, TABLE])
def test_base_names_and_chip_are_read_from_either_form(text: str) -> None:
    assert {"dram__bytes", "dram__bytes_read"} <= parse_query(text)
    assert "GH100" == parse_chip(text)
    assert "dram__bytes_read" == base("dram__bytes_read.sum")


def test_the_command_leaves_clocks_alone_and_names_each_metric_once() -> None:
    command = collect_command("ncu", [*WANTED, *WANTED], Path("log"), ["python3", "-m", "x"])
    assert "none" == command[command.index("--clock-control") + 1]
    assert 3 == len(command[command.index("--metrics") + 1].split(","))
    assert ["python3", "-m", "x"] == command[-3:]


def test_a_launchs_values_units_and_gaps_are_read() -> None:
    gemm, reduce = parse_raw(RAW, [*WANTED, Resolved(wanted="l2", reason="GH100 does not offer it")])
    assert ("gemm", "(96, 1, 1)", "(128, 1, 1)") == (gemm.kernel, gemm.grid, gemm.block)
    read, registers, warps, missing = gemm.metrics
    assert (25165824.0, "byte") == (read.value, read.unit)
    assert (64.0, "register/thread") == (registers.value, registers.unit)
    assert (None, "ncu answered 'n/a'") == (warps.value, warps.reason)
    assert (None, "GH100 does not offer it") == (missing.value, missing.reason)
    assert 71.25 == reduce.metrics[2].value


def test_a_refusal_by_the_driver_is_explained_with_the_remedy() -> None:
    with pytest.raises(NoCounters, match="ERR_NVGPUCTRPERM") as refused:
        parse_raw(REFUSED, WANTED)
    report = refused.value.report()
    assert (Rung.EVENTS, PERMISSION_REMEDY) == (report.rung, report.remedy)
    assert "NVreg_RestrictProfilingToAdminUsers=0" in report.remedy


def test_a_virtual_machine_without_counters_is_named() -> None:
    with pytest.raises(NoCounters, match="LibraryNotLoaded"):
        parse_raw("==ERROR== Failed to initialize the profiler: LibraryNotLoaded\n", WANTED)


def test_a_log_without_launches_is_no_profile() -> None:
    with pytest.raises(NoCounters, match="no kernel launch"):
        parse_raw("==WARNING== No kernels were profiled.\n", WANTED)
