"""The VM in processes of its own, each of which sees one module's launches and shares memory with this one.

A worker that crashes, hangs or answers nonsense is gone; the launch, whose memory is still as it was, gets a fresh one.
What ends two of them is a fact about the launch. The float64 oracle stays in this process.
"""

from __future__ import annotations

import atexit
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.emulator.bytecode import Space
from warpsmith.sandbox.emulator.faults import BARRIER_DETAILS, BUDGET_DETAILS, DEADLOCK_DETAILS, KINDS
from warpsmith.sandbox.emulator.invocation import Invocation
from warpsmith.sandbox.emulator.launch import LoadedModule, launch
from warpsmith.sandbox.emulator.machine import Allocation, FaultKind, LaunchResult, LaunchSpec, Memory, Options, VmLost
from warpsmith.sandbox.emulator.vm import bindings
from warpsmith.sandbox.emulator.waiting import KINDS as WAITS
from warpsmith.sandbox.jail.levels import Level, choose
from warpsmith.sandbox.jail.memory import kills, machine_bytes
from warpsmith.sandbox.jail.pool import KILLINGS, pool
from warpsmith.sandbox.jail.shared import ALIGNMENT, Layout, SharedMemory, bytes_of
from warpsmith.sandbox.jail.worker import Died, Limits, Program, Pulse, TimedOut, Worker

_MOST_IDLE = 3
"""Workers that wait for another launch of their module."""
_IDLE_BYTES = 1 << 30
"""Shared by the workers that wait, all told."""
_KEPT_BYTES = 256 << 20
"""Inputs that a worker keeps for launches to come, beyond those of the last one."""
_LEAST_MEMORY = 4 << 30
_START_SECONDS, _WARPS_PER_SECOND = 120.0, 200_000
"""A launch may take this long and, for its budget, as long as at this many warp instructions a second: a hundredth of
what the VM does on one core with all checks. Its own budget ends endless kernels long before."""
_STILL_SECONDS = 120.0
"""A hundred times what goes by between two blocks of instructions, or takes the model of L2 at the end."""
_ATTEMPTS = 2
_FILLED_FIELDS = (
    *("blocks_run", "heaviest_block", "busiest_lanes", "busiest_blocks", "print_count", "l2"),
    *("waiting_count", "fault"),
)
_DETAILS = {
    FaultKind.BARRIER: len(BARRIER_DETAILS),
    FaultKind.DEADLOCK: len(DEADLOCK_DETAILS),
    FaultKind.BUDGET: len(BUDGET_DETAILS),
}
_ROW = bindings.ALLOCATION.itemsize
_DATA, _VALID = (bindings.ALLOCATION.fields["data"][1], bindings.ALLOCATION.fields["valid"][1])  # type: ignore[index]


@dataclass(slots=True)
class _Held:
    loaded: LoadedModule
    worker: Worker

    @property
    def bytes(self) -> int:
        assert self.worker.shared is not None, "its program shares memory"
        return self.worker.shared.view.size


@dataclass(slots=True)
class JailedVm:
    """Runs launches as `launch` does. Threads may share it."""

    level: Level | None = None
    """None: the best this machine has."""
    program: Program | None = None
    """None: the VM itself."""
    limits: Limits | None = None
    """None: memory as far as this machine's goes."""
    patience: float = _STILL_SECONDS
    """Seconds that a launch may stand still, executing nothing."""
    _idle: list[_Held] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __call__(
        self, loaded: LoadedModule, entry_name: str, spec: LaunchSpec, memory: Memory, options: Options
    ) -> LaunchResult:
        """Run one launch over `memory`, in place.

        Raises:
            UnsupportedInstruction: the entry uses something the emulator lacks; nothing has run.
            VmLost: the launch takes too much, or ends the processes it runs in.
            ToolchainError: processes cannot be started.
        """
        return launch(loaded, entry_name, spec, memory, options, invoke=partial(self._invoke, loaded, options))

    def close(self) -> None:
        """End the workers that wait."""
        with self._guard:
            held, self._idle = self._idle, []
        for item in held:
            item.worker.close()

    def _invoke(self, loaded: LoadedModule, options: Options, invocation: Invocation) -> None:
        crashes = killings = 0
        seconds = _START_SECONDS + options.budget / _WARPS_PER_SECOND
        while True:
            worker, starved = self._take(loaded), kills()
            try:
                ended = _run(worker, invocation, seconds, self.patience)
            except (OSError, MemoryError):
                # No room for a copy of its buffers.
                ended = Died("no memory", words="MemoryError")
            if ended is None:
                self._give_back(loaded, worker)
                return
            worker.close()
            if isinstance(ended, TimedOut):
                raise VmLost(f"it was given up after {ended.seconds:.0f} s without an answer", over_limit=True)
            if _out_of_memory(ended) or (ended.signal == signal.SIGKILL and kills() > starved):
                gib = (self.limits or _limits()).memory_bytes / (1 << 30)
                raise VmLost(f"it needs more memory than there is for it (at most {gib:.1f} GiB)", over_limit=True)
            if ended.signal == signal.SIGKILL:
                killings += 1
            else:
                crashes += 1
            if crashes == _ATTEMPTS:
                raise VmLost(f"it ended the emulator's process twice ({ended.reason})", over_limit=False)
            if killings == KILLINGS:
                raise VmLost(f"somebody killed the emulator's process {killings} times", over_limit=False)

    def _take(self, loaded: LoadedModule) -> Worker:
        with self._guard:
            for number, item in enumerate(self._idle):
                if item.loaded is loaded:
                    del self._idle[number]
                    return item.worker
        return pool().take(self.program or _program(), self.limits or _limits(), self.level or choose())

    def _give_back(self, loaded: LoadedModule, worker: Worker) -> None:
        with self._guard:
            self._idle.append(_Held(loaded, worker))
            first = len(self._idle) - _newest_that_fit([item.bytes for item in self._idle])
            surplus, self._idle = self._idle[:first], self._idle[first:]
        for item in surplus:
            item.worker.close()


@cache
def jailed_vm(level: Level | None = None) -> JailedVm:
    """The one of this process."""
    vm = JailedVm(level)
    atexit.register(vm.close)
    return vm


@cache
def _program() -> Program:
    bindings.library()
    path = bindings.library_path()
    assert path is not None, "loaded above"
    child = bindings.FOLDER.parent / "vm_child.py"
    return Program.of(child, {"library": str(path)}, loads=[str(path)], shares=True)


@cache
def _limits() -> Limits:
    return Limits(
        # Its launches are timed one by one.
        cpu_seconds=1 << 30,
        memory_bytes=max(_LEAST_MEMORY, machine_bytes() * 3 // 4),
        output_bytes=1 << 10,
        # Its last words, which say why it ended.
        file_bytes=1 << 16,
    )


def _newest_that_fit(sizes: Sequence[int]) -> int:
    """How many of the last may wait."""
    totals = list(accumulate(reversed(sizes)))[:_MOST_IDLE]
    return sum(total <= _IDLE_BYTES for total in totals)


def _run(worker: Worker, invocation: Invocation, seconds: float, patience: float) -> TimedOut | Died | None:
    """Copy the launch in, have it run, and copy what it wrote out; None where all went well."""
    shared = worker.shared
    assert shared is not None, "its program shares memory"
    kept = _kept(shared, invocation.allocations)
    layout = Layout(shared.kept_bytes)
    record, table = invocation.record, invocation.given["allocations"].copy()
    places: list[int] = []
    offsets = {name: layout.add(array) for name, array in invocation.given.items() if name != "allocations"}
    offsets |= {name: layout.add(array) for name, array in invocation.filled.items()}
    offsets["allocations"] = layout.add(table)
    memory: list[tuple[int, NDArray[np.uint8]]] = []
    for number, allocation in enumerate(invocation.allocations):
        row = offsets["allocations"] + number * _ROW
        for column, name, array in ((_DATA, "data", allocation.data), (_VALID, "valid", allocation.valid)):
            if array is None:
                continue
            table[number][name] = offset = kept[number] if name == "data" and number in kept else layout.add(array)
            places.append(row + column)
            if allocation.writable:
                memory.append((offset, array))
    copy = type(record).from_buffer_copy(record)
    for name, offset in offsets.items():
        setattr(copy, name, offset)
    image = np.frombuffer(bytes(copy), np.uint8)
    at = layout.add(image)
    places += [at + getattr(type(record), name).offset for name in offsets]
    shared.reserve(layout.size)
    for offset, array in layout.items:
        if array.nbytes:
            shared.view[offset : offset + array.nbytes] = bytes_of(array)
    left = at + type(record).budget.offset
    # The VM takes from its budget as it goes.
    pulse = Pulse(lambda: int(shared.view[left : left + 8].view(np.int64)[0]), patience)
    answer = worker.ask({"size": shared.view.size, "record": at, "places": places}, seconds=seconds, pulse=pulse)
    if isinstance(answer, TimedOut | Died):
        return answer
    if answer.message != {"status": 0} or answer.blobs:
        return Died("no memory", words="bad_alloc") if answer.message == {"status": 1} else Died("another answer")
    found = type(record).from_buffer_copy(shared.view[at : at + image.nbytes].tobytes())
    # Nobody's memory but our own is looked at from here on: what was checked cannot change any more.
    filled = {
        name: shared.view[offsets[name] : offsets[name] + array.nbytes].copy()
        for name, array in invocation.filled.items()
    }
    if not _fits(found, filled, invocation):
        return Died("an answer that cannot be")
    for name in _FILLED_FIELDS:
        setattr(record, name, getattr(found, name))
    for name, array in invocation.filled.items():
        bytes_of(array)[:] = filled[name]
    for offset, array in memory:
        array[:] = shared.view[offset : offset + array.nbytes]
    return None


def _kept(shared: SharedMemory, allocations: Sequence[Allocation]) -> dict[int, int]:
    """Offsets, by position, of what never changes: a worker's launches mostly have their inputs in common."""
    owned = {
        number: (item.owner, item.data)
        for number, item in enumerate(allocations)
        if item.owner is not None and item.data.nbytes
    }
    needed = sum(data.nbytes + ALIGNMENT for _, data in owned.values())
    return dict(zip(owned, shared.keep([*owned.values()], max(needed, _KEPT_BYTES)), strict=True))


def _fits(record: bindings.LaunchRecord, filled: Mapping[str, NDArray[np.uint8]], invocation: Invocation) -> bool:
    """Whether what comes back names only what there is."""
    fault, sites = record.fault, max(1, invocation.record.site_count)
    allocations = max(1, len(invocation.allocations))
    kind = KINDS[fault.kind] if fault.kind < len(KINDS) else None
    waiting = filled["waiting"].view(bindings.WAITING)[: record.waiting_count]
    return (
        fault.kind < len(KINDS)
        and max(fault.site, fault.other_site) < sites
        and -1 <= fault.allocation < allocations
        and fault.space < len(Space)
        and (kind is None or fault.detail < _DETAILS.get(kind, 1 << 32))
        and record.waiting_count <= bindings.MOST_WAITING
        and bool((waiting["site"] < sites).all())
        and bool((waiting["kind"] < len(WAITS)).all())
        and int(filled["port_allocation"].view(np.uint32).max()) < allocations
    )


def _out_of_memory(died: Died) -> bool:
    return any(word in died.words for word in ("bad_alloc", "MemoryError", "Cannot allocate memory"))
