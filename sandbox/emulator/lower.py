"""From a parsed entry to the VM's bytecode.

Raises `UnsupportedInstruction` before anything runs, so that an instruction outside the table is never a verdict.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache

from warpsmith.core.garbage import collected_later
from warpsmith.sandbox.emulator import lower_atomic as atomic
from warpsmith.sandbox.emulator import lower_matrix as matrix
from warpsmith.sandbox.emulator import lower_mbarrier as mbarrier
from warpsmith.sandbox.emulator import lower_memory as memory
from warpsmith.sandbox.emulator import lower_warp as warp
from warpsmith.sandbox.emulator.bytecode import Draft, DraftBlock, DraftProgram, Flag, Orders, Space, Value
from warpsmith.sandbox.emulator.emitter import Emitter, width_of
from warpsmith.sandbox.emulator.isa.lanes import lane_rows
from warpsmith.sandbox.emulator.isa.operands import check
from warpsmith.sandbox.emulator.isa.row import Deviation, LaneRow
from warpsmith.sandbox.emulator.isa.steps import Source, Target
from warpsmith.sandbox.emulator.isa.table import is_lane_instruction, one_step, steps, warp_row
from warpsmith.sandbox.emulator.optimistic import mark_optimistic
from warpsmith.sandbox.emulator.polling import awaits_blocks, mark_polls
from warpsmith.sandbox.emulator.program import Entry, Guard, Instr, Module, Operand, Register
from warpsmith.sandbox.emulator.repeats import mark_repeats

Lowering = Callable[[Emitter], None]


def _copy(emitter: Emitter) -> None:
    """cp.async, and the mbarrier that its completion arrives at."""
    if "mbarrier" in emitter.instr.modifiers:
        mbarrier.track_copies(emitter)
    else:
        memory.asynchronous_copy(emitter)


LOWERINGS: dict[str, Lowering] = {
    "ld": memory.load,
    "ldu": memory.load,
    "st": memory.store,
    "atom": atomic.atomic,
    "red": atomic.atomic,
    "cp": _copy,
    "mbarrier": mbarrier.mbarrier,
    "ldmatrix": memory.rows,
    "stmatrix": memory.rows,
    "bar": warp.barrier,
    "barrier": warp.barrier,
    "shfl": warp.shuffle,
    "vote": warp.vote,
    "activemask": warp.active_mask,
    "match": warp.match,
    "redux": warp.reduction,
    "elect": warp.elect,
    "movmatrix": warp.transpose,
    "createpolicy": warp.policy,
    "brkpt": warp.breakpoint_,
    "mma": matrix.multiply,
    "wmma": matrix.wmma,
    "call": warp.call,
    "membar": warp.memory_fence,
    "fence": warp.memory_fence,
    "griddepcontrol": warp.nothing,
    "pmevent": warp.nothing,
    "nanosleep": warp.hint,
    "prefetch": warp.hint,
    "prefetchu": warp.hint,
    "discard": warp.hint,
    "applypriority": warp.hint,
}

MAY_WAIT = frozenset(
    ("bar", "barrier", "shfl", "vote", "match", "redux", "elect", "mma", "wmma", "ldmatrix", "stmatrix", "movmatrix")
)
"""Opcodes whose handlers may hold lanes back, so that a guard must send the others past them."""

ORDERS = Flag.ACQUIRES | Flag.RELEASES

TERMINATORS = frozenset(("bra", "brx", "ret", "exit", "trap"))


@collected_later()
def lower(module: Module, entry: Entry, *, pessimistic: bool = False) -> DraftProgram:
    """One entry as operations over values without places yet."""
    emitter = Emitter(module, entry, pessimistic=pessimistic)
    blocks = []
    for index, block in enumerate(entry.blocks):
        emitter.operations = []
        for i in range(block.start, block.stop):
            instr = entry.instructions[i]
            emitter.begin(i, instr)
            if instr.opcode in TERMINATORS:
                check(instr)
                _leave(emitter, index)
            elif instr.guard is None:
                _straight(emitter)
            else:
                _guarded(emitter, instr.guard)
        last = entry.instructions[block.stop - 1]
        if last.opcode not in TERMINATORS:
            emitter.emit("branch", target=index + 1)
        blocks.append(DraftBlock(emitter.operations, block.successors, block.stop - block.start))
    # A few names stand for thousands of operations, and no lane's arithmetic orders anything.
    others = [draft for block in blocks for draft in block.operations if not draft.handler.startswith("lane.")]
    waits = mark_polls(entry, blocks) or any(map(_is_whole, others))
    mark_repeats(blocks)
    mark_optimistic(entry, blocks)
    orders = _orders(others)
    return DraftProgram(
        blocks,
        list(emitter.constants.values()),
        emitter.ports,
        entry.instructions,
        waits=waits,
        awaits_blocks=waits and awaits_blocks(entry, blocks),
        orders=orders,
    )


def _orders(drafts: list[Draft]) -> Orders:
    """How threads may order others through memory."""
    strong = [draft for draft in drafts if draft.flags & Flag.SYNCHRONISES and not draft.flags & Flag.BLOCK_SCOPE]
    reached = [draft for draft in strong if draft.handler.split(".")[1:2] in (["global"], ["any"])]
    stores = any(draft.handler.startswith("st.") for draft in reached) or any(
        draft.flags & Flag.REPLACES and draft.bytes in (Space.GLOBAL, Space.GENERIC) for draft in strong
    )
    loads = any(draft.handler.startswith("ld.") and not draft.flags & Flag.AWAITS for draft in reached)
    fences = any(draft.handler == "fence" or draft.flags & ORDERS for draft in drafts)
    return (Orders.FENCES if fences else Orders.NONE) | (Orders.HANDS_OVER if stores and loads else Orders.NONE)


def _is_whole(draft: Draft) -> bool:
    """Whether other threads must see 16 bytes whole or not at all: blocks that do so share one host thread."""
    pairs = draft.handler.startswith(("ld.", "st.")) and draft.handler.endswith(".v2.u64")
    return draft.handler.endswith(".b128") or (pairs and bool(draft.flags & Flag.SYNCHRONISES))


def _straight(emitter: Emitter) -> None:
    instr = emitter.instr
    row = one_step(instr)
    if row is not None:
        target, *sources = instr.operands
        _step(emitter, row, target, sources)
        return
    check(instr)
    lowering = LOWERINGS.get(instr.opcode)
    if lowering is not None:
        # The table knows which words an instruction may have; a lowering reads only those it needs.
        warp_row(instr)
        lowering(emitter)
    elif is_lane_instruction(instr):
        _lane(emitter, instr)
    else:
        raise emitter.refusal()


def _lane(emitter: Emitter, instr: Instr) -> None:
    for step in steps(instr):
        _step(emitter, step.row, step.target, step.sources)


def _step(emitter: Emitter, row: LaneRow, target: Target | Operand, sources: Sequence[Source]) -> None:
    handler, widths = _shape(row.name)
    operands = [emitter.source(s, w) for s, w in zip(sources, widths, strict=True)]
    written = emitter.target(target, row.result)
    deviation = row.deviation if emitter.pessimistic else None
    if deviation is not None and deviation.argument:
        operands[0] = _moved(emitter, operands[0], deviation.argument)
    # At most four, in the order of a draft's a, b, c and e.
    emitter.operations.append(Draft(handler, emitter.index, written, *operands))  # type: ignore[arg-type]
    if deviation is not None:
        _perturb(emitter, row, deviation, written)
    emitter.finish(target, written, row.result)


@cache
def _shape(name: str) -> tuple[str, tuple[int, ...]]:
    """A row's handler, and the bytes of each source."""
    return f"lane.{name}", tuple(map(width_of, lane_rows()[name].args))


def _perturb(emitter: Emitter, row: LaneRow, deviation: Deviation, target: Value) -> None:
    """Move a result within its bound (vm/pessimism.h)."""
    kind = row.result if row.result in ("f32", "f64") else row.name.rpartition(".")[2]
    bounds = _bounds(deviation.relative, deviation.absolute)
    emitter.emit(f"perturb.{kind}", d=target, a=target, imm=bounds, bytes=int(deviation.within_one))


def _moved(emitter: Emitter, source: Value, relative: float) -> Value:
    """A copy of an f32, moved by so much of its magnitude at most."""
    copy = Value(4)
    emitter.emit("copy32", d=copy, a=source)
    emitter.emit("perturb.f32", d=copy, a=copy, imm=_bounds(relative, 0.0))
    return copy


def _bounds(relative: float, absolute: float) -> int:
    """As vm/pessimism.h reads them."""
    (bounds,) = struct.unpack("<q", struct.pack("<ff", relative, absolute))
    return int(bounds)


def _guarded(emitter: Emitter, guard: Guard) -> None:
    """Put a guard before each operation of the instruction, or one that splits the warp before one that may wait."""
    outer = emitter.operations
    emitter.operations = []
    _straight(emitter)
    inner, emitter.operations = emitter.operations, outer
    predicate = emitter.register(guard.register)
    flags = Flag.NEGATED if guard.negated else 0
    if len(inner) > 1:
        # A step may overwrite the guard itself.
        kept = Value(4)
        emitter.emit("copy32", d=kept, a=predicate)
        predicate = kept
    waits = emitter.instr.opcode in MAY_WAIT
    counts = 1
    for draft in inner:
        draft.partial = True
        handler = "split" if waits and draft.handler.split(".")[0] in (*MAY_WAIT, "product") else "guarded"
        emitter.operations += [
            Draft(handler, emitter.index, a=predicate, flags=flags, imm=counts),
            draft,
        ]
        counts = 0


def _leave(emitter: Emitter, index: int) -> None:
    """The end of a block: a branch, an exit or a trap, perhaps for some lanes only."""
    instr = emitter.instr
    guard = instr.guard
    predicate = emitter.register(guard.register) if guard else None
    negated = Flag.NEGATED if guard and guard.negated else 0
    if instr.opcode == "bra":
        backward = Flag.BACKWARD if instr.target <= index else 0
        if predicate is None:
            emitter.emit("branch", target=instr.target, flags=backward)
        else:
            emitter.emit("branch_if", a=predicate, target=instr.target, bytes=index + 1, flags=backward | negated)
        return
    if instr.opcode == "brx":
        if predicate is not None or not instr.targets or not isinstance(instr.operands[0], Register):
            raise emitter.refusal()
        backward = Flag.BACKWARD if min(instr.targets) <= index else 0
        items = (len(instr.targets), *instr.targets)
        emitter.emit("branch_indexed", a=emitter.register(instr.operands[0]), items=items, flags=backward)
        return
    if instr.opcode == "trap":
        if predicate is not None:
            emitter.emit("guarded", a=predicate, flags=negated, imm=1)
        emitter.emit("trap")
    elif predicate is None:
        emitter.emit("exit")
    else:
        emitter.emit("exit_if", a=predicate, flags=negated)
    if predicate is not None:
        emitter.emit("branch", target=index + 1)
