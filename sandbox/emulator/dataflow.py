"""Which registers an instruction reads and writes, and what kind of latency its result has."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from warpsmith.sandbox.emulator.isa.row import Pipe
from warpsmith.sandbox.emulator.isa.table import lookup
from warpsmith.sandbox.emulator.program import Address, Instr, Not, Operand, Pair, Register, Vector

_WRITE_NOTHING = ("st", "red", "bra", "brx", "bar", "barrier", "cp", "ret", "exit")


class Kind(StrEnum):
    """What a value comes from, by how long that takes."""

    ARITHMETIC = "arithmetic"
    SFU = "sfu"
    TENSOR = "tensor"
    SHARED = "shared"
    """Shared memory, shuffles and votes."""
    GLOBAL = "global"
    """Global and local memory, atomics with a result."""


def kind_of(instr: Instr) -> Kind:
    """Kind of the instruction's result."""
    if instr.opcode in ("ld", "atom", "wmma") and "mma" not in instr.modifiers:
        if {"param", "const"} & set(instr.modifiers):
            return Kind.ARITHMETIC
        return Kind.SHARED if "shared" in instr.modifiers else Kind.GLOBAL
    match lookup(instr).pipe:
        case Pipe.TENSOR:
            return Kind.TENSOR
        case Pipe.SFU:
            return Kind.SFU
        case Pipe.LSU:
            return Kind.SHARED
        case _:
            return Kind.ARITHMETIC


def is_global_load(instr: Instr) -> bool:
    """Whether it brings data from global memory, into registers or shared memory."""
    if instr.opcode == "cp":
        return "async" in instr.modifiers and "global" in instr.modifiers
    return instr.opcode in ("ld", "wmma") and not {"shared", "param", "local", "const", "mma", "store"} & set(
        instr.modifiers
    )


def written_registers(instr: Instr) -> tuple[Register, ...]:
    """The registers an instruction writes."""
    if not instr.operands or instr.opcode in _WRITE_NOTHING or isinstance(instr.operands[0], Address):
        return ()
    return tuple(registers_of(instr.operands[0]))


def read_registers(instr: Instr) -> Iterator[Register]:
    """The registers an instruction reads, its guard's last."""
    first = 0 if not written_registers(instr) else 1
    for operand in instr.operands[first:]:
        yield from registers_of(operand)
    if instr.guard is not None:
        yield instr.guard.register


def registers_of(operand: Operand) -> Iterator[Register]:
    """The registers an operand names: itself, those of a vector or pair, and the base of an address."""
    match operand:
        case Register():
            yield operand
        case Not(register=register):
            yield register
        case Address(base=Register() as base):
            yield base
        case Vector(items=items):
            for item in items:
                yield from registers_of(item)
        case Pair(first=first, second=second):
            yield from registers_of(first)
            yield from registers_of(second)
        case _:
            return
