"""compute-sanitizer's findings become Outcomes.

No GPU was at hand: the reports are written after the forms its documentation shows.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith.core.outcome import BarrierMisuse, Crashed, Failure, OutOfBounds, Racy, Uninitialised
from warpsmith.sandbox.device.sanitizer import Tool, command, parse

OUT_OF_BOUNDS = """\
========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 4 bytes
=========     at gemm(float *, int)+0x90 in candidate.cu:12
=========     by thread (3,0,0) in block (7,0,0)
=========     Address 0x7f0000000400 is out of bounds
=========     and is 1 bytes after the nearest allocation at 0x7f0000000000 of size 1,024 bytes
=========
========= ERROR SUMMARY: 1 error
"""
MISALIGNED = """\
========= COMPUTE-SANITIZER
========= Invalid __global__ read of size 16 bytes
=========     at gemm(float *, int)+0x20 in candidate.cu:9
=========     by thread (0,0,0) in block (0,0,0)
=========     Address 0x7f0000000404 is misaligned
=========
========= ERROR SUMMARY: 1 error
"""
RACE = """\
========= COMPUTE-SANITIZER
========= Error: Race reported between Write access at reduce(float *)+0x80 in candidate.cu:21
=========     and Read access at reduce(float *)+0xa0 in candidate.cu:23 [124 hazards]
=========
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""
UNINITIALISED = """\
========= COMPUTE-SANITIZER
========= Uninitialized __global__ memory read of size 4 bytes
=========     at sum(float *)+0x70 in sdk/cuda_fp16.hpp:40
=========     by thread (0,0,0) in block (0,0,0)
=========     Address 0x7f0000000000
=========
========= ERROR SUMMARY: 32 errors
"""
BARRIER = """\
========= COMPUTE-SANITIZER
========= Barrier error detected. Divergent thread(s) in warp.
=========     at scan(int *)+0xb0 in candidate.cu:30
=========     by thread (1,0,0) in block (0,0,0)
=========
========= ERROR SUMMARY: 1 error
"""
CLEAN = "========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n"
WARNED = """\
========= COMPUTE-SANITIZER
========= Warning: Race reported between Write access at k()+0x80 in candidate.cu:21
=========     and Read access at k()+0xa0 in candidate.cu:23 [4 hazards]
=========
========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)
"""


@pytest.mark.parametrize(
    ("tool", "text", "kind", "line"),
    [
        (Tool.MEMCHECK, OUT_OF_BOUNDS, OutOfBounds, 12),
        (Tool.MEMCHECK, MISALIGNED, Crashed, 9),
        (Tool.RACECHECK, RACE, Racy, 21),
        (Tool.INITCHECK, UNINITIALISED, Uninitialised, None),
        (Tool.SYNCCHECK, BARRIER, BarrierMisuse, 30),
    ],
)
def test_a_finding_is_the_candidates_failure_at_its_line(
    tool: Tool, text: str, kind: type[Failure], line: int | None
) -> None:
    found = parse(tool, text)
    assert (True, kind, line) == (found.ran, type(found.failure), getattr(found.failure, "line", 0))
    assert found.failure is not None
    assert found.failure.message.startswith(f"compute-sanitizer's {tool.value}: ")


def test_the_message_names_the_thread() -> None:
    failure = parse(Tool.MEMCHECK, OUT_OF_BOUNDS).failure
    assert failure is not None
    assert "Invalid __global__ write of size 4 bytes, by thread (3,0,0) in block (7,0,0)." in failure.message


@pytest.mark.parametrize("tool", list(Tool))
def test_no_finding_passes(tool: Tool) -> None:
    found = parse(tool, CLEAN)
    assert (True, None, "") == (found.ran, found.failure, found.reason)


def test_a_warning_of_racecheck_is_no_race() -> None:
    assert parse(Tool.RACECHECK, WARNED).failure is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "========= Device not supported. Please refer to the documentation\n========= ERROR SUMMARY: 0 errors\n",
            "Device",
        ),
        ("", "before its summary"),
        ("========= Something new\n========= ERROR SUMMARY: 2 errors\n", "2 findings of a kind"),
    ],
)
def test_a_checker_that_did_not_work_proves_nothing(text: str, reason: str) -> None:
    found = parse(Tool.MEMCHECK, text)
    assert (False, None) == (found.ran, found.failure)
    assert reason in found.reason


def test_the_program_and_its_children_run_under_one_tool() -> None:
    words = command("compute-sanitizer", Tool.RACECHECK, Path("log"), ["python3", "x.py"])
    assert ["--tool", "racecheck", "--target-processes", "all"] == words[1:5]
    assert ["python3", "x.py"] == words[-2:]
