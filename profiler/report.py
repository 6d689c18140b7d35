"""A profile as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from warpsmith.core.profile import LaunchProfile, Profile, WorkloadProfile
from warpsmith.profiler.metrics import HotLine, hot_lines, metrics
from warpsmith.profiler.traffic import SECTOR

WIDTH = 110
"""Columns, as far as lines break."""
NO_BREAK = "\N{NO-BREAK SPACE}"

SHOWN = (
    ("sectors per load request", "sectors/load"),
    ("sectors per store request", "sectors/store"),
    ("load sector use", "load bytes used"),
    ("shared bank conflict ratio", "bank conflicts"),
    ("active threads per warp", "active threads/warp"),
    ("loads in flight per warp", "loads in flight"),
    ("L1 hit rate, ideal", "L1 hits"),
    ("L2 hit rate", "L2 hits"),
    ("branch efficiency", "branch efficiency"),
    ("same-address passes per atomic request", "passes/atomic"),
    ("instructions from global to use", "load to use"),
    ("loads over footprint", "loads/footprint"),
    ("arithmetic intensity", "intensity"),
)
"""Metrics that every launch shows, with a short name."""


def render(profile: Profile, *, source: str = "", lines: int = 5) -> str:
    """Lay a profile out: a table of workloads, then each launch with its limits, occupancy and hot lines.

    Args:
        profile: what to show.
        source: the kernel file's text; where given, hot lines are quoted.
        lines: hot lines per launch.
    """
    quoted = source.splitlines()
    parts = [f"{profile.target}, {profile.source.value} times, candidate {profile.candidate[:12]}", ""]
    parts += _overview(profile.workloads)
    for workload in profile.workloads:
        parts += ["", *_workload(workload, quoted, lines)]
    return "\n".join(parts)


def _overview(workloads: Sequence[WorkloadProfile]) -> Iterator[str]:
    rows = [("workload", "time us", "bound us", "of bound", "bound by", "limited by")]
    for item in workloads:
        slowest = max(item.launches, key=lambda launch: launch.duration.us, default=None)
        limiter = slowest.limiter if slowest else "launch"
        times = _number(item.duration.us), _number(item.bound.us), f"{100 * item.fraction:.1f} %"
        rows.append((item.workload, *times, item.bound.limit, limiter))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if 1 <= column <= 3 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _workload(workload: WorkloadProfile, quoted: Sequence[str], lines: int) -> Iterator[str]:
    yield f"{workload.workload}: {_span(workload)}"
    for launch in workload.launches:
        yield from (f"  {text}" for text in _launch(launch, quoted, lines))
    yield from (f"  note: {note}" for note in workload.notes)


def _launch(launch: LaunchProfile, quoted: Sequence[str], lines: int) -> Iterator[str]:
    counters, fits, resources = launch.counters, launch.occupancy, launch.resources
    yield (
        f"{launch.kernel}  {_number(launch.duration.us)} us, limited by {launch.limiter};"
        f" {counters.grid_blocks} blocks of {counters.block_threads} threads"
    )
    limits = sorted(launch.limits.items(), key=lambda item: item[1], reverse=True)
    yield from _facts("  limits us  ", [f"{name} {_number(us)}" for name, us in limits if us >= 0.001])
    yield (
        f"  occupancy  {100 * fits.fraction:.0f} % ({fits.blocks_per_sm} blocks, {fits.warps_per_sm} of"
        f" {fits.max_warps} warps per SM; {fits.limiter}), {_number(launch.waves)} waves"
    )
    spilled = resources.spill_loads + resources.spill_stores
    yield (
        f"  resources  {resources.registers} registers, {resources.static_shared} B static shared"
        + (f", {spilled} B spilled per thread" if spilled else "")
    )
    found = metrics(launch)
    shown = [f"{short} {_number(found[name].value)}{_unit(found[name].unit)}" for name, short in SHOWN if name in found]
    yield from _facts("  counters   ", [*shown, f"({counters.source.value})"])
    for hot in hot_lines(launch, lines):
        yield f"  line {_hot_line(hot, quoted)}"


def _facts(heading: str, facts: Sequence[str]) -> list[str]:
    """Facts side by side, broken between them, aligned under the first."""
    # A no-break space keeps a fact's name and number on one line.
    text = "  ".join(fact.replace(" ", NO_BREAK) for fact in facts)
    rows = textwrap.wrap(text, WIDTH, initial_indent=heading, subsequent_indent=" " * len(heading))
    return [row.replace(NO_BREAK, " ") for row in rows]


def _hot_line(hot: HotLine, quoted: Sequence[str]) -> str:
    counters = hot.counters
    facts = [f"{_number(hot.us)} us {hot.resource}", f"{_count(counters.warp_instructions)} instructions"]
    for name, traffic in (
        ("load", counters.global_load),
        ("store", counters.global_store),
        ("local access", counters.local),
    ):
        if traffic.requests:
            facts.append(f"{_number(traffic.sectors_per_request)} sectors/{name}")
    moved = sum(kind.dram_sectors for kind in (counters.global_load, counters.global_store, counters.global_atomic))
    if moved:
        facts.append(f"{_count(moved * SECTOR)}B DRAM")
    if counters.shared.requests:
        facts.append(f"{_number(counters.shared.wavefronts / counters.shared.requests)} wavefronts/request")
    if counters.atomics:
        facts.append(f"{_count(counters.atomics)} atomic lanes in {_count(counters.atomic_serial)} passes")
    if counters.branches.divergent:
        facts.append(f"{100 * (1 - counters.branches.efficiency):.0f} % of branches divergent")
    if counters.active_instructions and counters.active_instructions < counters.thread_instructions:
        off = 1 - counters.active_instructions / counters.thread_instructions
        facts.append(f"{100 * off:.0f} % of threads predicated off")
    if counters.global_load.requests and counters.distances.results:
        facts.append(f"used {_number(counters.distances.mean)} instructions on")
    text = quoted[hot.line - 1].strip() if 1 <= hot.line <= len(quoted) else ""
    place = str(hot.line) if hot.line else "?"
    return f"{place:>5}  {', '.join(facts)}" + (f"  | {text}" if text else "")


def _span(workload: WorkloadProfile) -> str:
    duration = workload.duration
    text = f"{_number(duration.us)} us {duration.source.value}"
    if duration.low_us is None or duration.high_us is None:
        return text
    text = f"{text}, {_number(duration.low_us)} to {_number(duration.high_us)}"
    if workload.sampling_error:
        text += f" (\N{PLUS-MINUS SIGN} {100 * workload.sampling_error:.2g} % from sampling)"
    return text


def _unit(unit: str) -> str:
    return "" if unit == "1" or unit in {"sectors", "threads"} else f" {unit}"


def _number(value: float) -> str:
    """Three significant digits without an exponent: 0.0123, 1.23, 12.3, 1230."""
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if value >= 1e-3 else "<0.001"


def _count(value: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}"
