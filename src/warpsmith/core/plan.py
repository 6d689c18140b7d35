"""A kernel file bound to one workload: concrete buffers and launches, ready for any launcher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from warpsmith.core.dtype import DType


@dataclass(frozen=True, slots=True)
class BoundBuffer:
    """Scratch that the launcher allocates."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    init: int | None = None
    """None: poisoned; 0 or -1: every byte 0x00 or 0xFF, written inside the timed call."""
    prepared: bool = False
    """Written by prepare launches only, read-only afterwards."""

    @property
    def nbytes(self) -> int:
        size = self.dtype.itemsize
        for extent in self.shape:
            size *= extent
        return size


@dataclass(frozen=True, slots=True)
class TensorArg:
    """A pointer to a task tensor or a scratch buffer; a null pointer where an optional tensor is absent."""

    name: str


@dataclass(frozen=True, slots=True)
class IntArg:
    """An integer passed by value; the parameter's own width (4 or 8 bytes) comes from the compiled entry."""

    value: int


@dataclass(frozen=True, slots=True)
class FloatArg:
    value: float


Arg: TypeAlias = TensorArg | IntArg | FloatArg


@dataclass(frozen=True, slots=True)
class BoundLaunch:
    """One kernel launch with everything known."""

    kernel: str
    """The plan's name expression with knobs as names, e.g. `gemm<BM, BN>`; key of `Artifact.entries`."""
    grid: tuple[int, int, int]
    """No extent is 0: empty launches were dropped."""
    block: tuple[int, int, int]
    shared: int
    """Dynamic shared memory in bytes."""
    args: tuple[Arg, ...]
    line: int
    """Line of the `[[launch]]` in the kernel file."""
    cooperative: bool = False
    prepare: bool = False


@dataclass(frozen=True, slots=True)
class BoundFill:
    """Set every byte pattern of an output before later launches: a memset inside the timed call."""

    tensor: str
    value: int


@dataclass(frozen=True, slots=True)
class BoundPlan:
    """What one call does, in order."""

    buffers: tuple[BoundBuffer, ...]
    steps: tuple[BoundLaunch | BoundFill, ...]

    @property
    def launches(self) -> tuple[BoundLaunch, ...]:
        return tuple(step for step in self.steps if isinstance(step, BoundLaunch))
