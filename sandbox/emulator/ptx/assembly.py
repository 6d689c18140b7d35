"""Puts code together from pieces: instructions whose targets are labels, then basic blocks again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warpsmith.sandbox.emulator.machine import UnsupportedInstruction
from warpsmith.sandbox.emulator.program import (
    Address,
    Block,
    Guard,
    Immediate,
    Instr,
    Operand,
    Register,
    Symbol,
    Variable,
)

TERMINATORS = ("bra", "brx", "ret", "exit", "trap")
MAX_INSTRUCTIONS = 1 << 18


class Assembly:
    """Code under construction. `Instr.target` and `.targets` are labels until `finish`."""

    def __init__(self) -> None:
        self.instructions: list[Instr] = []
        self.registers: list[Register] = []
        self.variables: list[Variable] = []
        self.used: dict[str, None] = {}
        self._positions: dict[int, int] = {}
        self._labels = 0
        self._names = 0
        self.at = Instr("nop", (), (), None, 0, 0)
        """The instruction that new ones take their lines from."""

    def register(self, name: str, type_: str) -> Register:
        self.registers.append(Register(len(self.registers), name, type_))
        return self.registers[-1]

    def temporary(self, type_: str) -> Register:
        return self.register(f"%call{len(self.registers)}", type_)

    def variable(self, like: Variable, name: str = "") -> Variable:
        """A variable of a name of its own; `@` cannot occur in a name of the text."""
        self._names += 1
        self.variables.append(replace(like, name=f"{name or like.name}@call{self._names}"))
        return self.variables[-1]

    def labels(self, count: int = 1) -> int:
        """The first of `count` new labels."""
        self._labels += count
        return self._labels - count

    def place(self, label: int) -> None:
        self._positions[label] = len(self.instructions)

    def append(self, instr: Instr) -> None:
        if len(self.instructions) >= MAX_INSTRUCTIONS:
            what = f"code of more than {MAX_INSTRUCTIONS} instructions once its calls are in place"
            raise UnsupportedInstruction(what, instr.line, instr.ptx_line)
        self.instructions.append(instr)

    def emit(
        self,
        text: str,
        *operands: Operand,
        guard: Guard | None = None,
        target: int = -1,
        targets: tuple[int, ...] = (),
    ) -> None:
        opcode, *modifiers = text.split(".")
        self.append(Instr(opcode, tuple(modifiers), operands, guard, self.at.line, self.at.ptx_line, target, targets))

    def branch(self, label: int, guard: Guard | None = None) -> None:
        self.emit("bra", Symbol("(call)"), guard=guard, target=label)

    def finish(self) -> tuple[tuple[Instr, ...], tuple[Block, ...]]:
        """Instructions with blocks for targets, and the blocks."""
        count = len(self.instructions)
        aimed = {i.target for i in self.instructions if i.target >= 0}
        aimed.update(label for i in self.instructions for label in i.targets)
        starts = {0, *(self._positions[label] for label in aimed)}
        starts.update(at + 1 for at, i in enumerate(self.instructions) if i.opcode in TERMINATORS)
        order = sorted(start for start in starts if start < count)
        block_at = {start: index for index, start in enumerate(order)}
        block_of = {label: block_at[self._positions[label]] for label in aimed}
        instructions = tuple(_aimed(instr, block_of) for instr in self.instructions)
        return instructions, _blocks(instructions, order)


def _aimed(instr: Instr, block_of: dict[int, int]) -> Instr:
    if instr.targets:
        return instr._replace(targets=tuple(block_of[label] for label in instr.targets))
    return instr._replace(target=block_of[instr.target]) if instr.target >= 0 else instr


def _blocks(instructions: Sequence[Instr], order: Sequence[int]) -> tuple[Block, ...]:
    found = []
    for index, start in enumerate(order):
        stop = order[index + 1] if index + 1 < len(order) else len(instructions)
        last = instructions[stop - 1]
        after = last.targets or ((last.target,) if last.target >= 0 else ())
        leaves = last.opcode in TERMINATORS and last.guard is None
        if not leaves and index + 1 < len(order):
            after = (*after, index + 1)
        found.append(Block(start, stop, tuple(dict.fromkeys(after))))
    return tuple(found)


def number(bits: int) -> Immediate:
    return Immediate(bits, "s64")


def at(base: Register | Symbol, offset: int = 0) -> Address:
    return Address(base, offset)
