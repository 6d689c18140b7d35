"""mbarrier and the copies that arrive at one, as operations."""

from __future__ import annotations

from warpsmith.sandbox.emulator.bytecode import Flag, Value
from warpsmith.sandbox.emulator.emitter import Emitter
from warpsmith.sandbox.emulator.isa.mbarrier import COUNT_BITS, PENDING_AT
from warpsmith.sandbox.emulator.lower_memory import space_of
from warpsmith.sandbox.emulator.program import Operand, Sink

DROPS, NOT_COMPLETING, EXPECTS_BYTES = 1, 2, 4
"""`ArrivalFlag` of vm/mbarrier.h."""


def mbarrier(emitter: Emitter) -> None:
    what, operands = emitter.instr.modifiers[0], emitter.instr.operands
    if what in ("init", "inval"):
        _begin_or_end(emitter, operands[0], operands[1] if what == "init" else None)
    elif what in ("arrive", "arrive_drop"):
        _arrive(emitter)
    elif what in ("expect_tx", "complete_tx"):
        base, offset, flags, space = _object(emitter, operands[0])
        count = emitter.source(operands[1], 4)
        sign = 1 if what == "expect_tx" else -1
        emitter.emit("mbarrier.bytes", a=base, b=count, e=offset, flags=flags, bytes=space, imm=sign)
    elif what == "pending_count":
        _pending(emitter)
    else:
        _test(emitter)


def track_copies(emitter: Emitter) -> None:
    """cp.async.mbarrier.arrive{.noinc} [addr]."""
    space = space_of(emitter.instr.modifiers)
    base, offset, flags = emitter.address(emitter.instr.operands[0], space)
    flags |= _order(emitter)
    counted = int("noinc" in emitter.instr.modifiers)
    emitter.emit("cp.async.mbarrier.arrive", a=base, imm=offset, flags=flags, bytes=int(space), target=counted)


def _object(emitter: Emitter, operand: Operand) -> tuple[Value, int, int, int]:
    space = space_of(emitter.instr.modifiers)
    base, offset, flags = emitter.address(operand, space)
    return base, offset & 0xFFFFFFFF, flags | _order(emitter), int(space)


def _order(emitter: Emitter) -> int:
    """Arriving releases and waiting acquires, unless the instruction says otherwise."""
    words = emitter.instr.modifiers
    flags: int = Flag.SYNCHRONISES | Flag.BLOCK_SCOPE
    if "test_wait" in words or "try_wait" in words:
        flags |= Flag.AWAITS
        return flags if "relaxed" in words else flags | Flag.ACQUIRES
    arrives = {"arrive", "arrive_drop"} & set(words)
    return flags | Flag.RELEASES if arrives and "relaxed" not in words else flags


def _begin_or_end(emitter: Emitter, address: Operand, count: Operand | None) -> None:
    base, offset, flags = emitter.address(address, space_of(emitter.instr.modifiers))
    emitter.emit(
        "mbarrier.init",
        a=base,
        b=emitter.constant(0) if count is None else emitter.source(count, 4),
        imm=offset,
        flags=flags if count is not None else flags | _order(emitter),
        bytes=int(space_of(emitter.instr.modifiers)),
        target=int(count is not None),
    )


def _arrive(emitter: Emitter) -> None:
    words = emitter.instr.modifiers
    state, address, *number = emitter.instr.operands
    base, offset, flags, space = _object(emitter, address)
    how = DROPS * (words[0] == "arrive_drop")
    how |= NOT_COMPLETING * ("noComplete" in words) | EXPECTS_BYTES * ("expect_tx" in words)
    keeps = not isinstance(state, Sink)
    written = emitter.target(state, "b64") if keeps else None
    emitter.emit(
        "mbarrier.arrive",
        d=written,
        a=base,
        b=emitter.source(number[0], 4) if number else emitter.constant(1),
        e=offset,
        imm=how,
        flags=flags,
        bytes=space,
        target=int(keeps),
    )
    if written is not None:
        emitter.finish(state, written, "b64")


def _test(emitter: Emitter) -> None:
    """A time limit of try_wait is a hint: here it always answers at once."""
    words = emitter.instr.modifiers
    target, address, awaited = emitter.instr.operands[:3]
    base, offset, flags, space = _object(emitter, address)
    parity = "parity" in words
    written = emitter.target(target, "pred")
    emitter.emit(
        "mbarrier.test",
        d=written,
        a=base,
        b=emitter.source(awaited, 4 if parity else 8),
        e=offset,
        imm=int(parity),
        flags=flags,
        bytes=space,
    )


def _pending(emitter: Emitter) -> None:
    """mbarrier.pending_count.b64 count, state."""
    target, state = emitter.instr.operands
    written = emitter.target(target, "b32")
    emitter.emit(
        "lane.bfe.u64",
        d=(wide := Value(8)),
        a=emitter.source(state, 8),
        b=emitter.constant(PENDING_AT),
        c=emitter.constant(COUNT_BITS),
    )
    emitter.emit("truncate32", d=written, a=wide)
    emitter.finish(target, written, "b32")
