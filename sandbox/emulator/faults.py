"""What went wrong, in a sentence a kernel engineer can act on, from the VM's record of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.emulator.bytecode import Space
from warpsmith.sandbox.emulator.machine import Allocation, Fault, FaultKind, LaunchSpec
from warpsmith.sandbox.emulator.program import Entry, Instr
from warpsmith.sandbox.emulator.vm.bindings import FaultRecord
from warpsmith.sandbox.emulator.waiting import everyone

KINDS = (
    None,
    FaultKind.OUT_OF_BOUNDS,
    FaultKind.READ_ONLY,
    FaultKind.MISALIGNED,
    FaultKind.UNINITIALISED,
    FaultKind.RACE,
    FaultKind.BARRIER,
    FaultKind.DEADLOCK,
    FaultKind.BUDGET,
    FaultKind.TRAP,
)
"""In the order of `WsFaultKind`."""

BARRIER_DETAILS = (
    "waits at one barrier while {other} waits at another ({there}), so neither can go on",
    "reached the barrier by this instruction and {other} of the same warp by another ({there})",
    "names another number of threads for the barrier than the instruction at {there} did",
    "waits for lanes of its warp that never arrive",
    "names a barrier or a number of threads that does not exist",
    "executes the instruction without being in its own member mask",
    "needs all 32 lanes of the warp, of which some have exited or never were",
    "stays away from an aligned barrier that other lanes of its warp wait at",
    "is given an object that mbarrier.init has not made, or that mbarrier.inval has ended",
    "brings more arrivals than the mbarrier's phase still expects, or none",
    "completes the mbarrier's phase by an arrival that must not (.noComplete)",
)
"""In the order of `WsBarrierDetail`."""

UNREAD_DETAILS = (
    "were never written",
    "an asynchronous copy is still to bring: wait for its group, then meet at a barrier; what is copied ahead needs a "
    "place that nobody reads yet",
)
"""In the order of `WsUnreadDetail`."""

STALE_PATH = 1
"""`WS_STALE_PATH`."""

UNFENCED = 2
"""`WS_UNFENCED`."""

UNFENCED_REMEDY = (
    "; the flag or ticket that tells of it was read with no __threadfence() behind it, and a barrier orders its own "
    "block alone"
)

BUDGET_DETAILS = (
    "was running when the launch had executed its budget of warp instructions",
    "was turning in a loop that waits when the launch had executed its budget of warp instructions. So was every warp "
    "that could run, and no memory had changed for many turns; no deadlock, since what the loop counts may end it",
)
"""In the order of `WsBudgetDetail`."""

BUDGET_REMEDY = (
    "If a loop here never ends, see that its counter moves and meets its bound for every thread; else the launch does "
    "far more than the task needs"
)

DEADLOCK_REMEDIES = (
    "Let every thread of the block come to the barrier: none may return, or take another branch, before it",
    "Wait only for what a block or thread that runs by then writes, on every path; otherwise split the work into two "
    "launches, which run one after the other",
    "Give the loop an end: a counter that moves, or a `break` that can be reached",
)
"""In the order of `WsDeadlockDetail`."""

DEADLOCK_DETAILS = (
    "waits for a barrier that the other threads of the block never reach",
    "waits in a loop for a value that none of the blocks on the device at the same time will write",
    "turns in a loop that never ends: every register came round to what it was, and meanwhile nobody who could run in "
    "its block changed memory or looked at what others may change",
)
"""In the order of `WsDeadlockDetail`."""

NAMES = {Space.GLOBAL: "global", Space.SHARED: "shared", Space.LOCAL: "local", Space.GENERIC: "generic",
         Space.CONST: "const", Space.PARAM: "param", Space.REGISTER: "register"}  # fmt: skip


def position(linear: int, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    return linear % shape[0], linear // shape[0] % shape[1], linear // (shape[0] * shape[1])


def _place(instr: Instr) -> str:
    return f"line {instr.line}" if instr.line else f"PTX line {instr.ptx_line}"


def _thread(thread: tuple[int, int, int]) -> str:
    return f"thread ({thread[0]}, {thread[1]}, {thread[2]})"


def _where(record: FaultRecord, allocations: Sequence[Allocation]) -> tuple[str, str]:
    """(name of the memory, the place in words)."""
    space = NAMES[Space(record.space)]
    if record.space != Space.GLOBAL:
        return space, f"byte {record.address} of {space} memory"
    if record.allocation < 0:
        return "", f"address {record.address:#x}, which is in no buffer,"
    hit = allocations[record.allocation]
    return hit.name, f"byte {record.address - hit.address} of {hit.name} ({hit.data.size} bytes)"


def _distance(record: FaultRecord) -> str:
    if record.distance < 0:
        return f", {-record.distance} bytes before its start"
    return f", {record.distance} bytes past its end"


def _access_sentence(kind: FaultKind, record: FaultRecord, place: str, other: str, there: str) -> str:
    size = record.size
    match kind:
        case FaultKind.OUT_OF_BOUNDS:
            known = record.space != Space.GLOBAL or record.allocation >= 0
            return f"accesses {size} bytes at {place}" + (_distance(record) if known else "")
        case FaultKind.READ_ONLY:
            return f"writes {size} bytes at {place}, which is read-only"
        case FaultKind.MISALIGNED:
            return f"accesses {size} bytes at {place}: the address is not a multiple of {size}"
        case FaultKind.UNINITIALISED:
            return f"reads {size} bytes at {place} that {UNREAD_DETAILS[record.detail]}"
        case _ if record.detail == STALE_PATH:
            path = "through the read-only path"
            return f"reads {size} bytes at {place} {path}, which {other} wrote in this launch ({there})"
        case _:
            said = f"accesses {size} bytes at {place}, unordered with {other} at {there}"
            return said + (UNFENCED_REMEDY if record.detail == UNFENCED else "")


def _remedy(kind: FaultKind, detail: int) -> str:
    """What ends a run that does not end by itself; empty for other faults, whose sentence says what to mend."""
    if kind is FaultKind.DEADLOCK:
        return DEADLOCK_REMEDIES[detail]
    return BUDGET_REMEDY if kind is FaultKind.BUDGET else ""


def describe(
    record: FaultRecord,
    entry: Entry,
    spec: LaunchSpec,
    allocations: Sequence[Allocation],
    asserted: str,
    waiting: NDArray[np.void],
) -> Fault:
    """The fault of a launch.

    `asserted` quotes a failed assert with its place, if that is what happened; `waiting` has rows of `WsWaiting`: where
    lanes were when the launch hung or had spent its budget.
    """
    kind = KINDS[record.kind]
    assert kind is not None
    instr, other_instr = entry.instructions[record.site], entry.instructions[record.other_site]
    thread, other = position(record.thread, spec.block), position(record.other_thread, spec.block)
    block = position(record.block, spec.grid)
    other_block = position(record.other_block, spec.grid)
    there = f"{other_instr.text} at {_place(other_instr)}"
    who = _thread(other) if other_block == block else f"{_thread(other)} of block {other_block}"
    if kind is FaultKind.RACE and other_block == block and record.thread // 32 == record.other_thread // 32:
        who += " of the same warp"
    name, space = "", ""
    match kind:
        case FaultKind.BARRIER:
            said = BARRIER_DETAILS[record.detail].format(other=_thread(other), there=there)
        case FaultKind.DEADLOCK:
            said = DEADLOCK_DETAILS[record.detail]
        case FaultKind.BUDGET:
            said = BUDGET_DETAILS[record.detail]
        case FaultKind.TRAP:
            said = f"failed the assertion {asserted}" if asserted else "executed a trap"
        case FaultKind.UNINITIALISED if record.space == Space.REGISTER:
            space, said = NAMES[Space.REGISTER], "depends on a register that nothing has written on its way here"
        case _:
            name, place = _where(record, allocations)
            space = NAMES[Space(record.space)]
            said = _access_sentence(kind, record, place, who, there)
    message = f"{instr.text} at {_place(instr)}: {_thread(thread)} of block {block} {said}{everyone(waiting, entry)}"
    remedy = _remedy(kind, record.detail)
    message += f". {remedy}" if remedy else ""
    has_other = kind in (FaultKind.RACE, FaultKind.BARRIER)
    return Fault(
        kind,
        message,
        instr.line,
        instr.ptx_line,
        instr.text,
        block,
        thread,
        address=record.address if space else 0,
        space=space,
        allocation=name,
        distance=record.distance,
        size=record.size,
        other_line=other_instr.line if has_other else 0,
        other_thread=other if has_other else None,
        other_block=other_block if has_other else None,
    )
