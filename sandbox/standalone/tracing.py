"""Follows a launch instruction by instruction on the readable executor.

The VM keeps no history, so what is traced runs a second time: blocks before the one of interest run on the VM, and that
one on the readable executor, over the memory as it was before the launch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from warpsmith.core.emulation import TraceStep, TraceValue
from warpsmith.sandbox.emulated import Execute
from warpsmith.sandbox.emulator.faults import position
from warpsmith.sandbox.emulator.isa import execute
from warpsmith.sandbox.emulator.isa.address import space_of
from warpsmith.sandbox.emulator.isa.schedule import block_order
from warpsmith.sandbox.emulator.isa.state import Thread, Warp
from warpsmith.sandbox.emulator.isa.warp_memory import space_in
from warpsmith.sandbox.emulator.launch import LoadedModule
from warpsmith.sandbox.emulator.machine import Allocation, FaultKind, LaunchSpec, Memory, Options
from warpsmith.sandbox.emulator.program import Address, Entry, Instr, Not, Operand, Pair, Register, Vector
from warpsmith.sandbox.standalone.instruction_text import kind_of, meaning, operand_text, spelled, width_of
from warpsmith.sandbox.standalone.trace_request import TraceRequest

BUDGET = 1 << 17
"""Warp instructions the readable executor may spend on one launch: some ten seconds."""

_WRITES_NOTHING = frozenset(
    (
        *("st", "red", "stmatrix", "cp", "prefetch", "prefetchu", "discard", "applypriority", "mbarrier"),
        *("bra", "brx", "ret", "exit", "trap", "call", "membar", "fence", "nanosleep", "pmevent", "griddepcontrol"),
    )
)


class _Enough(Exception):  # noqa: N818 - control flow: the trace is full
    """As many steps as were asked for."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A launch's trace."""

    steps: tuple[TraceStep, ...]
    notes: tuple[str, ...] = ()


def copy_of(memory: Memory) -> Memory:
    """Memory of the same contents at the same addresses; what no kernel may write is shared."""
    allocations = [
        Allocation(
            item.name,
            item.data.copy() if item.writable else item.data,
            None if item.valid is None else item.valid.copy(),
            item.writable,
            item.address,
        )
        for item in memory.allocations
    ]
    return Memory(memory.skew, allocations, memory.writable_variables)


def trace(
    loaded: LoadedModule,
    entry_name: str,
    spec: LaunchSpec,
    memory: Memory,
    options: Options,
    request: TraceRequest,
    *,
    launch_number: int,
    limit: int,
    vm: Execute,
) -> Traced:
    """Execute what `request` names over `memory` (changed) and write down at most `limit` steps."""
    entry = loaded.module.entry(entry_name)
    watch = _Tracer(entry, spec, request, memory, launch_number, limit)
    if request.block is not None:
        block = _linear(request.block, spec.grid)
        order = block_order(spec, options.seed).tolist()
        if order[0] != block:
            before = replace(spec, blocks=tuple(order[: order.index(block)]))
            vm(loaded, entry_name, before, memory, replace(options, checks=False, counters=False, resident=None))
        spec = replace(spec, blocks=(block,))
    options = replace(options, budget=BUDGET)
    try:
        result = execute.launch(loaded.module, entry_name, spec, memory, options, watch=watch)
    except _Enough:
        note = f"launch {launch_number}: the trace stops after {limit} steps; --trace-limit shows more"
        return Traced(watch.finished(), (note,))
    if result.fault is None:
        return Traced(watch.finished())
    spent = result.fault.kind is FaultKind.BUDGET
    why = f"after {BUDGET} warp instructions; name a block" if spent else f"at a fault: {result.fault.message}"
    return Traced(watch.finished(), (f"launch {launch_number}: the trace stops {why}",))


def _linear(index: tuple[int, int, int], shape: tuple[int, int, int]) -> int:
    return index[0] + shape[0] * (index[1] + shape[1] * index[2])


@dataclass(slots=True)
class _Tracer:
    """The `Watch` that writes steps down."""

    entry: Entry
    spec: LaunchSpec
    request: TraceRequest
    memory: Memory
    launch_number: int
    limit: int
    _steps: deque[TraceStep] = field(default_factory=deque)
    _open: TraceStep | None = None
    _number: int = 0

    def before(self, warp: Warp, position_: int, threads: list[Thread]) -> None:
        chosen = self._chosen(warp, position_, threads)
        if not chosen:
            return
        if len(self._steps) >= self.limit and not self.request.fault:
            raise _Enough
        instr = self.entry.instructions[position_]
        self._number += 1
        self._open = TraceStep(
            launch=self.launch_number,
            number=self._number,
            block=position(warp.block.linear, self.spec.grid),
            warp=threads[0].index // 32,
            mask=sum(1 << thread.lane for thread in threads),
            lanes=tuple(thread.lane for thread in chosen),
            line=instr.line,
            ptx_line=instr.ptx_line,
            instruction=spelled(instr),
            reads=tuple(self._reads(warp, instr, chosen)),
            completed=False,
        )

    def after(self, warp: Warp, position_: int, threads: list[Thread]) -> None:
        if self._open is None:
            return
        instr = self.entry.instructions[position_]
        chosen = self._chosen(warp, position_, threads)
        writes = tuple(self._value(warp, instr, item, chosen, written=True) for item in _written(instr))
        self._keep(self._open.model_copy(update={"writes": writes, "completed": True}))

    def finished(self) -> tuple[TraceStep, ...]:
        """All steps; one that faulted stands last, without results."""
        if self._open is not None:
            self._keep(self._open)
        return tuple(self._steps)

    def _keep(self, step: TraceStep) -> None:
        self._open = None
        self._steps.append(step)
        if len(self._steps) > self.limit:
            self._steps.popleft()

    def _chosen(self, warp: Warp, position_: int, threads: list[Thread]) -> list[Thread]:
        request = self.request
        if request.line is not None and self.entry.instructions[position_].line != request.line:
            return []
        if request.warp is not None and threads[0].index // 32 != request.warp:
            return []
        if request.thread is not None:
            return [thread for thread in threads if thread.position == request.thread]
        return threads

    def _reads(self, warp: Warp, instr: Instr, threads: list[Thread]) -> Iterator[TraceValue]:
        if instr.guard is not None:
            yield self._value(warp, instr, instr.guard.register, threads, written=False)
        sources = instr.operands[1:] if _written(instr) else instr.operands
        for item in _flat(sources):
            if isinstance(item, Address) and space_in(instr) != "param":
                yield self._address(warp, instr, item, threads)
            elif isinstance(item, Register | Not):
                yield self._value(warp, instr, item, threads, written=False)

    def _value(
        self, warp: Warp, instr: Instr, operand: Operand, threads: Sequence[Thread], *, written: bool
    ) -> TraceValue:
        kind = kind_of(instr, operand, written=written)
        width = 1 if kind == "pred" else width_of(kind)
        bits = [warp.block.read(thread, operand, width, instr) for thread in threads]
        shown = (self._pointer(item) if width == 64 and kind != "f64" else "" for item in bits)
        values = tuple(place or meaning(item, kind) for place, item in zip(shown, bits, strict=True))
        return TraceValue(name=operand_text(operand), values=values)

    def _address(self, warp: Warp, instr: Instr, operand: Address, threads: Sequence[Thread]) -> TraceValue:
        space = space_in(instr)
        addresses = [warp.block.address(thread, operand, instr) for thread in threads]
        values = tuple(
            (self._pointer(item) or f"{item:#x}") if space in ("generic", "global") else f"{space}+{item}"
            for item in addresses
        )
        return TraceValue(name=operand_text(operand), values=values)

    def _pointer(self, bits: int) -> str:
        """A generic address as a place: `x+36`; empty where it points nowhere."""
        space, offset = space_of(bits)
        if space != "global":
            return f"{space}+{offset}"
        for item in self.memory.allocations:
            if item.address <= bits <= item.address + item.data.size:
                return f"{item.name}+{bits - item.address}"
        return ""


def _written(instr: Instr) -> list[Operand]:
    """Registers an instruction writes: those of its first operand, where it has a result."""
    if instr.opcode in _WRITES_NOTHING or not instr.operands:
        return []
    if instr.opcode in ("bar", "barrier") and "red" not in instr.modifiers:
        return []
    if instr.opcode == "wmma" and "store" in instr.modifiers:
        return []
    return [item for item in _flat(instr.operands[:1]) if isinstance(item, Register)]


def _flat(operands: Sequence[Operand]) -> Iterator[Operand]:
    for operand in operands:
        if isinstance(operand, Vector):
            yield from _flat(operand.items)
        elif isinstance(operand, Pair):
            yield from _flat((operand.first, operand.second))
        else:
            yield operand
