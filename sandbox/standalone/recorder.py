"""Runs launches on the VM and remembers how each went; follows the ones that a trace asks for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from math import prod

from warpsmith.core.emulation import Excerpt, FaultReport, LaunchReport, TraceStep
from warpsmith.sandbox.counting.launch import count_launch
from warpsmith.sandbox.emulated import Execute
from warpsmith.sandbox.emulator.launch import LoadedModule, launch
from warpsmith.sandbox.emulator.machine import Allocation, Fault, LaunchResult, LaunchSpec, Memory, Options
from warpsmith.sandbox.emulator.program import Entry
from warpsmith.sandbox.standalone.trace_request import WARP, TraceRequest
from warpsmith.sandbox.standalone.tracing import copy_of, trace


@dataclass(slots=True)
class Recorder:
    """What runs a launch for an `EmulatedLauncher` that somebody watches."""

    source: str
    """The text that lines count in."""
    ptx: str
    names: dict[str, str]
    """Entry -> what its kernel is called in reports."""
    request: TraceRequest | None = None
    limit: int = 0
    """Steps a trace may have."""
    counters: bool = True
    vm: Execute = launch
    """What runs a launch."""
    shapes: dict[str, tuple[tuple[int, ...], int]] = field(default_factory=dict)
    """Tensor -> its shape and its bytes per element: they tell an offset's element."""
    launches: list[LaunchReport] = field(default_factory=list)
    steps: list[TraceStep] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fault: FaultReport | None = None

    def execute(
        self, loaded: LoadedModule, entry_name: str, spec: LaunchSpec, memory: Memory, options: Options
    ) -> LaunchResult:
        """Run one launch on the VM, over `memory`."""
        follows = self._follows()
        options = replace(options, counters=self.counters and not options.seed)
        recounts = self.counters and not options.counters
        before = copy_of(memory) if follows else None
        untouched = copy_of(memory) if recounts else None
        entry = loaded.module.entry(entry_name)
        loaded.program(entry_name)
        start = time.perf_counter()
        result = counted = self.vm(loaded, entry_name, spec, memory, options)
        seconds = time.perf_counter() - start
        if untouched is not None and result.fault is None:
            # A drawn schedule would move the counts, and counting would leave the sides of branches in text order:
            # memory ends as the drawn one left it, counts are those of the text's order.
            counted = self.vm(loaded, entry_name, spec, untouched, replace(options, counters=True))
            result = result if counted.fault is None else counted
        self._note(entry, spec, memory, counted, result, seconds)
        if result.fault is not None:
            self.fault = self._explained(result.fault, entry, spec, memory)
        if before is not None:
            self._follow(loaded, entry_name, spec, before, options)
        return result

    def _note(
        self,
        entry: Entry,
        spec: LaunchSpec,
        memory: Memory,
        counted: LaunchResult,
        result: LaunchResult,
        seconds: float,
    ) -> None:
        name = self.names.get(entry.name, entry.name)
        size = sum(item.data.size for item in memory.allocations)
        counts = self.counters and result.fault is None and result.blocks_run
        self.launches.append(
            LaunchReport(
                kernel=name,
                entry=entry.name,
                grid=spec.grid,
                block=spec.block,
                shared=entry.shared_bytes + spec.dynamic_shared,
                blocks_run=counted.blocks_run,
                warp_instructions=counted.warp_instructions,
                thread_instructions=counted.thread_instructions,
                seconds=seconds,
                counters=count_launch(name, entry, spec, counted, size) if counts else None,
                printed=result.printed,
            )
        )

    def _follows(self) -> bool:
        request = self.request
        return request is not None and request.launch in (None, len(self.launches) + 1)

    def _follow(
        self, loaded: LoadedModule, entry_name: str, spec: LaunchSpec, memory: Memory, options: Options
    ) -> None:
        request, left = self.request, self.limit - len(self.steps)
        assert request is not None
        if request.fault:
            if self.fault is None:
                return
            request = replace(request, block=self.fault.block, thread=self.fault.thread)
        if left <= 0:
            return
        request.check_shape(spec.grid, spec.block)
        number = len(self.launches)
        traced = trace(loaded, entry_name, spec, memory, options, request, launch_number=number, limit=left, vm=self.vm)
        self.steps += traced.steps
        self.notes += traced.notes

    def _explained(self, fault: Fault, entry: Entry, spec: LaunchSpec, memory: Memory) -> FaultReport:
        allocation = next((item for item in memory.allocations if item.name == fault.allocation), None)
        in_global = fault.space == "global" and allocation is not None
        offset = fault.address - allocation.address if in_global and allocation is not None else None
        linear = fault.thread[0] + spec.block[0] * (fault.thread[1] + spec.block[1] * fault.thread[2])
        other = fault.other_thread is not None
        return FaultReport(
            kind=fault.kind.value,
            message=fault.message,
            kernel=self.names.get(entry.name, entry.name),
            source=_excerpt(self.source, fault.line, _column(entry, fault)),
            ptx=_excerpt(self.ptx, fault.ptx_line),
            block=fault.block,
            thread=fault.thread,
            warp=linear // WARP,
            lane=linear % WARP,
            space=fault.space,
            address=fault.address,
            size=fault.size,
            allocation=fault.allocation,
            allocation_bytes=_size_of(allocation),
            offset=offset,
            element=self._element(fault.allocation, offset),
            distance=fault.distance,
            other=_excerpt(self.source, fault.other_line) if other else None,
            other_thread=fault.other_thread,
        )

    def _element(self, name: str, offset: int | None) -> tuple[int, ...] | None:
        shape, size = self.shapes.get(name, ((), 1))
        if offset is None or not shape or not 0 <= offset < prod(shape) * size:
            return None
        index, found = offset // size, []
        for axis in range(len(shape)):
            below = prod(shape[axis + 1 :])
            found.append(index // below)
            index %= below
        return tuple(found)


def _size_of(allocation: Allocation | None) -> int | None:
    return None if allocation is None else int(allocation.data.size)


def _column(entry: Entry, fault: Fault) -> int:
    at = (item.column for item in entry.instructions if (item.ptx_line, item.text) == (fault.ptx_line, fault.opcode))
    return next(at, 0)


def _excerpt(text: str, line: int, column: int = 0) -> Excerpt:
    lines = text.splitlines()
    return Excerpt(line=line, column=column, text=lines[line - 1] if 0 < line <= len(lines) else "")
