"""What a running block consists of in the readable executor: threads, warps, barriers, memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..machine import Fault, FaultKind
from ..program import Instr

if TYPE_CHECKING:
    from .block import Block

LANES = 32


class Faulted(Exception):  # noqa: N818 - carries a verdict on the kernel to `launch`, which returns it
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(slots=True)
class Bytes:
    """A run of memory with one validity byte a byte; None where everything is initialised."""

    data: bytearray | memoryview
    valid: bytearray | memoryview | None

    @classmethod
    def poisoned(cls, size: int) -> Bytes:
        return cls(bytearray(size), bytearray(size))


@dataclass(slots=True)
class Copy:
    """A cp.async that has been issued: its bytes arrive when its group is waited for."""

    source: int
    """Generic address."""
    target: int
    """Shared address."""
    size: int
    read: int
    """Bytes taken from the source; the rest of `size` is zeros."""
    instr: Instr
    arrival: Callable[[Warp, Thread, Copy], None] | None = None
    """Instead of bytes, the arrival at the mbarrier `target` once the copies before it are complete."""


@dataclass(slots=True)
class Thread:
    index: int
    """Linear within the block."""
    position: tuple[int, int, int]
    registers: list[int]
    local: Bytes
    pc: int = 0
    """Index of the instruction it executes next."""
    exited: bool = False
    barrier: int | None = None
    """Number of the block barrier it waits at."""
    barrier_pc: int = 0
    meeting: int | None = None
    """Member mask of the warp instruction at which it waits for others; pc is still there."""
    scratch: list[int] = field(default_factory=lambda: [0] * 4)
    call_params: dict[str, bytearray] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    """Issued since the last commit_group."""
    copy_groups: deque[list[Copy]] = field(default_factory=deque)

    @property
    def lane(self) -> int:
        return self.index % LANES

    @property
    def ready(self) -> bool:
        return not self.exited and self.barrier is None and self.meeting is None


@dataclass(slots=True)
class Warp:
    block: Block
    threads: list[Thread]
    yielded: set[int] = field(default_factory=set)
    """Lanes that had their turn in a loop and let others go first."""
    running: list[Thread] = field(default_factory=list)
    """The group that executed last."""
    turns: int = 0
    divergences: int = 0

    @property
    def index(self) -> int:
        return self.threads[0].index // LANES

    def alive_mask(self) -> int:
        return sum(1 << t.lane for t in self.threads if not t.exited)


def fault(
    kind: FaultKind,
    message: str,
    instr: Instr,
    block: tuple[int, int, int],
    thread: tuple[int, int, int],
    **details: object,
) -> Faulted:
    """The exception for a fault at `instr`."""
    made = Fault(kind, message, instr.line, instr.ptx_line, instr.text, block, thread, **details)  # type: ignore[arg-type]
    return Faulted(made)
