"""Where a module's variables lie in a launch, and what they hold at its start."""

from __future__ import annotations

import numpy as np

from ..machine import (
    ADDRESS_BASE,
    ADDRESS_STRIDE,
    CONST_WINDOW,
    LOCAL_WINDOW,
    SHARED_WINDOW,
    Allocation,
    Memory,
)
from ..program import Entry, Module, Variable
from .address import view
from .block import Layout
from .state import Bytes


def place_symbols(module: Module, entry: Entry, memory: Memory) -> Layout:
    """Addresses of every variable; the module's globals become allocations behind the launch's own."""
    variables = {v.name: v for v in (*module.variables, *entry.variables)}.values()
    addresses = dict(entry.shared_offsets) | dict(entry.local_offsets)
    spaces = {v.name: v.space for v in variables}
    allocations, const = list(memory.allocations), bytearray()
    generic = {"shared": SHARED_WINDOW, "local": LOCAL_WINDOW, "const": CONST_WINDOW}
    held: list[tuple[Variable, memoryview]] = []
    for variable in variables:
        contents = (variable.init or b"").ljust(variable.size, b"\0")
        if variable.space == "global":
            address = ADDRESS_BASE + len(allocations) * ADDRESS_STRIDE
            data = np.frombuffer(contents, np.uint8).copy()
            allocations.append(Allocation(variable.name, data, None, memory.writable_variables, address))
            addresses[variable.name] = address
            held.append((variable, view(data)))
        elif variable.space == "const":
            const += bytes(-len(const) % variable.align)
            addresses[variable.name] = len(const)
            const += contents
    held += [(v, memoryview(const)[addresses[v.name] :]) for v in variables if v.space == "const"]
    for variable, contents_view in held:
        for offset, symbol in variable.relocations:
            target = addresses[symbol.name] + symbol.offset + generic.get(spaces[symbol.name], 0)
            contents_view[offset : offset + 8] = target.to_bytes(8, "little")
    return Layout(addresses, spaces, Bytes(const, None), allocations)
