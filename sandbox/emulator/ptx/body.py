"""The body of an entry: declarations, labels and instructions in nested scopes."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

from warpsmith.sandbox.emulator.program import Guard, Instr, Register, Variable
from warpsmith.sandbox.emulator.ptx import declarations, wide
from warpsmith.sandbox.emulator.ptx.lexer import DIRECTIVE, END, STRING, WORD, Cursor
from warpsmith.sandbox.emulator.ptx.locations import Locations
from warpsmith.sandbox.emulator.ptx.operands import Operands
from warpsmith.sandbox.emulator.ptx.scope import MAX_DEPTH, RegisterTable, Scope

MAX_INSTRUCTIONS = 1 << 20
BRANCHES = ("bra", "brx")
_TAKES_LABEL = (*BRANCHES, "call")


@dataclass(frozen=True, slots=True)
class Body:
    """A parsed body whose branches do not yet know their blocks."""

    instructions: list[Instr]
    registers: tuple[Register, ...]
    variables: list[Variable]
    used: tuple[str, ...]
    """Names from outside the body, in order of first use."""
    label_positions: frozenset[int]
    branch_scopes: dict[int, tuple[Scope, int]]
    """Index of a branch to the scope that its labels are looked up in and the token it starts at."""


class BodyParser:
    """Reads one body; `scope` is the innermost open one.

    `registers` are a function's formal parameters in registers: name to type.
    """

    def __init__(
        self, cursor: Cursor, locations: Locations, globals_: Container[str], registers: Mapping[str, str]
    ) -> None:
        self._formals = registers
        self._cursor = cursor
        self._locations = locations
        self._table = RegisterTable()
        self._used: dict[str, None] = {}
        self._operands = Operands(cursor, globals_, lambda name: self._used.setdefault(name))
        self._instructions: list[Instr] = []
        self._variables: dict[str, Variable] = {}
        self._labels: set[int] = set()
        self._branches: dict[int, tuple[Scope, int]] = {}
        self._words: dict[str, tuple[str, tuple[str, ...]]] = {}

    def parse(self) -> Body:
        """Take `{ … }`. A body that control can fall out of gets the `ret` that PTX implies."""
        self._locations.enter_function()
        outer: Scope | None = None
        if self._formals:
            outer = Scope(self._table, None)
            for name, type_ in self._formals.items():
                outer.declare(name, type_, None)
                outer.register(name)
        self._scope(outer)
        last = self._instructions[-1] if self._instructions else None
        ends = last is not None and last.guard is None and last.opcode in ("ret", "exit", "trap", "bra", "brx")
        if not ends or len(self._instructions) in self._labels:
            self._append("ret", (), None, self._cursor.at - 1)
        return Body(
            self._instructions,
            tuple(self._table.registers),
            list(self._variables.values()),
            tuple(self._used),
            frozenset(self._labels),
            self._branches,
        )

    def _scope(self, parent: Scope | None) -> None:
        cursor = self._cursor
        scope = Scope(self._table, parent)
        if scope.depth > MAX_DEPTH:
            raise cursor.error(f"scopes are nested deeper than {MAX_DEPTH}")
        opened = cursor.at
        cursor.expect("{")
        words, kinds = cursor.words, cursor.kinds
        while True:
            kind, word = kinds[cursor.at], words[cursor.at]
            if kind == WORD:
                if words[cursor.at + 1] == ":":
                    self._label(scope)
                else:
                    self._instruction(scope, None)
            elif kind == DIRECTIVE:
                self._directive(scope)
            elif word == "@":
                cursor.at += 1
                self._instruction(scope, self._operands.guard(scope))
            elif word == "{":
                self._scope(scope)
            elif word == "}":
                cursor.at += 1
                return
            elif word == ";":
                cursor.at += 1
            elif kind == END:
                raise cursor.error("this brace is never closed", opened)
            else:
                raise cursor.unexpected("a statement")

    def _label(self, scope: Scope) -> None:
        cursor = self._cursor
        at = cursor.at
        name = cursor.name("a label")
        cursor.expect(":")
        if name in scope.labels or name in scope.branch_tables:
            raise cursor.error(f"label {name} is declared twice in one scope", at)
        word = cursor.words[cursor.at]
        if word in (".branchtargets", ".calltargets"):
            cursor.at += 1
            names = [cursor.name("a label")]
            while cursor.take(","):
                names.append(cursor.name("a label"))
            cursor.expect(";")
            scope.branch_tables[name] = tuple(names)
        elif word == ".callprototype":
            while cursor.words[cursor.at] != ";":
                if cursor.kinds[cursor.at] == END:
                    raise cursor.unexpected("';'")
                cursor.at += 1
            scope.branch_tables[name] = ()
        else:
            scope.labels[name] = len(self._instructions)
            self._labels.add(len(self._instructions))

    def _directive(self, scope: Scope) -> None:
        cursor = self._cursor
        word = cursor.words[cursor.at]
        cursor.at += 1
        if word == ".loc":
            self._locations.read(cursor)
        elif word == ".reg":
            declarations.registers(cursor, scope)
        elif word == ".extern":
            self._declare(scope, extern=True)
        elif word == ".pragma":
            while cursor.kinds[cursor.at] == STRING:
                cursor.at += 1
                cursor.take(",")
            cursor.expect(";")
        else:
            cursor.at -= 1
            self._declare(scope, extern=False)

    def _declare(self, scope: Scope, *, extern: bool) -> None:
        cursor = self._cursor
        at = cursor.at
        space = cursor.words[at][1:].partition("::")[0]
        if cursor.kinds[at] != DIRECTIVE or space not in declarations.SPACES:
            raise cursor.unexpected("a declaration")
        cursor.at += 1
        for variable in declarations.variables(cursor, space, extern=extern):
            name = variable.name
            if name in scope.variables:
                raise cursor.error(f"{name} is declared twice in one scope", at)
            # `@` cannot occur in a PTX name, so this one is new.
            unique = name if name not in self._variables else f"{name}@{len(self._variables)}"
            self._variables[unique] = scope.variables[name] = replace(variable, name=unique)

    def _instruction(self, scope: Scope, guard: Guard | None) -> None:
        cursor = self._cursor
        at = cursor.at
        if cursor.kinds[at] != WORD:
            raise cursor.unexpected("an instruction")
        word = cursor.words[at]
        cursor.at += 1
        while cursor.kinds[cursor.at] == DIRECTIVE:
            # Inline assembly may put a blank before a modifier.
            word += cursor.words[cursor.at]
            cursor.at += 1
        known = self._words.get(word)
        if known is None:
            opcode, *modifiers = word.split(".")
            known = self._words[word] = opcode, tuple(modifiers)
        opcode = known[0]
        if opcode[0] in "%$" or len(self._instructions) >= MAX_INSTRUCTIONS:
            raise cursor.error(f"{word} is not an instruction, or there are too many", at)
        if opcode in BRANCHES:
            self._branches[len(self._instructions)] = (scope, at)
        self._append(opcode, known[1], guard, at, scope)

    def _append(
        self, opcode: str, modifiers: tuple[str, ...], guard: Guard | None, at: int, scope: Scope | None = None
    ) -> None:
        line = self._cursor.line_of(at)
        operands = () if scope is None else self._operands.statement(scope, labels=opcode in _TAKES_LABEL)
        modifiers += self._operands.selected if operands else ()
        where = self._locations
        if modifiers[-1:] == (wide.TYPE,):
            parts = wide.expanded(opcode, modifiers, operands)
        else:
            parts = ((modifiers, operands),)
        for words, taken in parts:
            self._instructions.append(Instr(opcode, words, taken, guard, where.line, line, column=where.column))
