"""Puts the module's own functions in the place of their calls, so that entries hold no call of them.

A function that cannot come to call itself is copied to each of its calls; its `.param` variables become the caller's.
One that can stands in an entry once, behind a branch that jumps over it, and keeps what each activation owns in a frame
of a stack in local memory (`frames.py`). A call through a pointer becomes a choice among the functions of its signature
whose address the module takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from warpsmith.sandbox.emulator.machine import UnsupportedInstruction
from warpsmith.sandbox.emulator.program import (
    Address,
    Guard,
    Instr,
    Not,
    Operand,
    Pair,
    Register,
    Sink,
    Symbol,
    Variable,
    Vector,
)
from warpsmith.sandbox.emulator.ptx import allocas
from warpsmith.sandbox.emulator.ptx.assembly import Assembly, at, number
from warpsmith.sandbox.emulator.ptx.call_graph import CallGraph, arguments_of, callee_of
from warpsmith.sandbox.emulator.ptx.frames import Frame, FrameSlot, Stack
from warpsmith.sandbox.emulator.ptx.functions import Code, Function, address_of
from warpsmith.sandbox.emulator.ptx.layout import BYTES
from warpsmith.sandbox.emulator.ptx.liveness import live_after_calls
from warpsmith.sandbox.emulator.ptx.params import settle_params

Place = Symbol | FrameSlot
"""What a name of one piece of code stands for in the whole."""


@dataclass(slots=True)
class _Copy:
    """One copy of a piece of code within the whole."""

    code: Code
    names: dict[str, Place]
    registers: dict[int, Register] = field(default_factory=dict)
    first_label: int = 0
    leave: int | None = None
    """Label that `ret` goes to, in a function copied to its call."""
    function: str = ""
    """Name of a function that stands in the code once, which returns by its frame."""
    frame: Frame | None = None
    """The frame that the stack pointer stands at while this code runs."""
    saved: dict[int, tuple[Register, ...]] = field(default_factory=dict)


class Linker:
    """Makes entries' code whole. `variables` still name functions in their initialisers."""

    def __init__(
        self, functions: Mapping[str, Function | None], variables: Iterable[Variable], entries: Iterable[Code]
    ) -> None:
        self._names = tuple(functions)
        self._graph = CallGraph({n: f for n, f in functions.items() if f is not None}, variables, entries)

    def link(self, code: Code) -> Code:
        """The code without calls of the module's functions; the code itself where it names none.

        Raises:
            UnsupportedInstruction: a call's arguments do not fit, or the code would be too large.
        """
        calls = (instr for instr in code.instructions if instr.opcode == "call")
        plain = not any(name in self._names for name in code.used)
        plain = plain and not any(isinstance(callee_of(instr), Register) for instr in calls)
        if plain and not any(instr.opcode in allocas.OPCODES for instr in code.instructions):
            return code
        return _Link(self._names, self._graph).run(code)


class _Link:
    """The linking of one entry."""

    def __init__(self, names: tuple[str, ...], graph: CallGraph) -> None:
        self._names, self._graph = names, graph
        self._out = Assembly()
        self._stack = Stack(self._out)
        self._allocas = allocas.Allocas(self._out)
        self._shared_variables: dict[str, Variable] = {}
        self._pointer_calls: list[int] = []

    def run(self, code: Code) -> Code:
        once = self._graph.once(code)
        self._out.at = code.instructions[0]
        if self._graph.uses(code, allocas.OPCODES):
            self._allocas.begin()
        if once:
            self._stack.begin()
            for function in once:
                self._stack.add(function)
            entry = self._out.labels()
            self._out.branch(entry)
            for function in once:
                self._place_once(function)
            self._out.place(entry)
        own: dict[str, Place] = {v.name: Symbol(v.name) for v in code.variables}
        self._out.variables += code.variables
        self._copy(_Copy(code, own))
        self._stack.close()
        settle_params(self._out)
        instructions, blocks = self._out.finish()
        return Code(
            instructions,
            blocks,
            tuple(self._out.registers),
            tuple(self._out.variables),
            tuple(self._out.used),
            tuple(self._pointer_calls),
            self._graph.recursive(code),
        )

    def _place_once(self, function: Function) -> None:
        """A function's code where calls that may be repeated find it."""
        frame = self._stack.frames[function.name]
        names: dict[str, Place] = dict(frame.slots)
        names |= {v.name: self._variable(function, v) for v in function.code.variables if v.name not in names}
        copy = _Copy(function.code, names, frame=frame, function=function.name, saved=live_after_calls(function.code))
        self._out.place(frame.start)
        self._copy(copy)

    def _variable(self, function: Function, variable: Variable) -> Symbol:
        """A variable of a copy. Shared memory that a function declares is one for all of its calls."""
        if variable.space != "shared":
            return Symbol(self._out.variable(variable).name)
        key = f"{function.name}@{variable.name}"
        if key not in self._shared_variables:
            self._shared_variables[key] = self._out.variable(variable)
        return Symbol(self._shared_variables[key].name)

    def _copy(self, copy: _Copy) -> None:
        copy.first_label = self._out.labels(len(copy.code.blocks))
        self._out.used |= dict.fromkeys(copy.code.used)
        self._alias_arguments(copy)
        last = len(copy.code.instructions) - 1
        for index, block in enumerate(copy.code.blocks):
            self._out.place(copy.first_label + index)
            for i in range(block.start, block.stop):
                instr = copy.code.instructions[i]
                self._out.at = instr
                self._instruction(copy, instr, i, last=i == last)

    def _instruction(self, copy: _Copy, instr: Instr, index: int, *, last: bool) -> None:
        guard = self._guard(copy, instr.guard)
        if instr.opcode == "call" and (isinstance(callee_of(instr), Register) or self._graph.targets(instr)):
            self._call(copy, instr, index, guard)
        elif instr.opcode == "ret" and copy.function:
            self._around(guard, lambda: self._stack.leave(copy.function))
        elif instr.opcode == "ret" and copy.leave is not None:
            if not last or guard is not None:
                self._out.branch(copy.leave, guard)
        else:
            operands = tuple(self._operand(copy, instr, operand) for operand in instr.operands)
            if instr.opcode in allocas.OPCODES:
                self._around(guard, lambda: self._allocas.emit(instr, operands))
                return
            target = copy.first_label + instr.target if instr.target >= 0 else -1
            targets = tuple(copy.first_label + block for block in instr.targets)
            modifiers = instr.modifiers
            if "param" in modifiers and any(isinstance(o, Address) and self._framed(copy, o) for o in instr.operands):
                modifiers = tuple("local" if word.partition("::")[0] == "param" else word for word in modifiers)
            self._out.append(
                instr._replace(modifiers=modifiers, operands=operands, guard=guard, target=target, targets=targets)
            )

    def _around(self, guard: Guard | None, body: Callable[[], None]) -> None:
        """Emit what `body` does, skipped by the lanes whose guard does not hold."""
        if guard is None:
            body()
            return
        after = self._out.labels()
        self._out.branch(after, Guard(guard.register, not guard.negated))
        body()
        self._out.place(after)

    # Operands

    def _guard(self, copy: _Copy, guard: Guard | None) -> Guard | None:
        return None if guard is None else Guard(self._register(copy, guard.register), guard.negated)

    def _register(self, copy: _Copy, register: Register) -> Register:
        if register.index not in copy.registers:
            copy.registers[register.index] = self._out.register(register.name, register.type)
        return copy.registers[register.index]

    def _framed(self, copy: _Copy, operand: Address) -> bool:
        return isinstance(operand.base, Symbol) and isinstance(copy.names.get(operand.base.name), FrameSlot)

    def _operand(self, copy: _Copy, instr: Instr, operand: Operand) -> Operand:
        match operand:
            case Register():
                return self._register(copy, operand)
            case Not():
                return Not(self._register(copy, operand.register))
            case Vector():
                return Vector(tuple(self._operand(copy, instr, item) for item in operand.items))
            case Pair():
                return Pair(self._operand(copy, instr, operand.first), self._operand(copy, instr, operand.second))
            case Address():
                return self._address(copy, operand)
            case Symbol():
                return self._symbol(copy, instr, operand)
            case _:
                return operand

    def _address(self, copy: _Copy, operand: Address) -> Address:
        if isinstance(operand.base, Register):
            return Address(self._register(copy, operand.base), operand.offset)
        if isinstance(operand.base, Symbol):
            place = copy.names.get(operand.base.name, operand.base)
            extra = operand.base.offset + operand.offset
            if isinstance(place, FrameSlot):
                return at(self._stack.pointer, place.offset + extra)
            return Address(Symbol(place.name), extra)
        return operand

    def _symbol(self, copy: _Copy, instr: Instr, operand: Symbol) -> Operand:
        if instr.opcode in ("bra", "brx"):
            return operand
        if operand.name in self._names and instr.opcode != "call":
            return number(address_of(operand.name, self._names) + operand.offset)
        place = copy.names.get(operand.name, operand)
        if isinstance(place, FrameSlot):
            return self._stack.address(place.offset + operand.offset)
        return Symbol(place.name, operand.offset)

    # Calls

    def _alias_arguments(self, copy: _Copy) -> None:
        """What a call that may be repeated is given lies in the frame it will have."""
        for instr in copy.code.instructions:
            targets = self._graph.targets(instr) if instr.opcode == "call" else ()
            once = [function for function in targets if function.name in self._stack.frames]
            if not once:
                continue
            frame = self._stack.frames[once[0].name]
            size = copy.frame.size if copy.frame is not None else 0
            returned, given = arguments_of(instr)
            for actual, slot in zip((*returned, *given), frame.formals, strict=True):
                if not isinstance(actual, Symbol):
                    raise UnsupportedInstruction(
                        f"{instr.text} with registers for arguments", instr.line, instr.ptx_line
                    )
                place = FrameSlot(size + slot.offset)
                known = copy.names.get(actual.name)
                if isinstance(known, FrameSlot) and known != place:
                    raise UnsupportedInstruction("a .param variable of two calls", instr.line, instr.ptx_line)
                copy.names[actual.name] = place

    def _call(self, copy: _Copy, instr: Instr, index: int, guard: Guard | None) -> None:
        targets = self._graph.targets(instr)
        callee = callee_of(instr)

        def emit() -> None:
            if isinstance(callee, Symbol):
                self._enter(copy, instr, index, targets[0])
            else:
                assert isinstance(callee, Register)
                self._pointer_calls.append(instr.line)
                self._choose(copy, instr, index, self._register(copy, callee), targets)

        self._around(guard, emit)

    def _choose(self, copy: _Copy, instr: Instr, index: int, pointer: Register, targets: tuple[Function, ...]) -> None:
        """Compare the pointer with each function's address; trap where it is none of them."""
        after, first = self._out.labels(), self._out.labels(len(targets))
        chosen = self._out.temporary("pred")
        for i, function in enumerate(targets):
            self._out.emit("setp.eq.u64", chosen, pointer, number(address_of(function.name, self._names)))
            self._out.branch(first + i, Guard(chosen, negated=False))
        self._out.emit("trap")
        for i, function in enumerate(targets):
            self._out.place(first + i)
            self._enter(copy, instr, index, function)
            self._out.at = instr
            if i + 1 < len(targets):
                self._out.branch(after)
        self._out.place(after)

    def _enter(self, copy: _Copy, instr: Instr, index: int, function: Function) -> None:
        if function.name in self._stack.frames:
            kept = copy.saved.get(index, ())
            saves = copy.frame.saves if copy.frame is not None else ()
            saved = [(saves[register.index], self._register(copy, register)) for register in kept]
            self._stack.call(copy.frame, function.name, saved)
            return
        returned, given = arguments_of(instr)
        if len(returned) != len(function.returns) or len(given) != len(function.params):
            what = f"a call of {function.name} with other arguments than it has"
            raise UnsupportedInstruction(what, instr.line, instr.ptx_line)
        inner = _Copy(function.code, {}, leave=self._out.labels(), frame=copy.frame)
        inner.names |= {v.name: self._variable(function, v) for v in function.code.variables if v.space != "reg"}
        formals = [v for v in (*function.returns, *function.params) if v.space == "reg"]
        for register, formal in zip(function.code.registers, formals, strict=False):
            assert register.name == formal.name
            self._register(inner, register)
        for formal, actual in zip(function.params, given, strict=True):
            self._give(copy, inner, instr, formal, actual)
        results = [
            self._result(copy, inner, instr, formal, actual)
            for formal, actual in zip(function.returns, returned, strict=True)
        ]
        self._copy(inner)
        self._out.at = instr
        assert inner.leave is not None
        self._out.place(inner.leave)
        for take in results:
            take()

    def _give(self, copy: _Copy, inner: _Copy, instr: Instr, formal: Variable, actual: Operand) -> None:
        """An argument becomes the formal parameter."""
        by_name = isinstance(actual, Symbol) and actual.name in copy.names
        if formal.space == "param" and by_name:
            assert isinstance(actual, Symbol)
            inner.names[formal.name] = copy.names[actual.name]
            return
        width = f"b{8 * BYTES.get(formal.type, 4)}"
        if formal.space == "param":
            variable = self._out.variable(formal)
            inner.names[formal.name] = Symbol(variable.name)
            self._out.emit(f"st.param.{width}", at(Symbol(variable.name)), self._operand(copy, instr, actual))
            return
        register = self._formal_register(inner, formal)
        if by_name:
            assert isinstance(actual, Symbol)
            self._out.emit(f"ld.param.{width}", register, self._address(copy, Address(actual)))
        else:
            kind = "pred" if formal.type == "pred" else width
            self._out.emit(f"mov.{kind}", register, self._operand(copy, instr, actual))

    def _result(self, copy: _Copy, inner: _Copy, instr: Instr, formal: Variable, actual: Operand) -> Callable[[], None]:
        """What takes the formal result to the caller, once the function has returned."""
        by_name = isinstance(actual, Symbol) and actual.name in copy.names
        width = f"b{8 * BYTES.get(formal.type, 4)}"
        if formal.space == "param" and by_name:
            assert isinstance(actual, Symbol)
            inner.names[formal.name] = copy.names[actual.name]
            return lambda: None
        if formal.space == "param":
            variable = self._out.variable(formal)
            inner.names[formal.name] = Symbol(variable.name)
            if isinstance(actual, Sink):
                return lambda: None
            target = self._operand(copy, instr, actual)
            return lambda: self._out.emit(f"ld.param.{width}", target, at(Symbol(variable.name)))
        register = self._formal_register(inner, formal)
        if by_name:
            assert isinstance(actual, Symbol)
            return lambda: self._out.emit(f"st.param.{width}", self._address(copy, Address(actual)), register)
        kind = "pred" if formal.type == "pred" else width
        target = self._operand(copy, instr, actual)
        return lambda: self._out.emit(f"mov.{kind}", target, register)

    def _formal_register(self, inner: _Copy, formal: Variable) -> Register:
        return next(r for r in inner.registers.values() if r.name == formal.name)
