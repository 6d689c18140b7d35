"""mbarrier: phases that complete when the expected arrivals, and bytes, have come.

The object is opaque to kernels. Ours, in 64 bits: expected arrivals (20), pending arrivals (20), bytes still to come
(21, signed), one spare, the bits above; the phase's parity is the highest. A state is the object as it was.
Source: PTX ISA 9.0, section "Parallel Synchronization and Communication Instructions: mbarrier".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..machine import FaultKind
from ..program import Instr, Operand
from .address import BadAccess, space_of
from .number import signed, wrap
from .row import Pipe, WarpRow
from .state import Copy, Thread, Warp
from .warp_memory import deliver_up_to, space_in

COUNT_BITS, BYTES_BITS = 20, 21
PENDING_AT, BYTES_AT, PARITY_AT = 20, 40, 63
ENDS_TURN = 1 << 30
"""More backward branches than a turn has."""
LARGEST_COUNT = (1 << COUNT_BITS) - 1


@dataclass(slots=True)
class Barrier:
    """The fields of an object."""

    expected: int
    pending: int
    bytes: int
    parity: int

    @classmethod
    def read(cls, word: int) -> Barrier:
        return cls(
            word & LARGEST_COUNT,
            word >> PENDING_AT & LARGEST_COUNT,
            signed(word >> BYTES_AT & (1 << BYTES_BITS) - 1, BYTES_BITS),
            word >> PARITY_AT,
        )

    def word(self) -> int:
        held = wrap(self.bytes, BYTES_BITS) << BYTES_AT
        return self.expected | self.pending << PENDING_AT | held | self.parity << PARITY_AT

    def settle(self) -> None:
        """Begin the next phase where nothing is missing from this one."""
        if self.pending == 0 and self.bytes == 0:
            self.parity ^= 1
            self.pending = self.expected


@dataclass(slots=True)
class Held:
    """One lane's access to a barrier object in shared memory."""

    warp: Warp
    instr: Instr
    thread: Thread
    address: int

    def barrier(self) -> Barrier:
        try:
            data = self.warp.block.load(self.thread, "shared", self.address, 8)
        except BadAccess as bad:
            raise self.warp.block.access_fault(bad, self.instr, self.thread) from None
        found = Barrier.read(int.from_bytes(data, "little"))
        if not found.expected:
            raise self.misuse("is no mbarrier that mbarrier.init has made")
        return found

    def keep(self, barrier: Barrier) -> None:
        try:
            self.warp.block.store(self.thread, "shared", self.address, barrier.word().to_bytes(8, "little"))
        except BadAccess as bad:
            raise self.warp.block.access_fault(bad, self.instr, self.thread) from None

    def misuse(self, what: str) -> Exception:
        message = f"{self.instr.text}: the object at shared address {self.address} {what}"
        return self.warp.block.fault(FaultKind.BARRIER, message, self.instr, self.thread)


def _held(warp: Warp, instr: Instr, thread: Thread, operand: Operand) -> Held:
    address = warp.block.address(thread, operand, instr)
    if space_in(instr) == "generic":
        space, address = space_of(address)
        if space != "shared":
            raise warp.block.access_fault(
                BadAccess(FaultKind.OUT_OF_BOUNDS, "is given an mbarrier outside shared memory", space, address, 8),
                instr,
                thread,
            )
    return Held(warp, instr, thread, address)


def initialise(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """mbarrier.init [addr], count."""
    for thread in threads:
        held = _held(warp, instr, thread, instr.operands[0])
        count = warp.block.read(thread, instr.operands[1], 32, instr)
        if not 0 < count <= LARGEST_COUNT:
            raise held.misuse(f"cannot expect {count} arrivals: 1 to {LARGEST_COUNT}")
        held.keep(Barrier(count, count, 0, 0))


def invalidate(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """mbarrier.inval [addr]."""
    for thread in threads:
        held = _held(warp, instr, thread, instr.operands[0])
        held.barrier()
        held.keep(Barrier(0, 0, 0, 0))


def arrive(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """mbarrier.arrive{_drop}{.noComplete | .expect_tx} state, [addr]{, count or bytes}."""
    words, operands = instr.modifiers, instr.operands
    for thread in threads:
        held = _held(warp, instr, thread, operands[1])
        number = warp.block.read(thread, operands[2], 32, instr) if len(operands) > 2 else 1
        before = held.barrier()
        state = before.word()
        count, extra = (1, number) if "expect_tx" in words else (number, 0)
        after = Barrier(before.expected, before.pending, before.bytes + extra, before.parity)
        arrived(held, after, count, drops=words[0] == "arrive_drop", completes="noComplete" not in words)
        warp.block.write(thread, operands[0], state, "b64")


def arrived(held: Held, barrier: Barrier, count: int, *, drops: bool, completes: bool) -> None:
    if not 0 < count <= barrier.pending:
        raise held.misuse(f"gets {count} arrivals where {barrier.pending} are pending")
    barrier.pending -= count
    if not completes and barrier.pending == 0:
        raise held.misuse("completes its phase by an arrival that must not (.noComplete)")
    if drops:
        barrier.expected -= count
    barrier.settle()
    held.keep(barrier)


def expect(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """mbarrier.expect_tx and .complete_tx [addr], bytes."""
    sign = 1 if instr.modifiers[0] == "expect_tx" else -1
    for thread in threads:
        held = _held(warp, instr, thread, instr.operands[0])
        barrier = held.barrier()
        barrier.bytes += sign * warp.block.read(thread, instr.operands[1], 32, instr)
        if sign < 0:
            barrier.settle()
        held.keep(barrier)


def test(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """mbarrier.test_wait and .try_wait p, [addr], state; with .parity p, [addr], parity of the awaited phase.

    Copies whose completion the barrier tracks arrive now, the last legal moment.
    """
    for thread in threads:
        held = _held(warp, instr, thread, instr.operands[1])
        _deliver(held)
        barrier = held.barrier()
        if "parity" in instr.modifiers:
            awaited = warp.block.read(thread, instr.operands[2], 32, instr) & 1
        else:
            awaited = warp.block.read(thread, instr.operands[2], 64, instr) >> PARITY_AT
        over = barrier.parity != awaited
        warp.block.write(thread, instr.operands[0], int(over), "pred")
        if not over:
            # Going round again helps nobody: the loop's next turn is another warp's.
            warp.turns = ENDS_TURN


def _deliver(held: Held) -> None:
    for warp in held.warp.block.warps:
        for thread in warp.threads:
            deliver_up_to(warp, thread, held.address)


def arrive_for_copies(warp: Warp, thread: Thread, copy: Copy) -> None:
    held = Held(warp, copy.instr, thread, copy.target)
    arrived(held, held.barrier(), 1, drops=False, completes=True)


def track_copies(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """cp.async.mbarrier.arrive{.noinc} [addr]: an arrival once the thread's copies so far are complete."""
    for thread in threads:
        held = _held(warp, instr, thread, instr.operands[0])
        barrier = held.barrier()
        if "noinc" not in instr.modifiers:
            barrier.pending += 1
            held.keep(barrier)
        thread.copies.append(Copy(0, held.address, 0, 0, instr, arrive_for_copies))


def pending_count(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """mbarrier.pending_count count, state."""
    for thread in threads:
        state = warp.block.read(thread, instr.operands[1], 64, instr)
        warp.block.write(thread, instr.operands[0], Barrier.read(state).pending, "b32")


def _rows() -> Iterator[WarpRow]:
    for space in ("shared", "generic"):
        yield WarpRow(f"mbarrier.init.{space}", initialise, Pipe.LSU)
        yield WarpRow(f"mbarrier.inval.{space}", invalidate, Pipe.LSU)
        for arrival in ("arrive", "arrive_drop"):
            for how in ("", ".noComplete", ".expect_tx"):
                yield WarpRow(f"mbarrier.{arrival}{how}.{space}", arrive, Pipe.LSU)
        for how in ("expect_tx", "complete_tx"):
            yield WarpRow(f"mbarrier.{how}.{space}", expect, Pipe.LSU)
        for waits in ("test_wait", "try_wait"):
            for parity in ("", ".parity"):
                yield WarpRow(f"mbarrier.{waits}{parity}.{space}", test, Pipe.LSU)
        for noinc in ("", ".noinc"):
            yield WarpRow(f"cp.async.mbarrier.arrive{noinc}.{space}", track_copies, Pipe.LSU)


ROWS: tuple[WarpRow, ...] = (*_rows(), WarpRow("mbarrier.pending_count", pending_count, Pipe.ALU))
