"""Device functions: their formal parameters, their code, and the numbers that stand for their addresses.

Source: PTX ISA 9.0, section 7 "Abstracting the ABI" and section 11.1 ".func".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from warpsmith.sandbox.emulator.machine import FUNCTION_WINDOW
from warpsmith.sandbox.emulator.program import Block, Instr, Register, Variable
from warpsmith.sandbox.emulator.ptx import declarations
from warpsmith.sandbox.emulator.ptx.lexer import Cursor

FUNCTION_STRIDE = 16


@dataclass(frozen=True, slots=True)
class Code:
    """A body with its control flow: registers are numbered and blocks counted from 0."""

    instructions: tuple[Instr, ...]
    blocks: tuple[Block, ...]
    registers: tuple[Register, ...]
    variables: tuple[Variable, ...]
    used: tuple[str, ...]
    """Names from outside the body, in order of first use."""
    pointer_calls: tuple[int, ...] = ()
    """Source lines of calls through a pointer that were put in place."""
    recursive: tuple[str, ...] = ()
    """Functions of it that may call themselves."""


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    returns: tuple[Variable, ...]
    """Formal results and parameters; their space is `param` or `reg`."""
    params: tuple[Variable, ...]
    code: Code


def formals(cursor: Cursor) -> tuple[Variable, ...]:
    """Take `(.param .b32 a, .reg .f32 b)`; without parentheses there are none."""
    found: list[Variable] = []
    if not cursor.take("("):
        return ()
    while not cursor.take(")"):
        if found:
            cursor.expect(",")
        space = cursor.words[cursor.at]
        if space not in (".param", ".reg"):
            raise cursor.unexpected("a parameter")
        cursor.at += 1
        found.append(declarations.formal(cursor, space[1:]))
    return tuple(found)


def address_of(name: str, functions: Sequence[str]) -> int:
    """What taking a function's address gives: a number that no memory has."""
    return FUNCTION_WINDOW + FUNCTION_STRIDE * (functions.index(name) + 1)


def with_function_addresses(variable: Variable, functions: Sequence[str]) -> Variable:
    """The variable with the functions' addresses in its initialiser."""
    named = [(at, symbol) for at, symbol in variable.relocations if symbol.name in functions]
    if not named or variable.init is None:
        return variable
    data = bytearray(variable.init)
    for at, symbol in named:
        data[at : at + 8] = (address_of(symbol.name, functions) + symbol.offset).to_bytes(8, "little")
    rest = tuple(item for item in variable.relocations if item not in named)
    return replace(variable, init=bytes(data), relocations=rest)
