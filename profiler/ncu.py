"""Nsight Compute: what to run, and what its answers mean.

The format of the answers is Nsight Compute 2025's, from its CLI documentation ("Command Line Options", "Print Units",
"Pages"): a CSV whose first row names columns, whose second gives units, and then one row a kernel launch.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from enum import StrEnum
from io import StringIO
from pathlib import Path

from warpsmith.core.record import Record
from warpsmith.profiler.ncu_metrics import Resolved

MOST_LAUNCHES = 64
"""Kernel launches that one collection looks at; each is replayed once a pass."""

PERMISSION_REMEDY = (
    "Counters are for administrators only on this machine. Run as root or with CAP_SYS_ADMIN (a container: "
    "--cap-add=SYS_ADMIN; CAP_PERFMON is enough from driver 565 on), or let every user read them: put "
    "`options nvidia NVreg_RestrictProfilingToAdminUsers=0` into /etc/modprobe.d/ and restart. Until then kernels are "
    "timed by events alone."
)


class Rung(StrEnum):
    """How much a profile rests on; each profile names its own."""

    COUNTERS = "nsight compute"
    """Hardware counters, and times by events."""
    EVENTS = "events"
    """Times alone: counters were not to be had, and the report says why."""


class CountedMetric(Record):
    """One metric of one launch."""

    name: str
    """As it was wanted."""
    value: float | None = None
    unit: str = ""
    collected_as: str = ""
    """Its name on this chip, where it was collected."""
    reason: str = ""
    """Why there is no value, or that it is a stand-in's."""


class LaunchMetrics(Record):
    """All wanted metrics of one kernel launch, those without a value included."""

    kernel: str
    grid: str
    block: str
    metrics: tuple[CountedMetric, ...]


class CounterReport(Record):
    """What Nsight Compute said, or why it said nothing."""

    rung: Rung
    launches: tuple[LaunchMetrics, ...] = ()
    reason: str = ""
    """Why the rung is not the highest."""
    remedy: str = ""


class NoCounters(Exception):  # noqa: N818 - an answer, not an error of ours
    """ncu gave no counters."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy

    def report(self) -> CounterReport:
        return CounterReport(rung=Rung.EVENTS, reason=self.reason, remedy=self.remedy)


def query_command(ncu: str) -> list[str]:
    """List the base names of the counters this machine's GPU offers."""
    return [ncu, "--query-metrics", "--csv"]


def collect_command(
    ncu: str, metrics: Sequence[Resolved], log: Path, program: Sequence[str], *, launches: int = MOST_LAUNCHES
) -> list[str]:
    """Profile what `program` launches.

    Clocks are left as they are (`--clock-control none`): another user's work may share the machine, and the times
    beside these counters were taken so. Caches are flushed between passes, as they are between timed samples.
    """
    names = dict.fromkeys(item.collected_as for item in metrics if item.collected_as)
    return [
        ncu,
        *("--csv", "--page", "raw", "--print-units", "base", "--kernel-name-base", "function"),
        *("--clock-control", "none", "--cache-control", "all", "--replay-mode", "kernel"),
        *("--target-processes", "all", "--launch-count", str(launches)),
        *("--metrics", ",".join(names), "--log-file", str(log)),
        *program,
    ]


def parse_query(text: str) -> frozenset[str]:
    """Base names in the answer to `query_command`, whether as CSV or as a table."""
    return frozenset(re.findall(r'^\s*"?([a-z0-9]+__[a-z0-9_]+)', text, re.MULTILINE))


def parse_chip(text: str) -> str:
    """The chip that a query's answer is about: `GH100`; empty where it does not say."""
    found = re.search(r"^Device\s+(?:.*\()?([A-Za-z]{2}\d{2,3}\w*)\)?\s*$", text, re.MULTILINE)
    return found.group(1).upper() if found else ""


def parse_raw(text: str, wanted: Sequence[Resolved]) -> tuple[LaunchMetrics, ...]:
    """Read the raw page of a log.

    Raises:
        NoCounters: the log holds no launches; its own error says why.
    """
    refusal = explain(text)
    rows = list(csv.reader(StringIO("\n".join(line for line in text.splitlines() if line.startswith('"')))))
    if refusal is not None and len(rows) < 3:
        raise refusal
    if len(rows) < 3:
        raise NoCounters("ncu profiled no kernel launch")
    names, units, *launches = rows
    return tuple(
        _launch(dict(zip(names, row, strict=False)), dict(zip(names, units, strict=False)), wanted) for row in launches
    )


def explain(text: str) -> NoCounters | None:
    """What an error in ncu's output means; None where it has none."""
    if "ERR_NVGPUCTRPERM" in text:
        return NoCounters("the driver refuses performance counters (ERR_NVGPUCTRPERM)", PERMISSION_REMEDY)
    errors = re.findall(r"^==ERROR==\s*(.*\S)", text, re.MULTILINE)
    if any("LibraryNotLoaded" in error or "Failed to initialize the profiler" in error for error in errors):
        return NoCounters(f"ncu cannot start its profiler here: {errors[0]}", "Virtual machines may hide the counters.")
    if errors:
        return NoCounters(f"ncu says: {errors[0]}")
    return None


def _launch(row: dict[str, str], units: dict[str, str], wanted: Sequence[Resolved]) -> LaunchMetrics:
    return LaunchMetrics(
        kernel=row.get("Kernel Name", ""),
        grid=row.get("Grid Size", ""),
        block=row.get("Block Size", ""),
        metrics=tuple(_metric(item, row, units) for item in wanted),
    )


def _metric(item: Resolved, row: dict[str, str], units: dict[str, str]) -> CountedMetric:
    if not item.collected_as:
        return CountedMetric(name=item.wanted, reason=item.reason)
    text = row.get(item.collected_as)
    value = _number(text)
    if value is None:
        reason = "ncu has no column for it" if text is None else f"ncu answered {text!r}"
        return CountedMetric(name=item.wanted, collected_as=item.collected_as, reason=reason)
    return CountedMetric(
        name=item.wanted,
        value=value,
        unit=units.get(item.collected_as, ""),
        collected_as=item.collected_as,
        reason=item.reason,
    )


def _number(text: str | None) -> float | None:
    """A finite number, thousands separated or not; None for `n/a`, `nan` and the like."""
    if text is None or not re.fullmatch(r"[-+]?[\d,]*\.?\d+(?:[eE][-+]?\d+)?", text.strip()):
        return None
    return float(text.replace(",", ""))
