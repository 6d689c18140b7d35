"""Module variables: read-only tables are honest, anything a kernel could remember by is not.

An address taints every register computed from it, whatever the order of the instructions. Loads through it
are fine; a store, an atomic, or handing the address to memory or to an instruction not known to be
arithmetic is not. This runs on text; the emulator and the device check the same on the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from warpsmith.sandbox.emulator.program import (
    Address,
    Entry,
    Instr,
    Not,
    Operand,
    Pair,
    Register,
    Symbol,
    Variable,
    Vector,
)

_READS = frozenset(["ld", "ldu", "prefetch", "prefetchu"])
_COPIES = frozenset(["cp"])
_ARITHMETIC = frozenset({
    "mov", "cvta", "cvt", "add", "sub", "addc", "subc", "mul", "mul24", "mad", "mad24", "madc", "fma",
    "neg", "abs", "min", "max", "shl", "shr", "shf", "and", "or", "xor", "not", "cnot", "lop3", "bfe",
    "bfi", "bfind", "brev", "clz", "popc", "prmt", "selp", "slct", "setp", "set", "shfl", "isspacep",
    "sad", "dp4a", "dp2a",
})  # fmt: skip
_CONTROL = frozenset(["bra", "brx", "ret", "exit", "call", "trap"])
_SPACES = ("global", "const", "managed")
_REMEDY = "Use a [[buffer]] of the plan, or make it a constexpr table that is only read."


@dataclass(frozen=True, slots=True)
class StateProblem:
    message: str
    line: int


def check_module_state(entry: Entry) -> StateProblem | None:
    """The first use of a module variable that could carry something from one launch to the next."""
    watched = {
        variable.name: variable for variable in entry.variables if variable.space in ("global", "const", "managed")
    }
    for variable in watched.values():
        if variable.space == "managed":
            return StateProblem(f"{_said(variable.name)} is managed memory, which outlives the launch. {_REMEDY}", 0)
    if not watched:
        return None
    tainted = _tainted(entry, watched)
    for instr in entry.instructions:
        name = _misused(instr, watched, tainted)
        if name is not None:
            return StateProblem(
                f"{_said(name)} is written, or its address handed on, and would outlive the launch. {_REMEDY}",
                instr.line,
            )
    return None


def _said(name: str) -> str:
    return f"the module variable `{name}`"


def _tainted(entry: Entry, watched: dict[str, Variable]) -> dict[int, str]:
    """Register index to the name of a variable whose address it may hold."""
    tainted: dict[int, str] = {}
    pointees = {name: v.relocations[0][1].name for name, v in watched.items() if v.relocations}
    changed = True
    while changed:
        changed = False
        for instr in entry.instructions:
            if instr.opcode in _READS:
                # What a table of pointers holds is an address again.
                name = pointees.get(_origin(instr.operands[1:], watched, tainted) or "")
            elif instr.opcode in _ARITHMETIC:
                name = _origin(instr.operands[1:], watched, tainted)
            else:
                name = None
            if name is None:
                continue
            for register in _registers(instr.operands[:1]):
                if register.index not in tainted:
                    tainted[register.index] = name
                    changed = True
    return tainted


def _misused(instr: Instr, watched: dict[str, Variable], tainted: dict[int, str]) -> str | None:
    """The variable that an instruction writes or lets escape."""
    if instr.opcode in _READS or instr.opcode in _ARITHMETIC or instr.opcode in _CONTROL:
        # A call is refused by name elsewhere.
        return None
    operands = instr.operands[:1] if instr.opcode in _COPIES else instr.operands
    return _origin(operands, watched, tainted)


def _origin(operands: Iterable[Operand], watched: dict[str, Variable], tainted: dict[int, str]) -> str | None:
    for leaf in _leaves(operands):
        if isinstance(leaf, Symbol) and leaf.name in watched:
            return leaf.name
        if isinstance(leaf, Register) and leaf.index in tainted:
            return tainted[leaf.index]
    return None


def _registers(operands: Iterable[Operand]) -> Iterator[Register]:
    return (leaf for leaf in _leaves(operands) if isinstance(leaf, Register))


def _leaves(operands: Iterable[Operand]) -> Iterator[Operand]:
    for operand in operands:
        if isinstance(operand, Vector):
            yield from _leaves(operand.items)
        elif isinstance(operand, Pair):
            yield from _leaves((operand.first, operand.second))
        elif isinstance(operand, Address):
            yield operand.base
        elif isinstance(operand, Not):
            yield operand.register
        else:
            yield operand
