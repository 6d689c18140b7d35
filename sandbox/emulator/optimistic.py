"""Finds plain loads that guess what a compare-and-swap of the same place compares with.

The CUDA C++ Programming Guide builds atomics of its own so, and NVIDIA's headers do for types that a target has none
for: `old = *p; do { assumed = old; old = atomicCAS(p, assumed, f(assumed)); } while (old != assumed);`. A stale value
costs a turn of the loop and nothing else, for the swap compares it. Such a load counts as a relaxed one: it races with
no atomic.
"""

from __future__ import annotations

from warpsmith.sandbox.emulator.bytecode import DraftBlock, Flag
from warpsmith.sandbox.emulator.dataflow import read_registers, written_registers
from warpsmith.sandbox.emulator.program import Address, Entry, Instr, Register

_MEMORY = frozenset(("ld", "st", "atom", "red", "shfl", "call"))


def mark_optimistic(entry: Entry, blocks: list[DraftBlock]) -> None:
    """Flag the loads whose value a compare-and-swap of the same address compares."""
    swaps = [instr for instr in entry.instructions if instr.opcode == "atom" and "cas" in instr.modifiers]
    if not swaps:
        return
    for draft in (draft for block in blocks for draft in block.operations):
        if draft.handler.startswith("ld.") and not draft.flags & (Flag.SYNCHRONISES | Flag.READ_ONLY_PATH):
            load = entry.instructions[draft.site]
            beside = [swap for swap in swaps if _same_place(load, swap)]
            if beside and _compared(entry, load, beside):
                draft.flags |= Flag.SYNCHRONISES


def _same_place(load: Instr, swap: Instr) -> bool:
    """Whether both name one address in the text."""
    place = load.operands[1]
    return isinstance(place, Address) and isinstance(load.operands[0], Register) and place == swap.operands[1]


def _compared(entry: Entry, load: Instr, swaps: list[Instr]) -> bool:
    """Whether the loaded value, or what is computed from it, is what one of the swaps expects to find."""
    reached = set(written_registers(load))
    before = 0
    while len(reached) != before:
        before = len(reached)
        for instr in entry.instructions:
            if instr.opcode not in _MEMORY and not reached.isdisjoint(read_registers(instr)):
                reached.update(written_registers(instr))
    return any(isinstance(swap.operands[2], Register) and swap.operands[2] in reached for swap in swaps)
