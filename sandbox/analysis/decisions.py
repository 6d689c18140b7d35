"""What a kernel decides from its launch alone: comparisons, minima and maxima of parameters and launch sizes.

`K > 4096 ? K / 2 : K` takes no branch once compiled, so entered basic blocks do not show it. Its comparison reads
nothing but parameters: how it comes out is known without running. A registers' value counts as known where one
unguarded instruction writes it, from values that are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from warpsmith.sandbox.emulator.dataflow import written_registers
from warpsmith.sandbox.emulator.isa.block import width_of
from warpsmith.sandbox.emulator.isa.number import integer_value, wrap
from warpsmith.sandbox.emulator.isa.step import Scratch, Step
from warpsmith.sandbox.emulator.isa.steps import is_lane_instruction, steps
from warpsmith.sandbox.emulator.machine import LaunchSpec, UnsupportedInstruction
from warpsmith.sandbox.emulator.program import (
    Address,
    Entry,
    Immediate,
    Instr,
    Operand,
    Register,
    Special,
    Symbol,
)

_SIZES = frozenset(f"%{name}.{axis}" for name in ("ntid", "nctaid") for axis in "xyz")
_CHOICES = ("min", "max")


@dataclass(frozen=True, slots=True)
class _Load:
    """A register that holds a parameter's bytes."""

    target: Register
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class _Compute:
    """An instruction over known values, by its position in the entry."""

    position: int
    opcode: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class UniformProgram:
    """The instructions of an entry whose results depend on the launch alone."""

    actions: tuple[_Load | _Compute, ...]

    @classmethod
    def of(cls, entry: Entry, pointers: frozenset[int] = frozenset()) -> UniformProgram:
        """Find them.

        Args:
            entry: a parsed entry.
            pointers: byte offsets of parameters that hold addresses: their values mean nothing.
        """
        return cls(tuple(_Finder(entry, pointers).actions()))

    @property
    def positions(self) -> tuple[int, ...]:
        """Of those that compute something, in the entry."""
        return tuple(action.position for action in self.actions if isinstance(action, _Compute))

    def decisions(self, spec: LaunchSpec, *, sms: int) -> frozenset[tuple[str, int]]:
        """(`true`, `false`, `first` or `second`; instruction index) of every decision a launch with `spec` takes."""
        values: dict[int, int] = {}
        found: set[tuple[str, int]] = set()
        for action in self.actions:
            if isinstance(action, _Load):
                data = spec.params[action.offset : action.offset + action.size]
                values[action.target.index] = int.from_bytes(data, "little")
            else:
                found |= {(word, action.position) for word in _decided(action, values, spec, sms)}
        return frozenset(found)


class _Finder:
    def __init__(self, entry: Entry, pointers: frozenset[int]) -> None:
        self.entry, self.pointers = entry, pointers
        self.params = {param.name: param for param in entry.params}
        self.writers = Counter(register.index for instr in entry.instructions for register in written_registers(instr))
        self.known: set[int] = set()

    def actions(self) -> Iterator[_Load | _Compute]:
        for position, instr in enumerate(self.entry.instructions):
            found = tuple(self._action(position, instr))
            self.known |= {register.index for register in written_registers(instr)} if found else set()
            yield from found

    def _action(self, position: int, instr: Instr) -> Iterator[_Load | _Compute]:
        written = written_registers(instr)
        if instr.guard is not None or not written or any(self.writers[item.index] != 1 for item in written):
            return
        if instr.opcode == "ld" and "param" in instr.modifiers:
            yield from self._loads(instr, written)
        elif is_lane_instruction(instr):
            try:
                taken = steps(instr)
            except UnsupportedInstruction:
                return
            if taken and all(self._is_known(source) for step in taken for source in step.sources):
                yield _Compute(position, instr.opcode, taken)

    def _loads(self, instr: Instr, targets: tuple[Register, ...]) -> Iterator[_Load]:
        match instr.operands[1]:
            case Address(base=Symbol(name=name, offset=inner), offset=outer) if name in self.params:
                start = self.params[name].offset
            case _:
                return
        if start in self.pointers:
            return
        size = width_of(instr.modifiers[-1]) // 8
        for number, target in enumerate(targets):
            yield _Load(target, start + inner + outer + number * size, size)

    def _is_known(self, source: Operand | Scratch) -> bool:
        match source:
            case Register(index=index):
                return index in self.known
            case Special(name=name):
                return name in _SIZES or name == "%nsmid"
            case Immediate() | Scratch():
                return True
            case _:
                return False


def _decided(action: _Compute, values: dict[int, int], spec: LaunchSpec, sms: int) -> Iterator[str]:
    """Carry the instruction out, and say how it decides."""
    scratch: dict[int, int] = {}

    def read(source: Operand | Scratch, width: int) -> int:
        match source:
            case Register(index=index):
                return wrap(values.get(index, 0), width)
            case Scratch(index=index):
                return scratch[index]
            case Immediate(bits=bits):
                return wrap(bits, width)
            case Special(name=name):
                return wrap(_special(name, spec, sms), width)
            case _:
                raise ValueError(f"{source} has no value outside a thread")

    for step in action.steps:
        bits = [read(source, width_of(kind)) for source, kind in zip(step.sources, step.row.args, strict=True)]
        result = step.row.meaning(*bits)
        if step.row.result == "pred":
            yield "true" if result else "false"
        elif action.opcode in _CHOICES and len(bits) == 2 and bits[0] != bits[1]:
            yield "first" if result == bits[0] else "second"
        if isinstance(step.target, Scratch):
            scratch[step.target.index] = result
        else:
            kind = step.row.result
            value = integer_value(result, kind) if kind[0] == "s" else result
            values[step.target.index] = wrap(value, width_of(step.target.type))


def _special(name: str, spec: LaunchSpec, sms: int) -> int:
    if name == "%nsmid":
        return sms
    sizes = spec.block if name.startswith("%ntid") else spec.grid
    return sizes["xyz".index(name[-1])]
