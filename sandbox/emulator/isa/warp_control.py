"""Branches, exits, barriers, fences, traps and the two calls a kernel may make.

Barrier arrivals are counted per thread, as PTX has it since sm_70: a warp's lanes may reach a barrier in several
groups. A thread that has exited is no longer waited for.
"""

from __future__ import annotations

from ..machine import FaultKind, UnsupportedInstruction
from ..program import Instr, Operand, Symbol, Vector
from .block import BarrierState, Block
from .printing import formatted, text_at
from .row import Pipe, WarpRow
from .state import Thread, Warp
from .warp_memory import deliver_everything, nothing

MAX_BARRIERS = 16


def branch(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    start = warp.block.entry.blocks[instr.target].start
    for thread in threads:
        thread.pc = start


def branch_by_index(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """brx.idx index, table. An index beyond the table is undefined; here it traps."""
    for thread in threads:
        index = warp.block.read(thread, instr.operands[0], 32, instr)
        if index >= len(instr.targets):
            message = f"branch index {index} is beyond the table of {len(instr.targets)} labels"
            raise warp.block.fault(FaultKind.TRAP, message, instr, thread)
        thread.pc = warp.block.entry.blocks[instr.targets[index]].start


def leave(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """Exit and ret. Copies still in flight arrive; barriers for every thread may be complete now."""
    for thread in threads:
        deliver_everything(warp, thread)
        thread.exited = True
    for number, barrier in list(warp.block.barriers.items()):
        if barrier.expected is None:
            release_if_complete(warp.block, number)


def trap(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    raise warp.block.fault(FaultKind.TRAP, f"the kernel executed {instr.opcode}", instr, threads[0])


def policy(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """Createpolicy d, …: an opaque number; caches have no effect on values."""
    for thread in threads:
        warp.block.write(thread, instr.operands[0], 0, "b64")


def synchronise(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """bar.sync a{, b}."""
    for group in _by_barrier(warp, instr, threads, instr.operands[0]):
        number = _arrive(warp, instr, group, list(instr.operands))
        _wait(warp, instr, group, number)


def arrive(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """bar.arrive a, b: counts without waiting."""
    for group in _by_barrier(warp, instr, threads, instr.operands[0]):
        release_if_complete(warp.block, _arrive(warp, instr, group, list(instr.operands)))


def reduce_at_barrier(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """bar.red.op d, a{, b}, p: everyone gets the reduction of all predicates."""
    *operands, predicate = instr.operands[1:]
    for group in _by_barrier(warp, instr, threads, operands[0]):
        number = _arrive(warp, instr, group, list(operands))
        holds = [bool(warp.block.read(thread, predicate, 1, instr)) for thread in group]
        warp.block.barriers[number].holds += holds
        _wait(warp, instr, group, number)


def _by_barrier(warp: Warp, instr: Instr, threads: list[Thread], operand: Operand) -> list[list[Thread]]:
    """Lanes that name the same barrier together: those a turn of a loop ahead of the others may name another one."""
    groups: dict[int, list[Thread]] = {}
    for thread in threads:
        groups.setdefault(warp.block.read(thread, operand, 32, instr), []).append(thread)
    return list(groups.values())


def _arrive(warp: Warp, instr: Instr, threads: list[Thread], operands: list[Operand]) -> int:
    block, first = warp.block, threads[0]
    number = block.read(first, operands[0], 32, instr)
    expected = block.read(first, operands[1], 32, instr) if len(operands) > 1 else None
    size = len(block.warps) * 32
    if number >= MAX_BARRIERS or (expected is not None and not 0 < expected <= size):
        message = f"barrier {number} for {expected} threads does not exist: numbers are below 16, counts at most {size}"
        raise block.fault(FaultKind.BARRIER, message, instr, first)
    barrier = block.barriers.setdefault(number, BarrierState(expected))
    if barrier.expected != expected:
        message = f"threads arrive at barrier {number} with different counts: {barrier.expected} and {expected}"
        raise block.fault(FaultKind.BARRIER, message, instr, first)
    barrier.arrived += len(threads)
    return number


def _wait(warp: Warp, instr: Instr, threads: list[Thread], number: int) -> None:
    for thread in threads:
        thread.barrier = number
        thread.barrier_pc = thread.pc
        warp.block.barriers[number].waiting.append((thread, instr))
    release_if_complete(warp.block, number)


def release_if_complete(block: Block, number: int) -> None:
    barrier = block.barriers[number]
    expected = block.live_count() if barrier.expected is None else barrier.expected
    if barrier.arrived < expected or not barrier.arrived:
        return
    _require_one_instruction_a_warp(block, barrier, number)
    for thread, instr in barrier.waiting:
        thread.barrier = None
        if "red" in instr.modifiers:
            block.write(thread, instr.operands[0], _reduced(instr.modifiers[-2], barrier.holds), "u32")
    del block.barriers[number]


def _reduced(operation: str, holds: list[bool]) -> int:
    if operation == "popc":
        return sum(holds)
    return int(all(holds) if operation == "and" else any(holds))


def _require_one_instruction_a_warp(block: Block, barrier: BarrierState, number: int) -> None:
    seen: dict[int, tuple[Thread, Instr]] = {}
    for thread, instr in barrier.waiting:
        other, elsewhere = seen.setdefault(thread.index // 32, (thread, instr))
        if elsewhere is not instr:
            message = (
                f"lanes of one warp met at barrier {number} by different instructions "
                f"(lines {elsewhere.line} and {instr.line})"
            )
            details = {"other_line": instr.line, "other_thread": thread.position}
            raise block.fault(FaultKind.BARRIER, message, elsewhere, other, **details)


def call(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """Vprintf writes a line; __assertfail is a trap with its message."""
    function = next(o.name for o in instr.operands if isinstance(o, Symbol))
    arguments = instr.operands[-1]
    assert isinstance(arguments, Vector)
    names = [item.name for item in arguments.items if isinstance(item, Symbol)]
    for thread in threads:
        values = [int.from_bytes(thread.call_params[name], "little") for name in names]
        if function == "vprintf":
            warp.block.printed.append(formatted(warp, instr, thread, values[0], values[1]))
        elif function == "__assertfail":
            message, file = (text_at(warp, instr, thread, value) for value in values[:2])
            raise warp.block.fault(FaultKind.TRAP, f"assertion `{message}` failed ({file}:{values[2]})", instr, thread)
        else:
            raise UnsupportedInstruction(f"call of {function}", instr.line, instr.ptx_line)


def _rows() -> tuple[WarpRow, ...]:
    waits = (WarpRow(f"{name}.sync", synchronise, Pipe.CONTROL) for name in ("bar", "barrier"))
    arrivals = (WarpRow(f"{name}.arrive", arrive, Pipe.CONTROL) for name in ("bar", "barrier"))
    reductions = (
        WarpRow(f"{name}.red.{op}", reduce_at_barrier, Pipe.CONTROL)
        for name in ("bar", "barrier")
        for op in ("popc.u32", "and.pred", "or.pred")
    )
    quiet = ("membar", "fence", "fence.proxy", "nanosleep", "griddepcontrol", "pmevent", "bar.warp.sync")
    return (
        WarpRow("bra", branch, Pipe.CONTROL),
        WarpRow("brx.idx", branch_by_index, Pipe.CONTROL),
        WarpRow("ret", leave, Pipe.CONTROL),
        WarpRow("exit", leave, Pipe.CONTROL),
        WarpRow("trap", trap, Pipe.CONTROL),
        WarpRow("brkpt", trap, Pipe.CONTROL),
        WarpRow("createpolicy", policy, Pipe.ALU),
        WarpRow("call", call, Pipe.CONTROL),
        *waits,
        *arrivals,
        *reductions,
        *(WarpRow(name, nothing, Pipe.CONTROL) for name in quiet),
    )


ROWS = _rows()
