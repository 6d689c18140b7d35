"""One emulated run as text for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from warpsmith.core.counters import LaunchCounters
    from warpsmith.core.emulation import (
        Emulation,
        Excerpt,
        ExpectationReport,
        FaultReport,
        LaunchReport,
        TensorReport,
        TraceStep,
        TraceValue,
    )

MOST_PRINTED = 100
"""Lines of `printf` shown; all are in the JSON."""


def show(found: Emulation, out: Console) -> None:
    """Print a run: trace, launches, outputs, and what came of it."""
    for line in _lines(found):
        out.print(line, markup=False)
    colour = "green" if found.passed else "red"
    where = f" at line {found.line}" if found.line else ""
    out.print(f"[{colour}]{found.outcome}[/]{where}", end="" if found.message else "\n")
    if found.message:
        out.print(f": {found.message}", markup=False)
    for detail in found.details if found.fault is None else ():
        out.print(f"  {detail}", markup=False)


def _lines(found: Emulation) -> Iterator[str]:
    yield _title(found)
    yield from _trace(found.trace)
    for number, launch in enumerate(found.launches, 1):
        yield from _launch(number, launch, checks=found.checks)
    if found.fault is not None:
        yield from _fault(found.fault)
    for tensor in found.outputs:
        yield from _tensor(tensor)
    if found.check is not None:
        yield (
            f"compared with the task's reference in float64: relative L2 error {found.check.relative_l2:.3g}, "
            f"largest {found.check.largest:.3g} of the output's RMS; {found.check.error:.0%} of what is allowed"
        )
    for item in found.expectations:
        yield _expectation(item)
    for note in found.notes:
        yield f"note: {note}"


def _title(found: Emulation) -> str:
    dims = ", ".join(f"{name}={value}" for name, value in found.dims.items())
    workload = f", workload '{found.workload}'" if found.workload and found.workload.replace(" ", "") != dims else ""
    sizes = f" ({dims})" if dims else ""
    task = f": {found.task}" if found.task else ""
    checked = "checked" if found.checks else "unchecked but for bounds, alignment and barriers"
    return f"{found.file}{task}{workload}{sizes} on {found.target}, emulated, {checked}, seed {found.seed}"


# -- launches -----------------------------------------------------------------------------------------------------


def _launch(number: int, launch: LaunchReport, *, checks: bool) -> Iterator[str]:
    rate = launch.thread_instructions / launch.seconds / 1e6 if launch.seconds else 0.0
    yield (
        f"launch {number}: {launch.kernel}, grid {_index(launch.grid)}, block {_index(launch.block)}, "
        f"{launch.shared} bytes of shared memory"
    )
    yield (
        f"  {launch.blocks_run} blocks, {launch.warp_instructions:,} warp instructions, "
        f"{launch.thread_instructions:,} thread instructions in {launch.seconds * 1e3:.2f} ms "
        f"({rate:,.0f} M/s on this machine{', with checks' if checks else ''})"
    )
    if launch.counters is not None:
        yield from _counters(launch.counters)
    for text in launch.printed[:MOST_PRINTED]:
        yield from (f"  printf: {_harmless(line)}" for line in text.rstrip("\n").split("\n"))
    if len(launch.printed) > MOST_PRINTED:
        yield f"  printf: {len(launch.printed) - MOST_PRINTED} more lines; --json has them"


def _harmless(line: str) -> str:
    """What a kernel printed, without characters that would command the terminal."""
    return "".join(item if item.isprintable() or item == "\t" else "?" for item in line)


def _counters(counters: LaunchCounters) -> Iterator[str]:
    issued = counters.issued or 1.0
    shares = sorted(counters.warp_instructions.items(), key=lambda item: -item[1])
    yield "  pipes: " + ", ".join(f"{name} {count / issued:.0%}" for name, count in shares if count)
    for name, traffic in (
        ("global loads", counters.global_load),
        ("global stores", counters.global_store),
        ("global atomics", counters.global_atomic),
        ("local", counters.local),
    ):
        if traffic.requests:
            yield (
                f"  {name}: {traffic.requests:,.0f} requests, {traffic.sectors:,.0f} sectors "
                f"({traffic.sectors_per_request:.2f} a request), {traffic.bytes:,.0f} bytes asked for"
            )
    if counters.global_load.sectors:
        hit = 1 - counters.global_load.l1_misses / counters.global_load.sectors
        yield f"  L1: {hit:.1%} of loaded sectors hit (what a block loads stays in L1)"
    if counters.l2 is not None:
        yield (
            f"  L2: {counters.l2.hit_rate:.1%} of sectors hit; {counters.l2.dram_reads:,.0f} sectors come from DRAM, "
            f"{counters.l2.dram_writes:,.0f} go there (model of an L2 that is empty at first)"
        )
    for name, shared in (
        ("shared loads", counters.shared_load),
        ("shared stores", counters.shared_store),
        ("shared atomics", counters.shared_atomic),
    ):
        if shared.requests:
            conflicts = shared.wavefronts - shared.ideal_wavefronts
            yield (
                f"  {name}: {shared.requests:,.0f} requests, {shared.wavefronts:,.0f} wavefronts, "
                f"{conflicts:,.0f} of them by bank conflicts"
            )
    if counters.atomic_lanes:
        yield f"  atomics: {counters.atomic_lanes:,.0f} lanes, {counters.atomic_serial:,.0f} same-address passes"
    if counters.branches.executed:
        yield (
            f"  branches: {counters.branches.executed:,.0f} by warps, {counters.branches.divergent:,.0f} of them "
            f"divergent; efficiency {counters.branches.efficiency:.1%}"
        )
    if counters.issued:
        yield (
            f"  active lanes: {counters.thread_instructions / counters.issued:.1f} of 32 a warp instruction, "
            f"{counters.active_instructions / counters.issued:.1f} with their guard holding"
        )


# -- faults -------------------------------------------------------------------------------------------------------


def _fault(fault: FaultReport) -> Iterator[str]:
    yield f"fault: {fault.kind.replace('_', ' ')} in {fault.kernel}"
    yield from _quoted(fault.source if fault.source.line else fault.ptx, fault.source.line == 0)
    if fault.source.line:
        yield f"  PTX line {fault.ptx.line}: {fault.ptx.text.strip()}"
    yield f"  thread {_index(fault.thread)} of block {_index(fault.block)}: warp {fault.warp}, lane {fault.lane}"
    if fault.space:
        yield f"  {_access(fault)}"
    if fault.other is not None:
        yield f"  the other access: thread {_index(fault.other_thread or (0, 0, 0))}"
        yield from _quoted(fault.other, ptx=False)


def _access(fault: FaultReport) -> str:
    place = (
        f"address {fault.address:#x}" if fault.space == "global" else f"byte {fault.address} of {fault.space} memory"
    )
    said = f"{fault.size} bytes at {place}"
    if fault.space != "global":
        return said + (f": {fault.distance} bytes past the end of it" if fault.distance > 0 else "")
    if not fault.allocation:
        return f"{said}: in no tensor or buffer"
    size = "" if fault.allocation_bytes is None else f" ({fault.allocation_bytes} bytes)"
    if fault.distance > 0:
        return f"{said}: {fault.distance} bytes past the end of `{fault.allocation}`{size}"
    if fault.distance < 0:
        return f"{said}: {-fault.distance} bytes before the start of `{fault.allocation}`{size}"
    element = "" if fault.element is None else f", element [{', '.join(str(i) for i in fault.element)}]"
    return f"{said}: byte {fault.offset} of `{fault.allocation}`{size}{element}"


def _quoted(place: Excerpt, ptx: bool) -> Iterator[str]:
    if not place.line:
        return
    label = f"{'PTX ' if ptx else ''}{place.line}"
    yield f"  {label} | {place.text.expandtabs(4)}".rstrip()
    if place.column and place.text:
        before = len(place.text[: place.column - 1].expandtabs(4))
        yield f"  {' ' * len(label)} | {' ' * before}^"


# -- values -------------------------------------------------------------------------------------------------------


def _tensor(tensor: TensorReport) -> Iterator[str]:
    shape = " x ".join(str(extent) for extent in tensor.shape) or "scalar"
    span = "empty" if tensor.smallest is None else f"{tensor.smallest:.6g} to {tensor.largest:.6g}"
    odd = f", {tensor.not_finite} NaN or infinite" if tensor.not_finite else ""
    yield f"output {tensor.name}: {tensor.dtype} {shape}, {span}{odd}"
    if tensor.file:
        yield f"  written to {tensor.file}"
    for start in range(0, len(tensor.first), 8):
        yield "  " + " ".join(f"{value:>12.6g}" for value in tensor.first[start : start + 8])


def _expectation(item: ExpectationReport) -> str:
    verdict = "as expected" if item.passed else "NOT as expected"
    allowed = f"at most {item.limit:g} passes" if item.limit else "every element has to be equal"
    worst = "" if item.passed else f"; element [{', '.join(str(i) for i in item.worst)}] differs most"
    return (
        f"{item.name} beside {item.file}: {verdict}, relative L2 error {item.relative_l2:.3g} ({allowed}), "
        f"largest difference {item.largest:.3g}{worst}"
    )


# -- traces -------------------------------------------------------------------------------------------------------


def _trace(steps: Sequence[TraceStep]) -> Iterator[str]:
    place = None
    for step in steps:
        here = (step.launch, step.block, step.warp)
        if here != place:
            yield f"trace of launch {step.launch}, block {_index(step.block)}, warp {step.warp}:"
            place = here
        who = f"lane {step.lanes[0]}" if len(step.lanes) == 1 else f"mask {step.mask:08x}"
        line = f"line {step.line}" if step.line else "line ?"
        yield f"{step.number:6d}  {line:<9} PTX {step.ptx_line:<5} {who}  {step.instruction}"
        values = ", ".join(_value(value) for value in step.reads)
        results = ", ".join(_value(value) for value in step.writes)
        ended = "" if step.completed else "  -> did not complete"
        if values or results or ended:
            yield f"{'':8}{values}{f'  -> {results}' if results else ''}{ended}"


def _value(value: TraceValue) -> str:
    return f"{value.name} = {_over_lanes(value.values)}"


def _over_lanes(values: Sequence[str]) -> str:
    """Values of several lanes, shorter where they are equal or evenly spaced."""
    if len(set(values)) == 1:
        return values[0] if len(values) == 1 else f"{values[0]} in all"
    spaced = _evenly(values)
    return spaced if spaced else "(" + " ".join(_shorter(value) for value in values) + ")"


def _shorter(value: str) -> str:
    """Five digits of a float: a warp has 32 of them."""
    try:
        return f"{float(value):.5g}" if "." in value else value
    except ValueError:
        return value


def _evenly(values: Sequence[str]) -> str:
    """`0, 4 … 124` where integers, or offsets into one tensor, grow by one amount."""
    heads = [value.rpartition("+")[0] for value in values]
    tails = [value.rpartition("+")[2] for value in values]
    if len(values) < 3 or len(set(heads)) != 1 or not all(tail.lstrip("-").isdecimal() for tail in tails):
        return ""
    steps = {second - first for first, second in pairwise(int(tail) for tail in tails)}
    return f"{values[0]}, {values[1]} … {values[-1]}" if len(steps) == 1 else ""


def _index(index: Iterable[int]) -> str:
    return f"({', '.join(str(i) for i in index)})"
