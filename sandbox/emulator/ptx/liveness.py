"""Registers that a function's code may still read, by instruction."""

from __future__ import annotations

from collections.abc import Iterator

from warpsmith.sandbox.emulator.program import Address, Instr, Not, Operand, Pair, Register, Vector
from warpsmith.sandbox.emulator.ptx.functions import Code

READS_FIRST = frozenset(
    ("st", "red", "bar", "barrier", "cp", "bra", "brx", "ret", "exit", "trap", "nanosleep", "prefetch", "prefetchu",
     "discard", "applypriority",  "stmatrix", "membar", "fence", "call", "brkpt", "stackrestore")
)  # fmt: skip
"""Opcodes whose first operand is no result."""


def registers_in(operand: Operand) -> Iterator[Register]:
    match operand:
        case Register():
            yield operand
        case Address(base=Register() as base):
            yield base
        case Not(register=register):
            yield register
        case Vector(items=items):
            for item in items:
                yield from registers_in(item)
        case Pair(first=first, second=second):
            yield from registers_in(first)
            yield from registers_in(second)


def live_after_calls(code: Code) -> dict[int, tuple[Register, ...]]:
    """By instruction index of each call: the registers read after it that were written before it."""
    into: list[frozenset[int]] = [frozenset()] * len(code.blocks)
    found: dict[int, frozenset[int]] = {}
    changed = True
    while changed:
        changed = False
        for index in range(len(code.blocks) - 1, -1, -1):
            block = code.blocks[index]
            live: frozenset[int] = frozenset().union(*(into[after] for after in block.successors))
            for i in range(block.stop - 1, block.start - 1, -1):
                instr = code.instructions[i]
                if instr.opcode == "call":
                    found[i] = live - _results_of_call(instr)
                live = _before(instr, live)
            changed |= live != into[index]
            into[index] = live
    return {i: tuple(code.registers[r] for r in sorted(live)) for i, live in found.items()}


def _results_of_call(instr: Instr) -> frozenset[int]:
    first = instr.operands[0]
    return frozenset(r.index for r in registers_in(first)) if isinstance(first, Vector) else frozenset()


def _before(instr: Instr, live: frozenset[int]) -> frozenset[int]:
    operands = instr.operands
    keeps_first = bool(operands) and instr.opcode not in READS_FIRST and not isinstance(operands[0], Address)
    read = {r.index for operand in operands[keeps_first:] for r in registers_in(operand)}
    if instr.guard is not None:
        read.add(instr.guard.register.index)
    elif keeps_first:
        live -= {r.index for r in registers_in(operands[0])}
    return live | read
