"""A running block: its threads and memory, and how they read operands, write registers and reach memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..machine import Allocation, FaultKind, LaunchSpec, Options, UnsupportedInstruction
from ..program import (
    Address,
    ByLane,
    Entry,
    Immediate,
    Instr,
    Not,
    Operand,
    Register,
    Special,
    Symbol,
)
from .address import BadAccess, Place, in_allocation, require_alignment, space_of, within_window
from .number import integer_value, wrap
from .row import LaneRow
from .special import special_value
from .state import LANES, Bytes, Faulted, Thread, Warp, fault
from .steps import Scratch, Source


def width_of(type_name: str) -> int:
    """Bits of a register or operand type."""
    if type_name == "pred":
        return 1
    if type_name.endswith("x2"):
        return 32
    return int(type_name.lstrip("bfsu"))


@dataclass(slots=True)
class Layout:
    """Where the symbols of a module lie, the same for every block of a launch."""

    addresses: dict[str, int]
    """Address of each variable in its own space."""
    spaces: dict[str, str]
    const: Bytes
    allocations: list[Allocation]
    """The launch's memory, then the module's global variables."""


@dataclass(slots=True)
class BarrierState:
    expected: int | None
    """Threads that must arrive; None is every thread that has not exited."""
    arrived: int = 0
    holds: list[bool] = field(default_factory=list)
    """Predicates of bar.red."""
    waiting: list[tuple[Thread, Instr]] = field(default_factory=list)


@dataclass(slots=True)
class Block:
    """One thread block."""

    entry: Entry
    spec: LaunchSpec
    options: Options
    layout: Layout
    linear: int
    printed: list[str]
    shared: Bytes = field(init=False)
    params: Bytes = field(init=False)
    warps: list[Warp] = field(init=False)
    barriers: dict[int, BarrierState] = field(default_factory=dict)
    clock: int = 0
    """Times that a clock was read."""
    turn: int = 0
    """Times that its warps took turns."""

    def __post_init__(self) -> None:
        self.shared = Bytes.poisoned(self.entry.shared_bytes + self.spec.dynamic_shared)
        self.params = Bytes(bytearray(self.spec.params), None)
        width, height, depth = self.spec.block
        # One more than the entry names: the carry, at index -1.
        count = len(self.entry.registers) + 1
        threads = [
            Thread(
                index,
                (index % width, index // width % height, index // (width * height)),
                [0] * count,
                Bytes.poisoned(self.entry.local_bytes),
            )
            for index in range(width * height * depth)
        ]
        self.warps = [Warp(self, threads[i : i + LANES]) for i in range(0, len(threads), LANES)]

    @property
    def position(self) -> tuple[int, int, int]:
        width, height, _ = self.spec.grid
        return self.linear % width, self.linear // width % height, self.linear // (width * height)

    def threads(self) -> list[Thread]:
        return [thread for warp in self.warps for thread in warp.threads]

    def live_count(self) -> int:
        return sum(not thread.exited for thread in self.threads())

    # -- values ---------------------------------------------------------------------------------------------

    def read(self, thread: Thread, operand: Source, width: int, instr: Instr) -> int:
        """Bits of an operand, truncated to `width`."""
        match operand:
            case Register():
                return wrap(thread.registers[operand.index], width)
            case Immediate():
                return wrap(operand.bits, width)
            case Scratch():
                return wrap(thread.scratch[operand.index], width)
            case Not():
                return 1 - thread.registers[operand.register.index]
            case Special():
                return wrap(special_value(operand.name, self, thread), width)
            case Symbol():
                return wrap(self.symbol_address(operand, instr), width)
            case ByLane():
                return self.read(thread, operand.operands[thread.lane], width, instr)
            case _:
                raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)

    def write(self, thread: Thread, target: Operand | Scratch, bits: int, type_name: str) -> None:
        """Keep a result, extended to the register's width by the sign of its type."""
        if isinstance(target, Scratch):
            thread.scratch[target.index] = bits
        elif isinstance(target, Register):
            signed_type = type_name[0] == "s"
            value = integer_value(bits, type_name) if signed_type else bits
            thread.registers[target.index] = wrap(value, width_of(target.type))
        elif isinstance(target, ByLane):
            self.write(thread, target.operands[thread.lane], bits, type_name)

    def holds(self, thread: Thread, instr: Instr) -> bool:
        """Whether the guard lets the thread execute the instruction."""
        guard = instr.guard
        return guard is None or bool(thread.registers[guard.register.index]) != guard.negated

    def apply(self, row: LaneRow, thread: Thread, sources: tuple[Source, ...], instr: Instr) -> int:
        bits = [
            self.read(thread, source, width_of(kind), instr) for source, kind in zip(sources, row.args, strict=True)
        ]
        return row.meaning(*bits)

    # -- memory ---------------------------------------------------------------------------------------------

    def symbol_address(self, symbol: Symbol, instr: Instr) -> int:
        """Address of a variable in its own space."""
        if symbol.name in self.layout.addresses:
            return self.layout.addresses[symbol.name] + symbol.offset
        for param in self.entry.params:
            if param.name == symbol.name:
                return param.offset + symbol.offset
        raise UnsupportedInstruction(f"symbol {symbol.name}", instr.line, instr.ptx_line)

    def address(self, thread: Thread, operand: Operand, instr: Instr) -> int:
        """The address an operand in brackets names, in the instruction's space."""
        if isinstance(operand, Address):
            base = operand.base
            width = 32 if isinstance(base, Register) and width_of(base.type) == 32 else 64
            return wrap(self.read(thread, base, width, instr) + operand.offset, width)
        return self.read(thread, operand, 64, instr)

    def place(self, thread: Thread, space: str, address: int, size: int, *, write: bool) -> Place:
        """Where an aligned access of `size` bytes lands.

        Raises:
            BadAccess: it is misaligned, out of bounds or a write to read-only memory.
        """
        if space == "generic":
            space, address = space_of(address)
        require_alignment(space, address, size)
        if space == "global":
            return in_allocation(self.layout.allocations, address, size, write=write)
        memory = {
            "shared": self.shared,
            "local": thread.local,
            "const": self.layout.const,
            "param": self.params,
        }[space]
        return within_window(memory, space, address, size)

    def load(self, thread: Thread, space: str, address: int, size: int) -> bytes:
        place = self.place(thread, space, address, size, write=False)
        return place.load(checked=self.options.checks)

    def store(self, thread: Thread, space: str, address: int, data: bytes) -> None:
        self.place(thread, space, address, len(data), write=True).store(data)

    # -- faults ---------------------------------------------------------------------------------------------

    def fault(self, kind: FaultKind, message: str, instr: Instr, thread: Thread, **details: object) -> Faulted:
        return fault(kind, message, instr, self.position, thread.position, **details)

    def access_fault(self, bad: BadAccess, instr: Instr, thread: Thread) -> Faulted:
        return self.fault(
            bad.kind,
            f"{instr.text} {bad.message}",
            instr,
            thread,
            address=bad.address,
            space=bad.space,
            allocation=bad.allocation,
            distance=bad.distance,
            size=bad.size,
        )
