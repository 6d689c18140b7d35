"""The form of a PTX module that both executors run: typed operands, flat instructions, basic blocks.

`ptx/` builds these records from text; `isa/` gives each instruction its meaning; `isa/execute.py` runs
them slowly and readably; `lower.py` turns them into bytecode for the VM. Nothing here computes.
Types are PTX's own names without the dot: `pred b8 u8 s8 b16 u16 s16 f16 bf16 b32 u32 s32 f32 f16x2 bf16x2
b64 u64 s64 f64 b128`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

STRONG = frozenset(("volatile", "acquire", "release", "relaxed", "mmio"))
"""Modifiers of a load or store that make it strong (PTX ISA, "Memory Consistency Model"). Atomics always are."""


@dataclass(frozen=True, slots=True)
class Register:
    index: int
    """Position in the entry's register table."""
    name: str
    type: str
    """Declared type, e.g. `b32`, `f32`, `pred`."""


@dataclass(frozen=True, slots=True)
class Immediate:
    bits: int
    """The literal's bits, 0 <= bits < 2**64; negative integers in two's complement."""
    type: str
    """`s64` or `u64` for an integer literal, `f32` for 0f…, `f64` for 0d…."""


@dataclass(frozen=True, slots=True)
class Special:
    name: str
    """A special register with its percent sign and component: `%tid.x`, `%laneid`."""


@dataclass(frozen=True, slots=True)
class Symbol:
    name: str
    """A variable, function or label."""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Address:
    base: Register | Symbol | Immediate
    offset: int = 0
    """Bytes added to the base."""


@dataclass(frozen=True, slots=True)
class Vector:
    items: tuple[Operand, ...]
    """`{%r1, %r2}`; an underscore is `Sink`."""


@dataclass(frozen=True, slots=True)
class Pair:
    first: Operand
    second: Operand
    """`%p1|%p2` of setp and shfl."""


@dataclass(frozen=True, slots=True)
class Sink:
    """The underscore: a result nobody keeps."""


@dataclass(frozen=True, slots=True)
class Not:
    register: Register
    """`!%p1` where a predicate source is negated."""


@dataclass(frozen=True, slots=True)
class ByLane:
    """Each lane's own operand, where lanes of a warp meet at several instructions; no text has it."""

    operands: dict[int, Operand]


Operand: TypeAlias = Register | Immediate | Special | Symbol | Address | Vector | Pair | Sink | Not | ByLane


@dataclass(frozen=True, slots=True)
class Guard:
    register: Register
    negated: bool


class Instr(NamedTuple):
    # A text has thousands: a tuple is made in a quarter of a frozen dataclass's time.
    opcode: str
    """The first word: `ld`, `fma`, `mma`."""
    modifiers: tuple[str, ...]
    """The dotted words behind it, in the order of the text: ("global", "nc", "v4", "f32")."""
    operands: tuple[Operand, ...]
    guard: Guard | None
    line: int
    """Line of the candidate's source (from `.loc`, innermost inlined call site in file 1 as NVRTC gives it);
    0 where unknown."""
    ptx_line: int
    """Line of the PTX text, from 1."""
    target: int = -1
    """Basic block a `bra` goes to; -1 for everything else."""
    targets: tuple[int, ...] = ()
    """Basic blocks a `brx.idx` chooses from, by index."""
    column: int = 0
    """Column in `line`, from 1; 0 where unknown."""

    @property
    def text(self) -> str:
        return ".".join((self.opcode, *self.modifiers))


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    space: str
    """`shared`, `local`, `global`, `const` or `param` (call arguments)."""
    type: str
    align: int
    size: int
    """Bytes; 0 for an extern array whose size the launch gives (dynamic shared memory)."""
    init: bytes | None
    """Initial bytes where the text gives an initialiser."""
    extern: bool
    relocations: tuple[tuple[int, Symbol], ...] = ()
    """(byte offset, symbol) whose address stands in the initialiser."""


@dataclass(frozen=True, slots=True)
class Param:
    name: str
    offset: int
    """Byte offset in the parameter buffer, natural alignment."""
    size: int
    type: str
    """Element type; `b8` with size > 1 for a struct."""


@dataclass(frozen=True, slots=True)
class Block:
    start: int
    stop: int
    """Instructions [start, stop) of the entry; a branch can only be the last one."""
    successors: tuple[int, ...]
    """Blocks control may reach; the fall-through is `index + 1`."""


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    """The mangled name."""
    params: tuple[Param, ...]
    param_bytes: int
    registers: tuple[Register, ...]
    variables: tuple[Variable, ...]
    """Shared and local variables of this entry, and module-level ones it refers to."""
    instructions: tuple[Instr, ...]
    blocks: tuple[Block, ...]
    """In layout order: the order of the text, which minimum-PC scheduling relies on."""
    max_threads: int | None = None
    """`.maxntid` or `.reqntid` product."""
    required_block: tuple[int, int, int] | None = None
    """`.reqntid`: a launch with any other block fails."""
    cluster: tuple[int, ...] | None = None
    """`.reqnctapercluster`, or nothing but `.explicitcluster` where it is empty: what a launch's clusters must be."""
    shared_bytes: int = 0
    """Static shared memory, 16-byte aligned; dynamic shared memory follows it."""
    shared_offsets: tuple[tuple[str, int], ...] = ()
    """Byte offset of each shared variable in the window; extern ones start at `shared_bytes`."""
    local_bytes: int = 0
    local_offsets: tuple[tuple[str, int], ...] = ()
    pointer_calls: tuple[int, ...] = ()
    """Source lines of calls through a pointer; the instructions hold a choice among the functions it may name."""
    recursive: tuple[str, ...] = ()
    """Functions that may call themselves; their activations share a stack whose size a device chooses otherwise."""


@dataclass(frozen=True, slots=True)
class Module:
    version: tuple[int, int]
    target: str
    """`sm_80`, `sm_90a`."""
    entries: tuple[Entry, ...]
    variables: tuple[Variable, ...]
    """Module-level variables, referenced or not."""
    extern_functions: tuple[str, ...]
    device_functions: tuple[str, ...]

    def entry(self, name: str) -> Entry:
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise KeyError(name)
