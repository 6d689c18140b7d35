"""Where a module's variables lie in a launch: beside the launch's own memory, and in constant memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.emulator.emitter import const_offsets
from warpsmith.sandbox.emulator.machine import (
    ADDRESS_BASE,
    ADDRESS_STRIDE,
    CONST_WINDOW,
    Allocation,
    Memory,
    UnsupportedInstruction,
)
from warpsmith.sandbox.emulator.program import Module
from warpsmith.sandbox.emulator.vm import bindings


@dataclass(frozen=True, slots=True)
class PlacedMemory:
    """A launch's memory: its allocations, then the module's variables."""

    allocations: list[Allocation]
    addresses: dict[int, int]
    """By position in the module's variables."""
    constants: bytes


def place(module: Module, memory: Memory) -> PlacedMemory:
    """Give every global variable a window behind the launch's allocations and fill constant memory.

    Raises:
        UnsupportedInstruction: an initialiser holds an address the emulator cannot give.
    """
    allocations = list(memory.allocations)
    addresses: dict[int, int] = {}
    offsets, size = const_offsets(module)
    constants = bytearray(size)
    for index, variable in enumerate(module.variables):
        if variable.space == "const":
            if variable.init:
                constants[offsets[variable.name] : offsets[variable.name] + len(variable.init)] = variable.init
        elif variable.space == "global":
            data = np.zeros(variable.size, np.uint8)
            if variable.init:
                data[: len(variable.init)] = np.frombuffer(variable.init, np.uint8)
            addresses[index] = ADDRESS_BASE + len(allocations) * ADDRESS_STRIDE
            allocations.append(Allocation(variable.name, data, None, memory.writable_variables, addresses[index]))
    held = {a.name: a.data for a in allocations[len(memory.allocations) :]}
    shared = np.frombuffer(constants, np.uint8)
    held |= {v.name: shared[offsets[v.name] :] for v in module.variables if v.space == "const"}
    by_name = {module.variables[index].name: address for index, address in addresses.items()}
    by_name |= {name: CONST_WINDOW + offset for name, offset in offsets.items()}
    _relocate(module, by_name, held)
    return PlacedMemory(allocations, addresses, bytes(constants))


WORKSPACE_BYTES = 64
_COUNTER_TOP = 7
"""Most significant byte of the counter, which lies four bytes into the workspace."""


def place_workspace(placed: PlacedMemory, seed: int) -> int:
    """Add the memory in which a grid barrier counts its blocks, and return its address.

    The counter's top bit turns over at every barrier, and a driver need not clear it between
    launches: the seed sets it.
    """
    address = ADDRESS_BASE + len(placed.allocations) * ADDRESS_STRIDE
    data = np.zeros(WORKSPACE_BYTES, np.uint8)
    data[_COUNTER_TOP] = (seed & 1) << 7
    placed.allocations.append(Allocation("grid barrier's workspace", data, None, True, address))
    return address


def _relocate(module: Module, addresses: dict[str, int], data: dict[str, NDArray[np.uint8]]) -> None:
    """Put the generic addresses that initialisers name into tables of pointers."""
    for variable in module.variables:
        for offset, symbol in variable.relocations:
            if variable.name not in data or symbol.name not in addresses:
                raise UnsupportedInstruction(f"the address of {symbol.name} in {variable.name}", 0, 0)
            pointer = (addresses[symbol.name] + symbol.offset).to_bytes(8, "little")
            data[variable.name][offset : offset + 8] = np.frombuffer(pointer, np.uint8)


def allocation_table(allocations: Sequence[Allocation]) -> NDArray[np.void]:
    """`WsAllocation` records, with one to spare so that an empty table has an address.

    Raises:
        ValueError: an array cannot be handed to the VM as it is.
    """
    table = np.zeros(len(allocations) + 1, bindings.ALLOCATION)
    for row, allocation in zip(table, allocations, strict=False):
        data, valid = allocation.data, allocation.valid
        if not data.flags.c_contiguous or (allocation.writable and not data.flags.writeable):
            raise ValueError(f"{allocation.name} must be contiguous, and writable where the kernel writes it")
        row["address"], row["size"] = allocation.address, data.size
        row["data"], row["valid"] = data.ctypes.data, 0 if valid is None else valid.ctypes.data
        row["writable"] = allocation.writable
    return table


def string_at(allocations: Sequence[Allocation], address: int) -> str:
    """The zero-terminated text at a global address; empty where there is none."""
    index = (address - ADDRESS_BASE) // ADDRESS_STRIDE
    if not 0 <= index < len(allocations):
        return ""
    hit = allocations[index]
    tail = hit.data[max(address - hit.address, 0) :].tobytes()
    return tail.partition(b"\0")[0].decode("utf-8", "replace")
