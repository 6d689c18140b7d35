"""A launch as the VM takes it, and who runs the VM."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from warpsmith.sandbox.emulator.machine import Allocation
from warpsmith.sandbox.emulator.vm import bindings


@dataclass(frozen=True, slots=True)
class Invocation:
    """A record and the arrays behind its pointers."""

    record: bindings.LaunchRecord
    given: Mapping[str, NDArray[Any]]
    """What the VM reads, by field of the record."""
    filled: Mapping[str, NDArray[Any]]
    """What it writes."""
    allocations: Sequence[Allocation]
    """Memory, which it reads and writes; `given["allocations"]` has a row for each."""


Invoke: TypeAlias = Callable[[Invocation], None]
"""Runs the VM: results are in the arrays and the record afterwards."""


def invoke_here(invocation: Invocation) -> None:
    """Run the VM in this process."""
    if bindings.library().ws_launch(ctypes.byref(invocation.record)):
        raise MemoryError(f"no memory for {invocation.record.threads} host threads of the emulator")
