"""Turns operands of the text into values of the bytecode, and collects operations."""

from __future__ import annotations

from warpsmith.sandbox.emulator.bytecode import Constant, Draft, Flag, SlotKind, Space, Value
from warpsmith.sandbox.emulator.isa.special import ALIASES, CLOCKS, FIXED
from warpsmith.sandbox.emulator.isa.steps import Scratch, Source, Target
from warpsmith.sandbox.emulator.machine import UnsupportedInstruction
from warpsmith.sandbox.emulator.program import (
    Address,
    Entry,
    Immediate,
    Instr,
    Module,
    Not,
    Operand,
    Pair,
    Register,
    Sink,
    Special,
    Symbol,
    Vector,
)
from warpsmith.sandbox.emulator.ptx.layout import align_up

SPECIALS = (
    *(f"%{name}.{axis}" for name in ("tid", "ntid", "ctaid", "nctaid") for axis in "xyz"),
    *("%laneid", "%warpid", "%nwarpid", "%smid", "%nsmid"),
    *(f"%lanemask_{order}" for order in ("eq", "le", "lt", "ge", "gt")),
    *("%dynamic_smem_size", "%total_smem_size"),
)
"""In the order of `WsSpecial` in vm/interface.h."""

WORKSPACE_SPECIALS = {"%envreg1": 32, "%envreg2": 0}
"""Halves of the address of the workspace that a cooperative launch brings: `grid.sync()` of cooperative_groups.h puts
them together, adds 4 and counts blocks there (read off what NVRTC makes of it)."""


def width_of(type_name: str) -> int:
    """Bytes of a lane that holds a value of this type: 4 or 8."""
    return 8 if type_name in ("b64", "u64", "s64", "f64") else 4


def const_offsets(module: Module) -> tuple[dict[str, int], int]:
    """Byte offset of each constant-memory variable, and the bytes of constant memory."""
    offsets, end = {}, 0
    for variable in module.variables:
        if variable.space == "const":
            end = align_up(end, variable.align)
            offsets[variable.name] = end
            end += variable.size
    return offsets, end


class Emitter:
    """Collects one entry's operations; `instr` is the instruction being lowered."""

    def __init__(self, module: Module, entry: Entry, *, pessimistic: bool = False) -> None:
        self.pessimistic = pessimistic
        self.module = module
        self.entry = entry
        self.operations: list[Draft] = []
        self.constants: dict[tuple[int, Constant], Value] = {}
        self._immediates: dict[tuple[int, int], Value] = {}
        self.ports: list[int] = []
        self.instr = entry.instructions[0]
        self.index = 0
        self._registers: dict[int, Value] = {}
        self._call_params: dict[tuple[str, int], Value] = {}
        self._scratches: dict[int, Value] = {}
        self._shared = dict(entry.shared_offsets)
        self._local = dict(entry.local_offsets)
        self._params = {param.name: param for param in entry.params}
        self._const, _ = const_offsets(module)
        self._globals = {v.name: i for i, v in enumerate(module.variables) if v.space == "global"}
        self._call_variables = {v.name for v in entry.variables if v.space == "param"}

    def begin(self, index: int, instr: Instr) -> None:
        self.index, self.instr = index, instr
        if self._scratches:
            self._scratches.clear()

    def refusal(self, what: str | None = None) -> UnsupportedInstruction:
        return UnsupportedInstruction(what or self.instr.text, self.instr.line, self.instr.ptx_line)

    def emit(self, handler: str, **fields: object) -> Draft:
        draft = Draft(handler, self.index, **fields)  # type: ignore[arg-type]
        self.operations.append(draft)
        return draft

    def port(self) -> int:
        """A new memory instruction's number."""
        self.ports.append(self.index)
        return len(self.ports) - 1

    # Values

    def constant(self, bits: int, width: int = 4) -> Value:
        value = self._immediates.get((bits, width))
        if value is None:
            constant = Constant(SlotKind.IMMEDIATE, bits=bits & ((1 << 8 * width) - 1))
            value = self._immediates[bits, width] = self._constant(width, constant)
        return value

    def param(self, offset: int, size: int, width: int) -> Value:
        return self._constant(width, Constant(SlotKind.PARAM, offset, size))

    def _constant(self, width: int, constant: Constant) -> Value:
        key = (width, constant)
        if key not in self.constants:
            self.constants[key] = Value(width, constant)
        return self.constants[key]

    def register(self, register: Register) -> Value:
        if register.type == "b128":
            raise self.refusal(f"a 128-bit register in {self.instr.text}")
        value = self._registers.get(register.index)
        if value is None:
            value = self._registers[register.index] = Value(width_of(register.type))
        return value

    def call_param(self, name: str, offset: int, width: int) -> Value:
        """A call's argument or result lives in a value like a register."""
        return self._call_params.setdefault((name, offset), Value(width))

    def is_call_param(self, name: str) -> bool:
        return name in self._call_variables

    def special(self, name: str, width: int) -> Value:
        if name in WORKSPACE_SPECIALS:
            return self._constant(width, Constant(SlotKind.WORKSPACE, WORKSPACE_SPECIALS[name]))
        name = ALIASES.get(name, name)
        if name in FIXED:
            return self.constant(FIXED[name], width)
        if name in CLOCKS:
            shift, bits = CLOCKS[name]
            value = Value(width)
            self.emit("clock64" if width == 8 else "clock32", d=value, imm=shift, bytes=bits)
            return value
        if name not in SPECIALS:
            raise self.refusal(name)
        return self._constant(width, Constant(SlotKind.SPECIAL, SPECIALS.index(name)))

    def symbol(self, symbol: Symbol, width: int) -> Value:
        """A variable's address in its own space."""
        name = symbol.name
        for offsets in (self._shared, self._local, self._const):
            if name in offsets:
                return self.constant(offsets[name] + symbol.offset, width)
        if name in self._params:
            return self.constant(self._params[name].offset + symbol.offset, width)
        if name in self._globals:
            return self._constant(width, Constant(SlotKind.GLOBAL_VARIABLE, self._globals[name], symbol.offset))
        raise self.refusal(f"symbol {name}")

    # Operands

    def source(self, operand: Source, width: int) -> Value:
        """An operand as a value of `width` bytes a lane."""
        match operand:
            case Register():
                value = self.register(operand)
                return value if value.width == width else self._resized(value, width)
            case Scratch():
                return self._scratches[operand.index]
            case Immediate():
                return self.constant(operand.bits, width)
            case Special():
                return self.special(operand.name, width)
            case Symbol():
                return self.symbol(operand, width)
            case Not():
                inverted = Value(4)
                self.emit("lane.not.pred", d=inverted, a=self.register(operand.register))
                return inverted
            case _:
                raise self.refusal()

    def _resized(self, value: Value, width: int) -> Value:
        other = Value(width)
        self.emit("truncate32" if width == 4 else "extend64.u", d=other, a=value)
        return other

    def target(self, operand: Target | Operand, result: str) -> Value:
        """Where a result of type `result` goes; `finish` must follow the operation that writes it."""
        width = width_of(result)
        if isinstance(operand, Register):
            value = self.register(operand)
            return value if value.width == width else Value(width)
        if isinstance(operand, Scratch):
            self._scratches[operand.index] = Value(width)
            return self._scratches[operand.index]
        if isinstance(operand, Sink):
            return Value(width)
        raise self.refusal()

    def finish(self, operand: Target | Operand, written: Value, result: str) -> None:
        """Extend a result into a wider register, by the sign of its type."""
        if not isinstance(operand, Register) or (value := self.register(operand)) is written:
            return
        if value.width < written.width:
            raise self.refusal()
        self.emit("extend64.s" if result[0] == "s" else "extend64.u", d=value, a=written)

    def pair(self, operand: Operand) -> tuple[Operand, Operand | None]:
        """A result and the predicate beside it, where there is one."""
        if isinstance(operand, Pair):
            return operand.first, operand.second
        return operand, None

    def items(self, operand: Operand) -> tuple[Operand, ...]:
        return operand.items if isinstance(operand, Vector) else (operand,)

    def to_shared(self, base: Value, flags: int) -> Value:
        """A generic address, as wide as `flags` say, as one in shared memory."""
        if not flags & Flag.WIDE:
            base = self._resized(base, 8)
        shared = Value(8)
        self.emit("lane.cvta.to.shared.u64", d=shared, a=base)
        return shared

    def address(self, operand: Operand, space: Space) -> tuple[Value, int, int]:
        """(base, offset, flags) of an address; global and generic ones are 64 bits wide."""
        if not isinstance(operand, Address):
            raise self.refusal()
        base = operand.base
        wide = space in (Space.GLOBAL, Space.GENERIC)
        if isinstance(base, Register) and not wide:
            wide = width_of(base.type) == 8
        value = self.source(base, 8 if wide else 4)
        return value, operand.offset, Flag.WIDE if wide else 0
