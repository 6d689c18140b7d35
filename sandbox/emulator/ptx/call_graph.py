"""Which function calls which, and which of them must stand in an entry's code once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from warpsmith.sandbox.emulator.program import Address, Instr, Operand, Pair, Register, Symbol, Variable, Vector
from warpsmith.sandbox.emulator.ptx.functions import Code, Function

LARGE = 1 << 16
"""Instructions of an entry beyond which functions are no longer copied to each of their calls."""


def callee_of(instr: Instr) -> Operand | None:
    """A call's function or pointer: its first operand that is no list."""
    return next((o for o in instr.operands if not isinstance(o, Vector)), None)


def arguments_of(instr: Instr) -> tuple[tuple[Operand, ...], tuple[Operand, ...]]:
    """(results, arguments) of a call: `call (r), f, (a, b), prototype;`."""
    lists = [o.items for o in instr.operands if isinstance(o, Vector)]
    if instr.operands and isinstance(instr.operands[0], Vector):
        return lists[0], lists[1] if len(lists) > 1 else ()
    return (), lists[0] if lists else ()


class CallGraph:
    """The functions of a module and who may call whom; `entries` is the other code of the module."""

    def __init__(
        self, functions: Mapping[str, Function], variables: Iterable[Variable], entries: Iterable[Code]
    ) -> None:
        self._functions = functions
        taken = {s.name for variable in variables for _, s in variable.relocations}
        if functions:
            for code in (*entries, *(function.code for function in functions.values())):
                taken |= _addressed(code)
        self.pointed_at = tuple(name for name in functions if name in taken)
        """Functions whose address the module takes."""

    def targets(self, instr: Instr) -> tuple[Function, ...]:
        """The functions that a call may reach: through a pointer, those with as many arguments and results."""
        callee = callee_of(instr)
        if isinstance(callee, Symbol):
            return (self._functions[callee.name],) if callee.name in self._functions else ()
        if not isinstance(callee, Register):
            return ()
        returned, given = arguments_of(instr)
        pointed_at = (self._functions[name] for name in self.pointed_at)
        return tuple(f for f in pointed_at if len(f.returns) == len(returned) and len(f.params) == len(given))

    def once(self, code: Code) -> tuple[Function, ...]:
        """Functions that `code` reaches and that cannot be copied to their calls.

        Those that may call themselves; all of them where the copies would be more than `LARGE` instructions.
        """
        recursive = self.recursive(code)
        sizes: dict[str, int] = dict.fromkeys(recursive, 0)
        names = self._reached(code) if self._size(code, sizes) > LARGE else recursive
        return tuple(self._functions[name] for name in names)

    def recursive(self, code: Code) -> tuple[str, ...]:
        """Functions that `code` reaches and that may call themselves."""
        return tuple(name for name in self._reached(code) if name in self._reached(self._functions[name].code))

    def uses(self, code: Code, opcodes: frozenset[str]) -> bool:
        """Whether `code` or what it reaches has an instruction of one of the opcodes."""
        reached = (self._functions[name].code for name in self._reached(code))
        return any(instr.opcode in opcodes for piece in (code, *reached) for instr in piece.instructions)

    def _called(self, code: Code) -> Iterator[str]:
        for instr in code.instructions:
            if instr.opcode == "call":
                yield from (function.name for function in self.targets(instr))

    def _reached(self, code: Code) -> list[str]:
        found: dict[str, None] = {}
        waiting = list(self._called(code))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = None
                waiting += self._called(self._functions[name].code)
        return list(found)

    def _size(self, code: Code, sizes: dict[str, int]) -> int:
        """Instructions once all calls are in place; `sizes` knows functions already, recursive ones as 0."""
        total = len(code.instructions)
        for name in self._called(code):
            if name not in sizes:
                sizes[name] = self._size(self._functions[name].code, sizes)
            total += sizes[name]
        return total


def _addressed(code: Code) -> set[str]:
    """Names whose address the code takes."""
    found = set()
    for instr in code.instructions:
        callee = callee_of(instr) if instr.opcode == "call" else None
        for operand in instr.operands:
            # Nearly all are registers.
            if type(operand) is not Register and operand is not callee:
                found |= {symbol.name for symbol in _symbols(operand)}
    return found


def _symbols(operand: Operand) -> Iterator[Symbol]:
    match operand:
        case Symbol():
            yield operand
        case Address(base=Symbol() as base):
            yield base
        case Vector(items=items):
            for item in items:
                yield from _symbols(item)
        case Pair(first=first, second=second):
            yield from _symbols(first)
            yield from _symbols(second)
