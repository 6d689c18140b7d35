"""An entry in the form the VM reads: packed operations, their lists, blocks and the constants' slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.garbage import collected_later
from warpsmith.sandbox.emulator.allocate import allocate
from warpsmith.sandbox.emulator.bytecode import Constant, Draft, DraftProgram, Orders, SlotKind, Value
from warpsmith.sandbox.emulator.machine import UnsupportedInstruction
from warpsmith.sandbox.emulator.program import Entry
from warpsmith.sandbox.emulator.vm import bindings


@dataclass(frozen=True, slots=True)
class Program:
    """An entry in bytecode."""

    entry: Entry
    operations: NDArray[np.void]
    lists: NDArray[np.uint32]
    slots: NDArray[np.void]
    variables: tuple[tuple[int, Constant], ...]
    """(slot, variable or workspace) of the addresses that a launch fills in."""
    blocks: NDArray[np.void]
    ports: tuple[int, ...]
    register_bytes: int
    prints: bool
    waits: bool
    awaits_blocks: bool
    orders: Orders


@collected_later()
def pack(entry: Entry, draft: DraftProgram) -> Program:
    """Allocate registers and lay the entry out.

    Raises:
        UnsupportedInstruction: the VM has no handler for an operation.
    """
    register_bytes = allocate(draft)
    flat = [operation for block in draft.blocks for operation in block.operations]
    rows: list[bytes] = []
    lists: list[int] = []
    handlers = bindings.handler_ids()
    for operation in flat:
        handler = handlers.get(operation.handler)
        if handler is None:
            instr = entry.instructions[operation.site]
            raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)
        rows.append(_row(operation, handler, len(lists)))
        if operation.items:
            lists += [item.offset if isinstance(item, Value) else item for item in operation.items]
    blocks = np.zeros(len(draft.blocks), bindings.BLOCK)
    first = 0
    for block_row, block in zip(blocks, draft.blocks, strict=True):
        block_row["first"], block_row["instructions"] = first, block.instructions
        block_row["changes"], block_row["listens"] = block.changes, block.listens
        first += len(block.operations)
    slots, variables = _pack_slots(draft.constants)
    prints = any(operation.handler in ("printf", "assert") for operation in flat)
    return Program(
        entry,
        np.frombuffer(bytearray().join(rows), bindings.OPERATION),
        np.array([*lists, 0], np.uint32),
        slots,
        variables,
        blocks,
        tuple(draft.ports),
        register_bytes,
        prints,
        draft.waits,
        draft.awaits_blocks,
        draft.orders,
    )


def _row(operation: Draft, handler: int, start: int) -> bytes:
    """A `WsOperation`."""
    d, a, b, c = operation.d, operation.a, operation.b, operation.c
    e = operation.e
    return bindings.OPERATION_LAYOUT.pack(
        handler,
        0 if d is None else d.offset,
        0 if a is None else a.offset,
        0 if b is None else b.offset,
        0 if c is None else c.offset,
        e.offset if isinstance(e, Value) else e or 0,
        start,
        operation.site,
        operation.flags,
        operation.port,
        operation.target,
        operation.bytes,
        # An offset may be any 64 bits.
        (operation.imm + (1 << 63)) % (1 << 64) - (1 << 63),
    )


def _pack_slots(constants: Sequence[Value]) -> tuple[NDArray[np.void], tuple[tuple[int, Constant], ...]]:
    slots = np.zeros(len(constants), bindings.SLOT)
    variables = []
    for index, value in enumerate(constants):
        constant = value.constant
        assert constant is not None
        kind = constant.kind
        if kind in (SlotKind.GLOBAL_VARIABLE, SlotKind.WORKSPACE):
            variables.append((index, constant))
            kind = SlotKind.IMMEDIATE
        slots[index] = (value.offset, value.width, kind, constant.index, constant.bits)
    return slots, tuple(variables)
