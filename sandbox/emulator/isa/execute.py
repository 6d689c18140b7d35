"""The readable executor: what a launch does, one thread at a time. It is the definition the VM is checked against.

Every thread has its own position. Of a warp's ready threads those at the lowest position run next, together; text
order is layout order, so threads that fell behind catch up and meet. Blocks take turns when one runs long, so that
blocks that wait for each other can. A schedule's seed orders blocks, warps and the sides of branches (schedule.py).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..machine import (
    Fault,
    FaultKind,
    LaunchResult,
    LaunchSpec,
    Memory,
    Options,
    SiteCounters,
    UnsupportedInstruction,
)
from ..program import STRONG, Entry, Instr, Module, Special
from .block import Block, Layout
from .meeting import Prepared, as_one, meet, meet_at_several, must_wait, stuck, with_one_mask
from .operands import check
from .schedule import TURN, block_order, draw_order, first_warp, lanes_in_turn
from .special import is_emulated
from .spelling_warp import member_mask_operand
from .state import Faulted, Thread, Warp
from .steps import is_lane_instruction, steps
from .symbols import place_symbols
from .table import warp_row
from .warp_memory import space_in

QUANTUM = 1 << 14
"""Warp instructions after which a block lets others run."""


class Watch(Protocol):
    """Looks on while a launch runs; changes nothing."""

    def before(self, warp: Warp, position: int, threads: list[Thread]) -> None:
        """Threads of a warp are about to execute the instruction at `position` of the entry."""
        ...

    def after(self, warp: Warp, position: int, threads: list[Thread]) -> None:
        """They have. What faults or traps has no after."""
        ...


@dataclass(slots=True)
class Tally:
    """What a launch counts, and who looks on."""

    budget: int
    block_warps: np.ndarray
    block_threads: np.ndarray
    guarded: np.ndarray
    requests: dict[int, int] = field(default_factory=dict)
    lanes: dict[int, int] = field(default_factory=dict)
    warp_instructions: int = 0
    thread_instructions: int = 0
    watch: Watch | None = None


def launch(
    module: Module,
    entry_name: str,
    spec: LaunchSpec,
    memory: Memory,
    options: Options | None = None,
    *,
    watch: Watch | None = None,
) -> LaunchResult:
    """Run an entry over a grid; outputs land in `memory`. `watch` sees every instruction executed.

    Sites have requests and lanes only: sectors and wavefronts are the VM's.

    Raises:
        UnsupportedInstruction: before anything runs, where the table has no row.
        KeyError: the module has no such entry.
        ValueError: the pessimistic mode is asked for, which is the VM's alone.
    """
    entry, options = module.entry(entry_name), options or Options()
    if options.pessimistic:
        raise ValueError("the readable executor has no pessimistic mode; run the VM (`emulator.launch`) in it")
    program = [_prepare(instr) for instr in entry.instructions]
    tally = Tally(
        options.budget,
        np.zeros(len(entry.blocks), np.uint64),
        np.zeros(len(entry.blocks), np.uint64),
        np.zeros(len(program), np.uint64),
        watch=watch,
    )
    printed: list[str] = []
    layout = place_symbols(module, entry, memory)
    order = block_order(spec, options.seed).tolist()
    found = _run_blocks(entry, spec, options, layout, order, program, tally, printed)
    sites = {i: SiteCounters(tally.requests[i], tally.lanes[i], 0, 0, 0) for i in sorted(tally.requests)}
    return LaunchResult(
        found,
        tally.block_warps,
        tally.block_threads,
        tally.guarded,
        sites,
        len(order),
        tally.warp_instructions,
        tally.thread_instructions,
        printed=tuple(printed),
    )


def _prepare(instr: Instr) -> Prepared:
    for operand in instr.operands:
        if isinstance(operand, Special) and not is_emulated(operand.name):
            raise UnsupportedInstruction(operand.name, instr.line, instr.ptx_line)
    check(instr)
    if is_lane_instruction(instr):
        return Prepared(instr, steps(instr), None, None, is_memory=False)
    row = warp_row(instr)
    reaches_memory = instr.opcode in ("ld", "st", "atom", "red", "ldmatrix", "stmatrix") or row.name == "cp.async"
    memory = reaches_memory and space_in(instr) != "param"
    return Prepared(instr, None, row, member_mask_operand(instr), memory)


def _run_blocks(
    entry: Entry,
    spec: LaunchSpec,
    options: Options,
    layout: Layout,
    order: list[int],
    program: list[Prepared],
    tally: Tally,
    printed: list[str],
) -> Fault | None:
    """Blocks in order; one that runs long goes behind the others. Returns the first fault."""
    waiting = deque(order)
    started: dict[int, Block] = {}
    try:
        while waiting:
            linear = waiting.popleft()
            if linear not in started:
                started[linear] = Block(entry, spec, options, layout, linear, printed)
            if _run_block(started[linear], program, tally):
                del started[linear]
            else:
                waiting.append(linear)
    except Faulted as faulted:
        return faulted.fault
    return None


def _run_block(block: Block, program: list[Prepared], tally: Tally) -> bool:
    """Run until every thread has exited (True) or the quantum is spent."""
    spent = 0
    while True:
        progressed = False
        first = first_warp(block.options.seed, block.linear, block.turn, len(block.warps))
        for warp in (*block.warps[first:], *block.warps[:first]):
            ran = _run_warp(warp, program, tally, QUANTUM - spent)
            spent += ran
            progressed |= ran > 0
        if not block.live_count():
            return True
        if not progressed:
            raise stuck(block, program)
        block.turn += 1
        if spent >= QUANTUM:
            return False


def _meet(warp: Warp, program: list[Prepared], tally: Tally) -> bool:
    if meet(warp):
        return True
    groups = meet_at_several(warp, program)
    if not groups:
        return False
    for group in groups:
        _count(warp.block.entry, tally, group[0].pc, group, group, program[group[0].pc])
        if tally.watch is not None:
            tally.watch.before(warp, group[0].pc, group)
    everybody = sorted((thread for group in groups for thread in group), key=lambda thread: thread.lane)
    row = program[groups[0][0].pc].row
    assert row is not None
    row.meaning(warp, as_one(groups, program), everybody)
    for group in groups:
        pc = group[0].pc
        for thread in group:
            thread.pc, thread.meeting = pc + 1, None
        if tally.watch is not None:
            tally.watch.after(warp, pc, group)
    return True


def _run_warp(warp: Warp, program: list[Prepared], tally: Tally, quantum: int) -> int:
    """Instructions executed until no thread is ready, a turn ends or the quantum is spent."""
    ran, warp.running = 0, []
    while ran < max(quantum, 1):
        group = _next_group(warp)
        if not group:
            _meet(warp, program, tally)
            group = _next_group(warp)
        if not group:
            break
        ran += 1
        if _execute(warp, program, group, tally):
            break
    return ran


def _next_group(warp: Warp) -> list[Thread]:
    """The ready threads at the lowest position, those that had their turn last.

    Who runs goes on as a group until it parts or meets others; those that are held back do not join it on its way.
    """
    ready = [thread for thread in warp.threads if thread.ready]
    candidates = [thread for thread in ready if thread.lane not in warp.yielded]
    running = [thread for thread in warp.running if not thread.exited]
    if running and all(thread.ready and thread.pc == running[0].pc for thread in running):
        lanes = {thread.lane for thread in running}
        if all(thread.pc > running[0].pc or thread.lane in lanes for thread in candidates):
            return running
    if not candidates and warp.yielded and any(thread.meeting is not None for thread in warp.threads):
        # Those who turn in a loop may wait for what lanes do that have met meanwhile.
        warp.yielded.clear()
        return []
    if not candidates:
        warp.yielded.clear()
        candidates = ready
    if not candidates:
        return []
    position = min(thread.pc for thread in candidates)
    group = warp.running = [thread for thread in ready if thread.pc == position]
    warp.yielded -= {thread.lane for thread in group}
    return group


def _execute(warp: Warp, program: list[Prepared], group: list[Thread], tally: Tally) -> bool:
    """One instruction for a group. True where the warp should let others run: it turned in a loop for long."""
    pc = group[0].pc
    prepared = program[pc]
    block, instr = warp.block, prepared.instr
    if tally.warp_instructions >= tally.budget:
        message = f"the launch exceeded its budget of {tally.budget} warp instructions"
        raise block.fault(FaultKind.BUDGET, message, instr, group[0])
    acting = [thread for thread in group if block.holds(thread, instr)]
    if prepared.members is not None and acting:
        together = with_one_mask(warp, prepared, acting)
        group = [thread for thread in group if thread in together or thread not in acting]
        acting = together
    if prepared.members is not None and acting and must_wait(warp, prepared, acting):
        for thread in group:
            if thread not in acting:
                thread.pc += 1
        return False
    _count(block.entry, tally, pc, group, acting, prepared)
    for thread in group:
        thread.pc = pc + 1
    if not acting:
        return False
    if tally.watch is not None:
        tally.watch.before(warp, pc, acting)
    _carry_out(warp, prepared, pc, acting)
    if tally.watch is not None:
        tally.watch.after(warp, pc, acting)
    ended = acting[0].pc <= pc and not acting[0].exited and _turn_ends(warp, acting)
    _separate(warp, instr, group, acting)
    return ended and len(acting) == len(group)


def _separate(warp: Warp, instr: Instr, group: list[Thread], acting: list[Thread]) -> None:
    """Draw who goes first where lanes part."""
    if not _draws_order(warp):
        return
    parts = len(acting) < len(group) if instr.opcode == "bra" else len({thread.pc for thread in acting}) > 1
    if parts and instr.opcode in ("bra", "brx"):
        draw_order(warp, group, warp.block.options.seed)


def _is_strong_write(instr: Instr) -> bool:
    return instr.opcode in ("atom", "red") or (instr.opcode == "st" and bool(STRONG.intersection(instr.modifiers)))


def _draws_order(warp: Warp) -> bool:
    """Whether the seed decides who goes first, as in the VM: where nothing is counted."""
    options = warp.block.options
    return bool(options.seed) and not options.counters


def _carry_out(warp: Warp, prepared: Prepared, pc: int, acting: list[Thread]) -> None:
    block, instr = warp.block, prepared.instr
    if prepared.steps is not None:
        for step in prepared.steps:
            for thread in acting:
                bits = block.apply(step.row, thread, step.sources, instr)
                block.write(thread, step.target, bits, step.row.result)
        return
    assert prepared.row is not None
    _declare_call_parameters(prepared, acting, block)
    if _draws_order(warp) and _is_strong_write(instr):
        acting = lanes_in_turn(warp, acting, pc, block.options.seed)
    prepared.row.meaning(warp, instr, acting)


def _turn_ends(warp: Warp, group: list[Thread]) -> bool:
    warp.turns += 1
    if warp.turns < TURN:
        return False
    warp.turns = 0
    warp.yielded = {thread.lane for thread in group}
    return True


def _count(entry: Entry, tally: Tally, pc: int, group: list[Thread], acting: list[Thread], prepared: Prepared) -> None:
    tally.warp_instructions += 1
    tally.thread_instructions += len(group)
    for index, basic in enumerate(entry.blocks):
        if basic.start == pc:
            tally.block_warps[index] += 1
            tally.block_threads[index] += len(group)
    if prepared.instr.guard is not None and acting:
        tally.guarded[pc] += 1
    if prepared.is_memory and acting:
        tally.requests[pc] = tally.requests.get(pc, 0) + 1
        tally.lanes[pc] = tally.lanes.get(pc, 0) + len(acting)


def _declare_call_parameters(prepared: Prepared, threads: list[Thread], block: Block) -> None:
    """`.param` variables of calls exist from their first use."""
    if prepared.instr.opcode not in ("ld", "st", "call"):
        return
    for thread in threads:
        if not thread.call_params:
            thread.call_params = {v.name: bytearray(v.size) for v in block.entry.variables if v.space == "param"}
