"""Meetings of the lanes of a warp, and what it means when nobody can go on.

An instruction with a member mask runs once every live lane of the mask is at it, or at one with the same qualifiers
and the same mask, as the two sides of a branch may have it (PTX ISA, "shfl.sync" and the others).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..machine import FaultKind
from ..program import ByLane, Instr, Operand, Pair, Sink
from .block import Block
from .row import WarpRow
from .state import LANES, Faulted, Thread, Warp
from .steps import Step


@dataclass(frozen=True, slots=True)
class Prepared:
    """An instruction with its rows looked up."""

    instr: Instr
    steps: tuple[Step, ...] | None
    """None for a warp row."""
    row: WarpRow | None
    members: int | None
    """Operand index of the member mask (`member_mask_operand`)."""
    is_memory: bool


def _members(warp: Warp, prepared: Prepared, thread: Thread) -> int:
    """The lanes an instruction waits for."""
    assert prepared.members is not None
    if prepared.members < 0:
        return 0xFFFFFFFF
    operand = prepared.instr.operands[prepared.members]
    return warp.block.read(thread, operand, 32, prepared.instr)


def with_one_mask(warp: Warp, prepared: Prepared, acting: list[Thread]) -> list[Thread]:
    """The lanes of `acting` whose member mask is the first one's: they meet apart from the others."""
    masks = [_members(warp, prepared, thread) for thread in acting]
    for thread, mask in zip(acting, masks, strict=True):
        if mask >> thread.lane & 1:
            continue
        message = (
            f"lane {thread.lane} executes {prepared.instr.text} with member mask {mask:#010x}, which leaves it out"
        )
        raise warp.block.fault(FaultKind.BARRIER, message, prepared.instr, thread)
    return [thread for thread, mask in zip(acting, masks, strict=True) if mask == masks[0]]


def must_wait(warp: Warp, prepared: Prepared, acting: list[Thread]) -> bool:
    """Whether lanes of the member mask are elsewhere; then `acting`, which has one mask, waits where it is."""
    mask = _members(warp, prepared, acting[0])
    if prepared.members == -1 and len(acting) < LANES and len(acting) == warp.alive_mask().bit_count():
        message = f"{prepared.instr.text} needs all {LANES} lanes of the warp; {len(acting)} take part"
        raise warp.block.fault(FaultKind.BARRIER, message, prepared.instr, acting[0])
    here = sum(1 << thread.lane for thread in acting)
    if not mask & warp.alive_mask() & ~here:
        return False
    for thread in acting:
        thread.meeting = mask
    return True


def meet(warp: Warp) -> bool:
    """Let lanes go on that wait at one instruction with everybody their mask names."""
    for thread in warp.threads:
        if thread.meeting is None:
            continue
        together = [other for other in warp.threads if other.meeting is not None and other.pc == thread.pc]
        here = sum(1 << other.lane for other in together)
        if not thread.meeting & warp.alive_mask() & ~here:
            for other in together:
                other.meeting = None
            return True
    return False


MEET_ANYWHERE = frozenset(("bar", "shfl", "vote", "match", "redux"))


def meet_at_several(warp: Warp, program: list[Prepared]) -> list[list[Thread]]:
    """The groups, by place, of lanes that wait at instructions alike with everybody their one mask names."""
    for first in warp.threads:
        text = program[first.pc].instr.text if first.meeting is not None else ""
        if first.meeting is None or program[first.pc].instr.opcode not in MEET_ANYWHERE:
            continue
        here = [
            thread
            for thread in warp.threads
            if thread.meeting == first.meeting and program[thread.pc].instr.text == text
        ]
        if first.meeting & warp.alive_mask() & ~sum(1 << thread.lane for thread in here):
            continue
        places = sorted({thread.pc for thread in here})
        return [[thread for thread in here if thread.pc == place] for place in places]
    return []


def as_one(groups: list[list[Thread]], program: list[Prepared]) -> Instr:
    """The instructions at which the groups stand as one, whose operands are each lane's own."""
    instrs = {thread.lane: program[thread.pc].instr for group in groups for thread in group}
    count = len(program[groups[0][0].pc].instr.operands)
    operands = tuple(_by_lane({lane: instr.operands[i] for lane, instr in instrs.items()}) for i in range(count))
    return program[groups[0][0].pc].instr._replace(operands=operands, guard=None)


def _by_lane(operands: dict[int, Operand]) -> Operand:
    pairs = {
        lane: operand if isinstance(operand, Pair) else Pair(operand, Sink()) for lane, operand in operands.items()
    }
    firsts = ByLane({lane: pair.first for lane, pair in pairs.items()})
    if not any(isinstance(operand, Pair) for operand in operands.values()):
        return firsts
    return Pair(firsts, ByLane({lane: pair.second for lane, pair in pairs.items()}))


def stuck(block: Block, program: list[Prepared]) -> Faulted:
    """Nobody can go on: lanes that wait for lanes, threads at different barriers, or too few threads."""
    threads = [thread for thread in block.threads() if not thread.exited]
    for thread in threads:
        if thread.meeting is not None:
            instr = program[thread.pc].instr
            message = f"{instr.text} waits for lanes of mask {thread.meeting:#010x} that never arrive"
            return block.fault(FaultKind.BARRIER, message, instr, thread)
    first = threads[0]
    instr = program[first.barrier_pc - 1].instr
    for other in threads[1:]:
        if other.barrier != first.barrier:
            elsewhere = program[other.barrier_pc - 1].instr
            message = (
                f"threads wait at different barriers, {first.barrier} (line {instr.line}) "
                f"and {other.barrier} (line {elsewhere.line})"
            )
            details = {"other_line": elsewhere.line, "other_thread": other.position}
            return block.fault(FaultKind.BARRIER, message, instr, first, **details)
    barrier = block.barriers[first.barrier or 0]
    message = f"{barrier.arrived} threads wait at barrier {first.barrier} for {barrier.expected} that cannot all arrive"
    return block.fault(FaultKind.DEADLOCK, message, instr, first)
