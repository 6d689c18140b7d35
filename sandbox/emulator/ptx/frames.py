"""The stack of functions that may call themselves: frames in local memory, a return address as a number.

A frame holds what the ABI would keep for one activation: results and arguments, the number of the place to return to,
the function's local variables, and the registers it still needs after a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from warpsmith.sandbox.emulator.machine import UnsupportedInstruction
from warpsmith.sandbox.emulator.program import Register, Symbol, Variable
from warpsmith.sandbox.emulator.ptx.assembly import Assembly, at, number
from warpsmith.sandbox.emulator.ptx.functions import Function
from warpsmith.sandbox.emulator.ptx.layout import BYTES, align_up

STACK_BYTES = 16 << 10
"""Local memory of a thread for frames. A device's stack is 1 KiB unless its program asks for more."""


@dataclass(frozen=True, slots=True)
class FrameSlot:
    """A place in the frame that the stack pointer stands at."""

    offset: int


@dataclass(frozen=True, slots=True)
class Frame:
    start: int
    """Label of the function's code."""
    size: int
    formals: tuple[FrameSlot, ...]
    """Results, then arguments. Equal signatures have equal places, so that a pointer may name any of them."""
    slots: dict[str, FrameSlot]
    """Of formals and local variables, by name."""
    back: int
    """Offset of the number of the place to return to."""
    saves: tuple[int, ...]
    """Offset for each of the function's registers."""


@dataclass(slots=True)
class Stack:
    """Frames of one entry, and the instructions that push and pop them."""

    out: Assembly
    frames: dict[str, Frame] = field(default_factory=dict)
    _returns: dict[str, list[int]] = field(default_factory=dict)
    _leaves: list[tuple[int, str]] = field(default_factory=list)
    _pointer: Register | None = None

    @property
    def pointer(self) -> Register:
        assert self._pointer is not None
        return self._pointer

    def begin(self) -> None:
        memory = self.out.variable(Variable("(stack)", "local", "b8", 16, STACK_BYTES, None, extern=False))
        self._pointer = self.out.temporary("b32")
        self.out.emit("mov.u32", self._pointer, Symbol(memory.name))

    def add(self, function: Function) -> None:
        """Lay out the frame of a function that stands in the code once."""
        end, formals = 0, []
        for formal in (*function.returns, *function.params):
            if formal.space != "param":
                raise UnsupportedInstruction(f"recursion of {function.name}, whose parameters are registers", 0, 0)
            end = align_up(end, formal.align)
            formals.append((formal.name, FrameSlot(end)))
            end += formal.size
        slots = dict(formals)
        back = align_up(end, 4)
        end = back + 4
        for variable in function.code.variables:
            if variable.space == "local":
                end = align_up(end, variable.align)
                slots[variable.name] = FrameSlot(end)
                end += variable.size
        end = align_up(end, 8)
        saves = tuple(end + 8 * i for i in range(len(function.code.registers)))
        size = align_up(end + 8 * len(saves), 16)
        start = self.out.labels()
        self.frames[function.name] = Frame(start, size, tuple(slot for _, slot in formals), slots, back, saves)
        self._returns[function.name] = []

    def call(self, caller: Frame | None, name: str, saved: Sequence[tuple[int, Register]]) -> None:
        """Go to a function and come back. `saved`: registers that the caller keeps, with their place in its frame."""
        size = caller.size if caller is not None else 0
        for offset, register in saved:
            self._save(offset, register)
        places = self._returns[name]
        back = self.out.labels()
        self.out.emit("st.local.b32", at(self.pointer, size + self.frames[name].back), number(len(places)))
        places.append(back)
        if size:
            self.out.emit("add.u32", self.pointer, self.pointer, number(size))
        self.out.branch(self.frames[name].start)
        self.out.place(back)
        if size:
            self.out.emit("sub.u32", self.pointer, self.pointer, number(size))
        for offset, register in saved:
            self._restore(offset, register)

    def leave(self, name: str) -> None:
        """Return to the place whose number the frame holds."""
        index = self.out.temporary("b32")
        self.out.emit("ld.local.b32", index, at(self.pointer, self.frames[name].back))
        self._leaves.append((len(self.out.instructions), name))
        self.out.emit("brx.idx", index, Symbol("(return)"))

    def close(self) -> None:
        """Every place to return to is known now."""
        for position, name in self._leaves:
            targets = tuple(self._returns[name])
            instr = self.out.instructions[position]
            if targets:
                self.out.instructions[position] = instr._replace(targets=targets)
            else:
                self.out.instructions[position] = instr._replace(opcode="trap", modifiers=(), operands=())

    def address(self, offset: int) -> Register:
        """Address in local memory of a place in the frame."""
        narrow, wide = self.out.temporary("b32"), self.out.temporary("b64")
        self.out.emit("add.u32", narrow, self.pointer, number(offset))
        self.out.emit("cvt.u64.u32", wide, narrow)
        return wide

    def _save(self, offset: int, register: Register) -> None:
        if register.type == "pred":
            held = self.out.temporary("b32")
            self.out.emit("selp.u32", held, number(1), number(0), register)
            register = held
        self.out.emit(f"st.local.{_whole(register)}", at(self.pointer, offset), register)

    def _restore(self, offset: int, register: Register) -> None:
        if register.type == "pred":
            held = self.out.temporary("b32")
            self.out.emit("ld.local.b32", held, at(self.pointer, offset))
            self.out.emit("setp.ne.u32", register, held, number(0))
            return
        self.out.emit(f"ld.local.{_whole(register)}", register, at(self.pointer, offset))


def _whole(register: Register) -> str:
    return f"b{8 * BYTES[register.type]}"
