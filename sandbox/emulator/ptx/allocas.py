"""`alloca`, `stacksave` and `stackrestore` as arithmetic on a thread's pointer into local memory.

What a function allocates stays until the kernel ends or `stackrestore` takes it back; a device frees it when the
function returns.
"""

from __future__ import annotations

from dataclasses import dataclass

from warpsmith.sandbox.emulator.machine import UnsupportedInstruction
from warpsmith.sandbox.emulator.program import Immediate, Instr, Operand, Register, Symbol, Variable
from warpsmith.sandbox.emulator.ptx.assembly import Assembly, number
from warpsmith.sandbox.emulator.ptx.layout import BYTES

OPCODES = frozenset(("alloca", "stacksave", "stackrestore"))
HEAP_BYTES = 16 << 10
"""Local memory of a thread for them."""
_NATURAL_ALIGNMENT = 16


@dataclass(slots=True)
class Allocas:
    """The pointer of one entry, and the instructions that move it."""

    out: Assembly
    _pointer: Register | None = None

    @property
    def pointer(self) -> Register:
        assert self._pointer is not None
        return self._pointer

    def begin(self) -> None:
        memory = self.out.variable(
            Variable("(alloca)", "local", "b8", _NATURAL_ALIGNMENT, HEAP_BYTES, None, extern=False)
        )
        self._pointer = self.out.temporary("b32")
        self.out.emit("mov.u32", self._pointer, Symbol(memory.name))

    def emit(self, instr: Instr, operands: tuple[Operand, ...]) -> None:
        """`alloca.type d, size{, alignment}`, `stacksave.type d`, `stackrestore.type a`."""
        match instr.opcode, operands:
            case "alloca", (Register() as target, size, *rest):
                self._allocate(instr, target, size, rest)
            case "stacksave", (Register() as target,):
                self._give(target, self.pointer)
            case "stackrestore", (Register() as source,):
                narrow = "cvt.u32.u64" if BYTES[source.type] == 8 else "mov.u32"
                self.out.emit(narrow, self.pointer, source)
            case _:
                raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)

    def _allocate(self, instr: Instr, target: Register, size: Operand, rest: list[Operand]) -> None:
        alignment = _NATURAL_ALIGNMENT
        if rest:
            if not isinstance(rest[0], Immediate) or not rest[0].bits or rest[0].bits & (rest[0].bits - 1):
                raise UnsupportedInstruction(instr.text, instr.line, instr.ptx_line)
            alignment = rest[0].bits
        if isinstance(size, Register) and BYTES[size.type] == 8:
            narrow = self.out.temporary("b32")
            self.out.emit("cvt.u32.u64", narrow, size)
            size = narrow
        start = self.out.temporary("b32")
        self.out.emit("add.u32", start, self.pointer, number(alignment - 1))
        self.out.emit("and.b32", start, start, number(-alignment & 0xFFFFFFFF))
        self.out.emit("add.u32", self.pointer, start, size)
        self._give(target, start)

    def _give(self, target: Register, value: Register) -> None:
        self.out.emit("cvt.u64.u32" if BYTES[target.type] == 8 else "mov.u32", target, value)
