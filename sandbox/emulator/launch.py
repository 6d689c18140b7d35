"""Runs kernels on the VM: `load` a parsed module, `launch` its entries. The records are those of `machine.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.emulator.bytecode import SlotKind
from warpsmith.sandbox.emulator.faults import describe
from warpsmith.sandbox.emulator.invocation import Invocation, Invoke, invoke_here
from warpsmith.sandbox.emulator.isa.schedule import block_order
from warpsmith.sandbox.emulator.lower import lower
from warpsmith.sandbox.emulator.machine import (
    ADDRESS_BASE,
    ADDRESS_STRIDE,
    CONST_WINDOW,
    LOCAL_WINDOW,
    PARAM_WINDOW,
    SHARED_WINDOW,
    WINDOW_BYTES,
    LaunchResult,
    LaunchSpec,
    Memory,
    Options,
    VmLost,
)
from warpsmith.sandbox.emulator.outputs import Outputs
from warpsmith.sandbox.emulator.packing import Program, pack
from warpsmith.sandbox.emulator.placement import PlacedMemory, allocation_table, place, place_workspace, string_at
from warpsmith.sandbox.emulator.printing import format_printf
from warpsmith.sandbox.emulator.program import Module
from warpsmith.sandbox.emulator.vm import bindings

MAX_THREADS = 1024
MOST_BLOCKS = 1 << 26
"""Of one launch that runs whole: their order alone takes half a GiB here and in the VM's process."""


@dataclass(slots=True)
class LoadedModule:
    """A module whose entries are lowered when they are first asked for."""

    module: Module
    _programs: dict[tuple[str, bool], Program] = field(default_factory=dict)

    def program(self, name: str, *, pessimistic: bool = False) -> Program:
        """The entry's bytecode; a pessimistic one moves results whose bits the ISA leaves open.

        Raises:
            UnsupportedInstruction: the emulator lacks something it uses.
            KeyError: there is no such entry.
        """
        key = name, pessimistic
        if key not in self._programs:
            entry = self.module.entry(name)
            self._programs[key] = pack(entry, lower(self.module, entry, pessimistic=pessimistic))
        return self._programs[key]


def load(module: Module) -> LoadedModule:
    """Prepare a parsed module for launches."""
    return LoadedModule(module)


def _check(spec: LaunchSpec, program: Program, options: Options) -> None:
    threads = spec.block[0] * spec.block[1] * spec.block[2]
    if min(*spec.grid, *spec.block) < 1 or threads > MAX_THREADS:
        raise ValueError(
            f"grid {spec.grid} of blocks {spec.block}: sizes are at least 1, threads at most {MAX_THREADS}"
        )
    if options.resident is not None and options.resident < 1:
        raise ValueError(f"{options.resident} resident blocks: at least 1 runs")
    count = prod(spec.grid)
    if spec.cooperative and options.resident is not None and count > options.resident:
        raise ValueError(f"a cooperative grid of {count} blocks; {options.resident} fit at once")
    if len(spec.params) < program.entry.param_bytes:
        raise ValueError(f"{len(spec.params)} bytes of parameters where the entry has {program.entry.param_bytes}")
    if spec.blocks is not None and any(not 0 <= block < count for block in spec.blocks):
        raise ValueError(f"a block to run lies outside the grid of {count}")


def launch(
    loaded: LoadedModule | Module,
    entry_name: str,
    spec: LaunchSpec,
    memory: Memory,
    options: Options | None = None,
    *,
    isa: str | None = None,
    invoke: Invoke = invoke_here,
) -> LaunchResult:
    """Run an entry over `memory`, in place; `isa` names a build of the VM (default: the processor's best).

    `invoke` runs the VM: in this process, or in one of its own (`jailed.py`).

    Raises:
        UnsupportedInstruction: the entry uses something the emulator lacks; nothing has run.
        ValueError: the launch itself is malformed.
        VmNotBuilt: the library is missing or stale.
        VmLost: the VM's own process was lost, or the grid has more blocks than are run.
    """
    options = options or Options()
    loaded = loaded if isinstance(loaded, LoadedModule) else load(loaded)
    program = loaded.program(entry_name, pessimistic=options.pessimistic)
    _check(spec, program, options)
    if spec.blocks is None and prod(spec.grid) > MOST_BLOCKS:
        said = (
            f"its grid has {prod(spec.grid):,} blocks, more than the {MOST_BLOCKS:,} that are run: give each more work"
        )
        raise VmLost(said, over_limit=True)
    placed = place(loaded.module, memory)
    slots = program.slots.copy()
    workspace = place_workspace(placed, options.seed) if spec.cooperative else 0
    for index, constant in program.variables:
        if constant.kind is SlotKind.WORKSPACE:
            slots[index]["bits"] = workspace >> constant.index & 0xFFFFFFFF
        else:
            slots[index]["bits"] = placed.addresses[constant.index] + constant.bits
    run = block_order(spec, options.seed)
    outputs = Outputs.of(program, options, spec.blocks, run, len(placed.allocations))
    invocation = _invocation(program, spec, options, placed, slots, outputs, run, isa)
    invoke(invocation)
    return _result(program, spec, placed, outputs, invocation.record, options)


def _invocation(
    program: Program,
    spec: LaunchSpec,
    options: Options,
    placed: PlacedMemory,
    slots: NDArray[np.void],
    outputs: Outputs,
    run: NDArray[np.int64],
    isa: str | None,
) -> Invocation:
    entry = program.entry
    table = allocation_table(placed.allocations)
    params = np.frombuffer(spec.params.ljust(8, b"\0"), np.uint8)
    constants = np.frombuffer(placed.constants.ljust(8, b"\0"), np.uint8)
    resident = options.resident or (prod(spec.grid) if spec.cooperative else None)
    waits = resident is not None and program.waits
    ordered = options.checks and program.orders
    names = bindings.isa_names()
    if isa is not None and isa not in names:
        raise ValueError(f"this processor runs {', '.join(names)}, not {isa}")
    given = {
        "operations": program.operations,
        "lists": program.lists,
        "slots": slots,
        "blocks": program.blocks,
        "allocations": table,
        "run": run,
        "params": params,
        "constants": constants,
        "row_of": outputs.row_of,
    }
    filled = outputs.filled()
    record = bindings.LaunchRecord(
        **{name: array.ctypes.data for name, array in (given | filled).items()},
        operation_count=len(program.operations),
        slot_count=len(slots),
        block_count=len(program.blocks),
        allocation_count=len(placed.allocations),
        site_count=len(entry.instructions),
        port_count=len(program.ports),
        register_bytes=program.register_bytes,
        shared_bytes=entry.shared_bytes + spec.dynamic_shared,
        dynamic_shared=spec.dynamic_shared,
        local_bytes=entry.local_bytes,
        print_capacity=len(outputs.printed) if program.prints else 0,
        sms=options.sms,
        grid=spec.grid,
        block=spec.block,
        run_count=len(run),
        seed=options.seed,
        address_base=ADDRESS_BASE,
        address_stride_bits=ADDRESS_STRIDE.bit_length() - 1,
        shared_window=SHARED_WINDOW,
        local_window=LOCAL_WINDOW,
        const_window=CONST_WINDOW,
        param_window=PARAM_WINDOW,
        window_bytes=WINDOW_BYTES,
        constant_bytes=len(placed.constants),
        param_bytes=len(spec.params),
        # Blocks that wait for each other share one host thread, and so do those whose order must be known.
        threads=1 if waits or ordered else max(1, min(options.threads, len(run))),
        resident=resident or 0 if waits else 0,
        orders=program.orders,
        checks=options.checks,
        count=options.counters,
        isa=0 if isa is None else names.index(isa),
        row_count=len(outputs.rows),
        l2_bytes=options.l2.bytes if options.l2 and options.counters else 0,
        l2_ways=options.l2.ways if options.l2 else 1,
        wave=options.l2.wave if options.l2 else 1,
        budget=options.budget,
        stop_after=len(run),
    )
    return Invocation(record, given, filled, placed.allocations)


def _printed(placed: PlacedMemory, outputs: Outputs, count: int) -> tuple[str, ...]:
    rows = outputs.printed[: min(count, len(outputs.printed))]
    return tuple(
        format_printf(
            string_at(placed.allocations, int(row["format"])),
            row["arguments"].tobytes(),
            lambda address: string_at(placed.allocations, address),
        )
        for row in rows
    )


def _assertion(placed: PlacedMemory, fault: bindings.FaultRecord) -> str:
    """What __assertfail was told: the expression, and the file and line it stands in."""
    text, file = (string_at(placed.allocations, address) for address in (fault.address, fault.distance))
    return f"`{text}` ({file}:{fault.detail})"


def _result(
    program: Program,
    spec: LaunchSpec,
    placed: PlacedMemory,
    outputs: Outputs,
    record: bindings.LaunchRecord,
    options: Options,
) -> LaunchResult:
    fault = None
    if record.fault.kind:
        instr = program.entry.instructions[record.fault.site]
        asserted = _assertion(placed, record.fault) if instr.opcode == "call" else ""
        waiting = outputs.waiting[: record.waiting_count]
        fault = describe(record.fault, program.entry, spec, placed.allocations, asserted, waiting)
    sizes = program.blocks["instructions"].astype(np.uint64)
    sites = outputs.sites()
    counted = bool(record.count)
    return LaunchResult(
        fault=fault,
        block_warps=outputs.block_warps,
        block_threads=outputs.block_threads,
        guarded_warps=outputs.guarded_warps,
        sites=sites,
        blocks_run=int(record.blocks_run),
        warp_instructions=int((outputs.block_warps * sizes).sum()),
        thread_instructions=int((outputs.block_threads * sizes).sum()),
        printed=_printed(placed, outputs, record.print_count) if program.prints else (),
        guarded_lanes=outputs.guarded_lanes if counted else None,
        divergent=outputs.divergent if counted else None,
        samples=outputs.samples(),
        l2=outputs.l2(record, options.l2, placed.allocations),
        fresh_sectors=sum(site.fresh_sectors for site in sites.values()) if counted else None,
        heaviest_block=int(record.heaviest_block),
        busiest_lanes=int(record.busiest_lanes) if counted else None,
        busiest_blocks=int(record.busiest_blocks),
    )
