"""From what the emulator counted per instruction to what a launch did: by pipe, by memory level, by source line."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from math import prod

from warpsmith.core.counters import LaunchCounters, LineCounters, SharedTraffic, Traffic
from warpsmith.core.quantity import Source
from warpsmith.sandbox.emulator.isa.row import Pipe
from warpsmith.sandbox.emulator.isa.table import lookup
from warpsmith.sandbox.emulator.machine import LaunchResult, LaunchSpec, SiteCounters
from warpsmith.sandbox.emulator.parallelism import outstanding_loads
from warpsmith.sandbox.emulator.program import Entry, Instr, Vector

SECTOR = 32
_BITS = re.compile(r"[a-z]+(\d+)(x2)?$")
_TILE = re.compile(r"m(\d+)n(\d+)k(\d+)$")


@dataclass(slots=True)
class _Bill:
    """Sums for one launch or one source line; scaled to the grid when it is closed."""

    warps: float = 0
    threads: float = 0
    atomics: float = 0
    traffic: dict[str, Traffic] = field(default_factory=lambda: defaultdict(Traffic))
    shared: dict[str, SharedTraffic] = field(default_factory=lambda: defaultdict(SharedTraffic))

    def charge(self, instr: Instr, site: SiteCounters, scale: float) -> None:
        for kind in _kinds(instr, site):
            if kind.startswith("shared"):
                old = self.shared[kind]
                self.shared[kind] = SharedTraffic(
                    requests=old.requests + site.requests * scale,
                    wavefronts=old.wavefronts + site.wavefronts * scale,
                    ideal_wavefronts=old.ideal_wavefronts + site.ideal_wavefronts * scale,
                )
            else:
                before = self.traffic[kind]
                self.traffic[kind] = Traffic(
                    requests=before.requests + site.requests * scale,
                    sectors=before.sectors + site.sectors * scale,
                    bytes=before.bytes + site.lanes * access_bytes(instr) * scale,
                )
        if instr.opcode in ("atom", "red"):
            self.atomics += site.lanes * scale


def count_launch(
    kernel: str, entry: Entry, spec: LaunchSpec, result: LaunchResult, buffer_bytes: int
) -> LaunchCounters:
    """Scale one launch's counts from the blocks that ran to the whole grid.

    Args:
        kernel: the plan's name expression.
        entry: the program that ran.
        spec: its grid and the blocks asked for.
        result: a result without a fault.
        buffer_bytes: size of all buffers the launch was given, in bytes: no footprint is larger.
    """
    blocks = prod(spec.grid)
    scale = blocks / result.blocks_run
    whole, lines, pipes, flops = _Bill(), defaultdict(_Bill), defaultdict(float), defaultdict(float)  # type: ignore[var-annotated]
    serial = barriers = 0.0
    for index, block in enumerate(entry.blocks):
        warps = float(result.block_warps[index]) * scale
        threads = float(result.block_threads[index]) * scale
        if not warps:
            continue
        for position in range(block.start, block.stop):
            instr = entry.instructions[position]
            pipe = lookup(instr).pipe
            if pipe is Pipe.NONE:
                continue
            pipes[pipe.value] += warps
            for bill in (whole, lines[instr.line]):
                bill.warps += warps
                bill.threads += threads
            if pipe is Pipe.TENSOR:
                kind, amount = _tensor_flops(instr)
                flops[kind] += amount * warps
            if instr.opcode in ("bar", "barrier"):
                barriers += warps
            site = result.sites.get(position)
            if site is not None:
                whole.charge(instr, site, scale)
                lines[instr.line].charge(instr, site, scale)
                serial += site.atomic_serial * scale
    moved = (whole.traffic["global_load"].sectors + whole.traffic["global_store"].sectors) * SECTOR
    return LaunchCounters(
        source=Source.EMULATED,
        kernel=kernel,
        grid_blocks=blocks,
        block_threads=prod(spec.block),
        blocks_counted=result.blocks_run,
        warp_instructions=dict(pipes),
        thread_instructions=whole.threads,
        tensor_flops=dict(flops),
        global_load=whole.traffic["global_load"],
        global_store=whole.traffic["global_store"],
        local=whole.traffic["local"],
        shared_load=whole.shared["shared_load"],
        shared_store=whole.shared["shared_store"],
        atomic_lanes=whole.atomics,
        atomic_serial=serial,
        atomic_hottest=_hottest(result, blocks),
        barriers=barriers,
        block_unique_load_bytes=(result.fresh_sectors or 0) * SECTOR * scale,
        footprint_bytes=min(moved, float(buffer_bytes)),
        heaviest_block=_heaviest(result),
        outstanding_loads=outstanding_loads(entry, result),
        lines=tuple(_line(number, bill) for number, bill in sorted(lines.items())),
    )


def _heaviest(result: LaunchResult) -> float:
    if not result.heaviest_block or not result.warp_instructions:
        return 1.0
    return max(1.0, result.heaviest_block * result.blocks_run / result.warp_instructions)


def _hottest(result: LaunchResult, blocks: int) -> float:
    """Passes on the busiest address over the whole grid.

    Of n counted blocks b update it. One of them does for certain; any other block does with probability
    (b - 1) / (n - 1), so that an address of one block's own does not grow with the grid.
    """
    if not result.busiest_lanes or not result.busiest_blocks:
        return 0.0
    counted, updating = result.blocks_run, result.busiest_blocks
    shared = (updating - 1) / (counted - 1) if counted > 1 else 1.0
    return result.busiest_lanes / updating * (1 + shared * (blocks - 1))


def _line(number: int, bill: _Bill) -> LineCounters:
    loads, stores = bill.shared["shared_load"], bill.shared["shared_store"]
    return LineCounters(
        line=number,
        warp_instructions=bill.warps,
        thread_instructions=bill.threads,
        global_load=bill.traffic["global_load"],
        global_store=bill.traffic["global_store"],
        shared=SharedTraffic(
            requests=loads.requests + stores.requests,
            wavefronts=loads.wavefronts + stores.wavefronts,
            ideal_wavefronts=loads.ideal_wavefronts + stores.ideal_wavefronts,
        ),
        atomics=bill.atomics,
    )


def _kinds(instr: Instr, site: SiteCounters) -> tuple[str, ...]:
    """Which accounts a memory instruction is charged to; `cp.async` reads one memory and writes another."""
    if instr.opcode == "cp":
        return ("global_load", "shared_store")
    store = instr.opcode in ("st", "red", "stmatrix") or (instr.opcode == "wmma" and "store" in instr.modifiers)
    way = "store" if store else "load"
    if instr.opcode in ("ldmatrix", "stmatrix") or (site.wavefronts and not site.sectors):
        return (f"shared_{way}",)
    if "local" in instr.modifiers:
        return ("local",)
    return (f"global_{way}",)


def access_bytes(instr: Instr) -> int:
    """Bytes one lane asks for."""
    if instr.opcode == "cp":
        sizes = [operand.bits for operand in instr.operands if hasattr(operand, "bits")]
        return sizes[0] if sizes else 16
    found = _BITS.match(instr.modifiers[-1]) if instr.modifiers else None
    width = int(found.group(1)) // 8 * (2 if found.group(2) else 1) if found else 4
    vectors = [len(operand.items) for operand in instr.operands if isinstance(operand, Vector)]
    return width * max(vectors, default=1)


def _tensor_flops(instr: Instr) -> tuple[str, float]:
    """(operand type, multiply-adds x 2) of one warp-level matrix instruction; zero for fragment loads."""
    tile = next((found for word in instr.modifiers if (found := _TILE.match(word))), None)
    if tile is None or (instr.opcode == "wmma" and "mma" not in instr.modifiers):
        return "f16", 0.0
    types = [word for word in instr.modifiers if word in ("f16", "bf16", "tf32", "f64", "s8", "u8", "s4", "u4", "b1")]
    kind = next((word for word in types if word != "f16"), "f16")
    return kind, 2.0 * prod(int(extent) for extent in tile.groups())
