"""One row an instruction: its types, its meaning, its C++ text, its pipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Pipe(StrEnum):
    """The execution unit that issues the instruction, as Nsight Compute groups them."""

    ALU = "alu"
    """Integer, logic, compare, select, moves: half of the FP32 rate on the integer lanes."""
    FMA = "fma"
    """fp32 add, multiply, fma, and 32-bit integer multiply-add."""
    HALF = "half"
    """Packed fp16 and bf16 arithmetic."""
    FP64 = "fp64"
    SFU = "sfu"
    """ex2, lg2, rcp, rsqrt, sqrt, sin, cos, tanh, and conversions that run at its rate."""
    TENSOR = "tensor"
    LSU = "lsu"
    """Loads, stores, atomics, shuffles, ldmatrix, votes."""
    CONTROL = "control"
    """Branches, barriers, exits, fences."""
    NONE = "none"
    """Disappears in ptxas: cvta of a known space, mov of a symbol, pragmas."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far the ISA lets a machine's result be from the function's value."""

    text: str
    relative: float = 0.0
    """Of the result's magnitude. An ulp of a p-bit format is counted as 2**(1-p), its largest part of a value."""
    absolute: float = 0.0
    argument: float = 0.0
    """Of the argument's magnitude: what a machine is off before it applies the function, as in reducing an angle."""
    within_one: bool = False
    """The function's values lie in [-1, 1], and so do a machine's."""


@dataclass(frozen=True, slots=True)
class LaneRow:
    """An instruction whose result in a lane depends on that lane's operands alone."""

    name: str
    """Canonical: opcode and the modifiers that change meaning, e.g. `add.b32`, `fma.rn.f32`, `setp.lt.s32`."""
    result: str
    """Type of the result value, e.g. `u32`, `f32`, `pred`. Half types travel as their u16 or u32 bits."""
    args: tuple[str, ...]
    """Types of the source values; cpp names them a, b, c, d in order."""
    meaning: Callable[..., int]
    """Bits of each source in one lane -> bits of the result. This is the definition."""
    cpp: str
    """The same as a C++ expression over scalars a, b, c, d of the C types named in `vm/scalar.h`."""
    pipe: Pipe
    deviation: Deviation | None = None
    """Where the ISA leaves the last bits open (ex2, rcp, …)."""

    @property
    def exact(self) -> bool:
        return self.deviation is None


@dataclass(frozen=True, slots=True)
class WarpRow:
    """An instruction that touches memory, other lanes, or control: the VM has a hand-written handler for it."""

    name: str
    """Canonical, and the VM handler's name: `ld.global.v4.b32`, `shfl.bfly`, `mma.m16n8k16.f32.bf16`."""
    meaning: Callable[..., Any]
    """Called by the readable executor with the warp, the instruction and the active lanes."""
    pipe: Pipe


Row = LaneRow | WarpRow
