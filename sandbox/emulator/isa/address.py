"""From an address to bytes: the spaces of device memory, their bounds, alignment, permission and initialisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..machine import (
    ADDRESS_BASE,
    ADDRESS_STRIDE,
    CONST_WINDOW,
    LOCAL_WINDOW,
    PARAM_WINDOW,
    SHARED_WINDOW,
    WINDOW_BYTES,
    Allocation,
    FaultKind,
)
from .state import Bytes

WINDOWS = {"shared": SHARED_WINDOW, "local": LOCAL_WINDOW, "const": CONST_WINDOW, "param": PARAM_WINDOW}


@dataclass(slots=True)
class BadAccess(Exception):  # noqa: N818 - becomes a Fault once the thread is known
    kind: FaultKind
    message: str
    space: str
    address: int
    size: int
    allocation: str = ""
    distance: int = 0


@dataclass(slots=True)
class Place:
    """Where an access lands: `memory.data[start : start + size]`."""

    memory: Bytes
    start: int
    size: int
    space: str
    address: int
    allocation: str

    def load(self, *, checked: bool) -> bytes:
        valid = self.memory.valid
        if checked and valid is not None and not all(valid[self.start : self.start + self.size]):
            first = next(i for i in range(self.size) if not valid[self.start + i])
            raise BadAccess(
                FaultKind.UNINITIALISED,
                f"reads {self.size} bytes of {self.allocation} at byte {self.start}, "
                f"of which byte {self.start + first} was never written",
                self.space,
                self.address,
                self.size,
                self.allocation,
            )
        return bytes(self.memory.data[self.start : self.start + self.size])

    def store(self, data: bytes) -> None:
        self.memory.data[self.start : self.start + self.size] = data
        if self.memory.valid is not None:
            self.memory.valid[self.start : self.start + self.size] = b"\x01" * self.size

    def poison(self) -> None:
        """Mark the bytes unwritten: an asynchronous copy into them is on its way."""
        if self.memory.valid is not None:
            self.memory.valid[self.start : self.start + self.size] = bytes(self.size)


def space_of(address: int) -> tuple[str, int]:
    """The space a generic address lies in, and its address there."""
    for space, window in WINDOWS.items():
        if window <= address < window + WINDOW_BYTES:
            return space, address - window
    return "global", address


def require_alignment(space: str, address: int, size: int) -> None:
    if address % size:
        raise BadAccess(
            FaultKind.MISALIGNED,
            f"accesses {size} bytes at {space} address {address:#x}, which is no multiple of {size}",
            space,
            address,
            size,
        )


def within_window(memory: Bytes, space: str, address: int, size: int) -> Place:
    """A place in a small space whose addresses start at 0."""
    limit = len(memory.data)
    if address + size > limit:
        past = address + size - limit
        raise BadAccess(
            FaultKind.OUT_OF_BOUNDS,
            f"accesses {size} bytes at {space} address {address}, {past} past the end of {limit} bytes",
            space,
            address,
            size,
            space,
            past,
        )
    return Place(memory, address, size, space, address, space)


def view(data: NDArray[np.uint8]) -> memoryview:
    """The array's own bytes."""
    return data.data


def in_allocation(allocations: list[Allocation], address: int, size: int, *, write: bool) -> Place:
    """A place in global memory; a miss is told of the nearest allocation."""
    index = (address - ADDRESS_BASE + ADDRESS_STRIDE // 2) // ADDRESS_STRIDE
    if not 0 <= index < len(allocations):
        raise BadAccess(
            FaultKind.OUT_OF_BOUNDS,
            f"accesses {size} bytes at {address:#x}, which is in no allocation",
            "global",
            address,
            size,
        )
    hit = allocations[index]
    start = address - hit.address
    if start < 0 or start + size > hit.data.size:
        distance = start if start < 0 else start + size - hit.data.size
        where = f"{-start} before the start" if start < 0 else f"{distance} past the end"
        raise BadAccess(
            FaultKind.OUT_OF_BOUNDS,
            f"accesses {size} bytes {where} of {hit.name} ({hit.data.size} bytes)",
            "global",
            address,
            size,
            hit.name,
            distance,
        )
    if write and not hit.writable:
        message = f"writes {size} bytes at byte {start} of {hit.name}, which is read-only"
        raise BadAccess(FaultKind.READ_ONLY, message, "global", address, size, hit.name)
    memory = Bytes(view(hit.data), None if hit.valid is None else view(hit.valid))
    return Place(memory, start, size, "global", address, hit.name)
