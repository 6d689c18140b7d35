"""Operands of instructions. Source: PTX ISA 9.0, chapter 6 "Instruction Operands"."""

from __future__ import annotations

from collections.abc import Callable, Container

from warpsmith.sandbox.emulator.program import (
    Address,
    Guard,
    Immediate,
    Not,
    Operand,
    Pair,
    Register,
    Sink,
    Special,
    Symbol,
    Vector,
)
from warpsmith.sandbox.emulator.ptx.lexer import END, NUMBER, WORD, Cursor
from warpsmith.sandbox.emulator.ptx.literals import constant, number, signed
from warpsmith.sandbox.emulator.ptx.scope import Scope

_SINK = Sink()
_ENDS = frozenset(",;")
"""Behind an operand of an instruction."""
_SEVERAL = frozenset(",{}();")
"""In a text that is more than one simple operand."""


class Operands:
    """Reads operands against the names that are visible.

    `globals_` are the names outside the entry (parameters, module variables, functions); `used` is told every
    symbol that occurs. Labels are not known yet, so `labels` says whether a bare word may be one.
    """

    def __init__(self, cursor: Cursor, globals_: Container[str], used: Callable[[str], None]) -> None:
        self.cursor = cursor
        self._globals = globals_
        self._used = used
        self._parts: list[str] = []
        self.selected: tuple[str, ...] = ()
        """Parts of registers that the last statement names: `0:b1` where the first operand is `%r1.b1`; `2:neg` where
        the third is `-%r3`."""

    def guard(self, scope: Scope) -> Guard:
        """Take what follows `@`."""
        negated = self.cursor.take("!")
        return Guard(self._predicate(scope), negated)

    def _predicate(self, scope: Scope) -> Register:
        cursor = self.cursor
        register = scope.register(cursor.words[cursor.at])
        if register is None or register.type != "pred":
            raise cursor.unexpected("a predicate register")
        cursor.at += 1
        return register

    def statement(self, scope: Scope, *, labels: bool) -> tuple[Operand, ...]:
        """Take operands to the semicolon."""
        cursor = self.cursor
        found: list[Operand] = []
        self.selected = ()
        words = cursor.words
        if words[cursor.at] == ";":
            cursor.at += 1
            return ()
        known = scope.known
        while True:
            word = words[cursor.at]
            register = known.get(word)
            alone = word != "" and words[cursor.at + 1] in _ENDS
            # Most operands are a register or a number.
            if register is not None and alone:
                found.append(register)
                cursor.at += 1
            elif word == "[":
                found.extend(self._address(scope))
            elif alone and cursor.kinds[cursor.at] == NUMBER:
                found.append(number(cursor))
            else:
                found.append(self._one(scope, labels))
            if self._parts:
                self.selected += tuple(f"{len(found) - 1}:{part}" for part in self._parts)
                self._parts.clear()
            mark = words[cursor.at]
            cursor.at += 1
            if mark == ";":
                return tuple(found)
            if mark != ",":
                cursor.at -= 1
                raise cursor.unexpected("',' or ';'")

    def alone(self, scope: Scope, text: str) -> Operand | None:
        """The operand that `text` is; None where it cannot be told without its statement."""
        register = scope.register(text)
        if register is not None:
            scope.operands[text] = register
            return register
        if not text or not _SEVERAL.isdisjoint(text) or (text[0] == "[" and text[-1] != "]"):
            return None
        cursor = self.cursor
        cursor.enter(f"{text};")
        found = self.statement(scope, labels=False)
        if len(found) != 1 or self.selected or cursor.kinds[cursor.at] != END:
            return None
        (operand,) = found
        if isinstance(operand.base if isinstance(operand, Address) else operand, Register | Immediate | Special):
            scope.operands[text] = operand
        return operand

    def _one(self, scope: Scope, labels: bool) -> Operand:
        cursor = self.cursor
        first: Operand
        word = cursor.words[cursor.at]
        if word == "{":
            return self._vector(scope)
        if word == "(":
            return self._call_list(scope) if labels else constant(cursor)
        if word == "!" and cursor.kinds[cursor.at + 1] == WORD:
            cursor.at += 1
            first = Not(self._predicate(scope))
        elif cursor.kinds[cursor.at] == WORD:
            first = self._name(scope, labels)
        elif word == "-" and scope.register(cursor.words[cursor.at + 1].partition(".")[0]) is not None:
            cursor.at += 1
            self._parts.append("neg")
            first = self._name(scope, labels)
        else:
            first = constant(cursor)
        if cursor.words[cursor.at] == "|":
            cursor.at += 1
            return Pair(first, self._one(scope, labels))
        if isinstance(first, Symbol) and cursor.words[cursor.at] in ("+", "-"):
            return Symbol(first.name, self._offset())
        return first

    def _name(self, scope: Scope, labels: bool) -> Register | Special | Symbol | Sink | Immediate:
        cursor = self.cursor
        word = cursor.words[cursor.at]
        cursor.at += 1
        register = scope.register(word)
        if register is not None:
            return register
        if word == "_":
            return _SINK
        variable = scope.variable(word)
        if variable is not None:
            return Symbol(variable.name)
        if word in self._globals:
            self._used(word)
            return Symbol(word)
        if word == "WARP_SZ":
            return Immediate(32, "s64")
        part = self._part(scope, word) if "." in word else None
        if part is not None:
            return part
        if word.startswith("%"):
            return Special(word)
        if labels and "." not in word:
            return Symbol(word)
        raise cursor.error(f"{word} is not declared", cursor.at - 1)

    def _part(self, scope: Scope, word: str) -> Register | None:
        """The register of `%r1.b0`, whose part is noted; None where there is none."""
        name, _, part = word.partition(".")
        register = scope.register(name)
        if register is not None:
            self._parts.append(part)
        return register

    def _vector(self, scope: Scope) -> Vector:
        cursor = self.cursor
        cursor.expect("{")
        items: list[Operand] = []
        while True:
            if cursor.words[cursor.at] in ("{", "(", "["):
                raise cursor.unexpected("an element of a vector")
            items.append(self._one(scope, False))
            if cursor.take("}"):
                return Vector(tuple(items))
            cursor.expect(",")

    def _call_list(self, scope: Scope) -> Operand:
        """Take `(param0, param1)` of a call."""
        cursor = self.cursor
        cursor.expect("(")
        items: list[Operand] = []
        while not cursor.take(")"):
            if items:
                cursor.expect(",")
            if cursor.words[cursor.at] in ("{", "(", "["):
                raise cursor.unexpected("an argument")
            items.append(self._one(scope, False))
        return Vector(tuple(items))

    def _address(self, scope: Scope) -> list[Operand]:
        """Take `[base+offset]`. A tensor's `[base, {x, y}]` gives two operands: the address, the coordinates."""
        cursor = self.cursor
        cursor.expect("[")
        found: list[Operand] = [self._base(scope)]
        while not cursor.take("]"):
            cursor.expect(",")
            if cursor.words[cursor.at] == "{":
                found.append(self._vector(scope))
            else:
                found.append(self._base(scope))
        return found

    def _base(self, scope: Scope) -> Address:
        cursor = self.cursor
        if cursor.kinds[cursor.at] != WORD or cursor.words[cursor.at] == "WARP_SZ":
            return Address(constant(cursor))
        at = cursor.at
        base = self._name(scope, False)
        if not isinstance(base, Register | Symbol):
            raise cursor.error(f"{cursor.words[at]} cannot be an address", at)
        mark = cursor.words[cursor.at]
        return Address(base, self._offset()) if mark in ("+", "-") else Address(base)

    def _offset(self) -> int:
        cursor = self.cursor
        sign = 1
        total = 0
        while cursor.words[cursor.at] in ("+", "-"):
            sign = 1 if cursor.words[cursor.at] == "+" else -1
            cursor.at += 1
            value = constant(cursor)
            if value.type not in ("s64", "u64"):
                raise cursor.error("an offset is an integer", cursor.at - 1)
            total += sign * signed(value)
        return total
