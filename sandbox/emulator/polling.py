"""Finds loops that wait: whether such a loop goes on depends on memory that another warp or block may change.

A launch with a window of resident blocks lets others run when a block's warps turn in such loops alone. What the
window must know to tell a hang from a wait is noted too: basic blocks that may change something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from warpsmith.sandbox.emulator.bytecode import Draft, DraftBlock, Flag
from warpsmith.sandbox.emulator.dataflow import read_registers, written_registers
from warpsmith.sandbox.emulator.program import Entry, Instr, Register, Sink

FRESH = frozenset(("volatile", "acquire", "relaxed", "mmio", "cg", "cv"))
"""Loads with one of these may see a new value each time; others the compiler and the caches may serve once."""
PRIVATE = frozenset(("local", "param", "const"))
CHANGES = ("st.", "stmatrix", "wmma.store", "cp.async", "bar.sync", "bar.arrive", "mbarrier.init", "printf")
"""Beginnings of the names of operations that change memory or a barrier. Atomics tell at run time whether they do."""
_POLLING = frozenset(("ld", "atom", "mbarrier"))
_BACKWARD = int(Flag.BACKWARD)


def mark_polls(entry: Entry, blocks: list[DraftBlock]) -> bool:
    """Flag the backward branches of waiting loops, and the blocks that change something; True if anything waits."""
    waits = False
    for block in blocks:
        block.changes = any(name.startswith(CHANGES) for name in {draft.handler for draft in block.operations})
    for block, basic in zip(blocks, entry.blocks, strict=True):
        block.listens = any(map(_listens, entry.instructions[basic.start : basic.stop]))
    for index, draft, body in _loops(entry, blocks):
        if _waits(body, _polls):
            draft.flags |= Flag.POLLS
            waits = True
            _mark_awaits(entry, blocks[draft.target : index + 1])
    return waits


def awaits_blocks(entry: Entry, blocks: list[DraftBlock]) -> bool:
    """Whether a block may wait for a value that another one writes: without that one it waits forever.

    A lock, or an atomic made of compare-and-swap, is waited for too, but whoever holds it is on its way.
    """
    return any(_waits(body, _hears_blocks) for _, _, body in _loops(entry, blocks))


def _loops(entry: Entry, blocks: list[DraftBlock]) -> Iterator[tuple[int, Draft, tuple[Instr, ...]]]:
    """The index of each basic block that branches back, the branch, and the instructions it may repeat."""
    for index, block in enumerate(blocks):
        # A branch ends its block.
        for draft in block.operations[-1:]:
            if draft.flags & _BACKWARD and draft.handler != "branch_indexed":
                yield index, draft, entry.instructions[entry.blocks[draft.target].start : entry.blocks[index].stop]


def _mark_awaits(entry: Entry, loop: list[DraftBlock]) -> None:
    for block in loop:
        for draft in block.operations:
            if draft.handler.startswith("ld.") and _polls(entry.instructions[draft.site]):
                draft.flags |= Flag.AWAITS


def _waits(body: tuple[Instr, ...], polls: Callable[[Instr], bool]) -> bool:
    """Whether a branch of the loop is guarded by what a polled value reaches."""
    polled = [instr for instr in body if instr.opcode in _POLLING and polls(instr)]
    if not polled:
        return False
    reached = {register.index for instr in polled for register in written_registers(instr)}
    flows = [(_indices(read_registers(instr)), _indices(written_registers(instr))) for instr in body]
    before = -1
    while len(reached) != before:
        before = len(reached)
        for read, written in flows:
            if not reached.isdisjoint(read):
                reached.update(written)
    return any(i.opcode in ("bra", "exit", "ret") and i.guard and i.guard.register.index in reached for i in body)


def _indices(registers: Iterable[Register]) -> list[int]:
    return [register.index for register in registers]


def _listens(instr: Instr) -> bool:
    return instr.opcode == "red" or (instr.opcode in _POLLING and (instr.opcode == "atom" or _polls(instr)))


def _polls(instr: Instr) -> bool:
    if instr.opcode == "mbarrier":
        return instr.modifiers[0] in ("test_wait", "try_wait")
    if instr.opcode not in ("ld", "atom"):
        return False
    words = {word.partition("::")[0] for word in instr.modifiers}
    if words & PRIVATE:
        return False
    if instr.opcode == "atom":
        return not isinstance(instr.operands[0], Sink)
    return bool(words & FRESH)


def _hears_blocks(instr: Instr) -> bool:
    """Whether it reads what other blocks write, and leaves it as it is or counts on it."""
    words = {word.partition("::")[0] for word in instr.modifiers}
    return instr.opcode in ("ld", "atom") and not words & {"shared", "cas", "exch"} and _polls(instr)
