"""What lowering produces: operations over virtual values, and the constants that values start with.

A value is a register of the text, a temporary or a constant; `allocate.py` gives each a place in the register
file. Handlers and operand roles are those of `vm/*.h`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from warpsmith.sandbox.emulator.program import Instr


class Flag(IntEnum):
    """`WsFlag` of vm/interface.h. Several at once are a plain number, which costs a tenth of an `IntFlag`."""

    BACKWARD = 1
    NEGATED = 2
    WIDE = 4
    SYNCHRONISES = 16
    POLLS = 32
    BLOCK_SCOPE = 64
    ACQUIRES = 128
    RELEASES = 256
    READ_ONLY_PATH = 512
    AWAITS = 1024
    ALIGNED = 2048
    REPLACES = 4096
    ANYWHERE = 8192


class Space(IntEnum):
    """`WsSpace` of vm/interface.h."""

    GLOBAL = 0
    SHARED = 1
    LOCAL = 2
    GENERIC = 3
    CONST = 4
    PARAM = 5
    REGISTER = 6


class SlotKind(IntEnum):
    """How a constant gets its bits; the first three are `WsSlotKind` of vm/interface.h."""

    IMMEDIATE = 0
    PARAM = 1
    SPECIAL = 2
    GLOBAL_VARIABLE = 3
    """Becomes an immediate once a launch has placed the module's variables."""
    WORKSPACE = 4
    """Half of the address of the grid barrier's workspace: an immediate once a launch has one."""


@dataclass(frozen=True, slots=True)
class Constant:
    kind: SlotKind
    index: int = 0
    """PARAM: byte offset in the parameter buffer. SPECIAL: its number. GLOBAL_VARIABLE: position in the module.
    WORKSPACE: the first bit."""
    bits: int = 0
    """IMMEDIATE: the value. PARAM: its size in bytes. GLOBAL_VARIABLE: offset into the variable."""


@dataclass(slots=True)
class Value:
    """Something a lane holds: `width` is 4 or 8 bytes."""

    width: int
    constant: Constant | None = None
    offset: int = -1
    """Place in the register file, once allocated."""
    number: int = -1
    """Among the values of its program, while places are allocated."""


@dataclass(slots=True)
class Draft:
    """One operation before its values have places."""

    handler: str
    site: int
    d: Value | None = None
    a: Value | None = None
    b: Value | None = None
    c: Value | None = None
    e: Value | int | None = None
    items: tuple[Value | int, ...] = ()
    """The operation's list: places of values, or plain numbers."""
    written: tuple[Value, ...] = ()
    """Values of `items` that the operation writes; the rest it reads."""
    flags: int = 0
    port: int = 0
    target: int = 0
    bytes: int = 0
    imm: int = 0
    partial: bool = False
    """Under a guard: what it writes keeps its old value in some lanes."""

    def operands(self) -> list[Value]:
        """The values that its results are made from."""
        found = [v for v in (self.a, self.b, self.c, self.e) if isinstance(v, Value)]
        written = [id(v) for v in self.written]
        for item in self.items:
            # What is written stands in the list once, and once more where it is read too: sums in place.
            if id(item) in written:
                written.remove(id(item))
            elif isinstance(item, Value):
                found.append(item)
        return found

    def reads(self) -> list[Value]:
        """Its operands, and under a guard what lanes that it leaves out keep."""
        found = self.operands()
        if self.partial:
            found += self.writes()
        return found

    def writes(self) -> list[Value]:
        return [*([self.d] if self.d is not None else []), *self.written]


@dataclass(slots=True)
class DraftBlock:
    operations: list[Draft] = field(default_factory=list)
    successors: tuple[int, ...] = ()
    instructions: int = 0
    changes: bool = False
    """It may change memory or a barrier (`polling.py`)."""
    listens: bool = False
    """It reads what others may change, and means it."""


class Orders(IntFlag):
    """How threads may order others through memory, as `WsOrders` has it."""

    NONE = 0
    FENCES = 1
    HANDS_OVER = 2
    """Strong stores, and strong loads that do not wait for what they find."""


@dataclass(slots=True)
class DraftProgram:
    """An entry in operations, one list a basic block."""

    blocks: list[DraftBlock]
    constants: list[Value]
    ports: list[int]
    """Instruction index of each memory instruction."""
    instructions: tuple[Instr, ...]
    waits: bool = False
    """Some loop waits for what another warp or block does."""
    awaits_blocks: bool = False
    """Some loop waits for a value that another block writes."""
    orders: Orders = Orders.NONE
