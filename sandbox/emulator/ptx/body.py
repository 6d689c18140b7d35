"""The body of an entry: declarations, labels and instructions in nested scopes."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

from warpsmith.sandbox.emulator.program import Guard, Instr, Operand, Register, Variable, Vector
from warpsmith.sandbox.emulator.ptx import declarations, wide
from warpsmith.sandbox.emulator.ptx.lexer import DIRECTIVE, END, LOCATION, STATEMENT, STRING, WORD, Cursor
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
        self._operands, self._line_operands = (
            Operands(place, globals_, self._used.setdefault) for place in (cursor, Cursor("", by_line=True))
        )
        self._instructions: list[Instr] = []
        self._variables: dict[str, Variable] = {}
        self._labels: set[int] = set()
        self._branches: dict[int, tuple[Scope, int]] = {}
        self._words: dict[str, tuple[str, tuple[str, ...]]] = {}
        """Opcode and modifiers of each word that began an instruction."""
        self._plain_words: dict[str, tuple[str, tuple[str, ...]]] = {}
        """Of those that take no label, and no register of which there are two."""

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
            self._append("ret", (), (), None, self._cursor.at - 1)
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
            if kind == STATEMENT:
                self._whole_line(scope, word)
                cursor.at += 1
            elif kind == LOCATION:
                self._locations.read_line(word)
                cursor.at += 1
            elif kind == WORD:
                if words[cursor.at + 1] == ":":
                    self._label(scope)
                else:
                    self._instruction(self._operands, scope, None, cursor.at)
            elif kind == DIRECTIVE:
                self._directive(scope)
            elif word == "@":
                cursor.at += 1
                guard = self._operands.guard(scope)
                self._instruction(self._operands, scope, guard, cursor.at)
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
                if cursor.kinds[cursor.at] in (END, STATEMENT):
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

    def _whole_line(self, scope: Scope, line: str) -> None:
        """An instruction that has a line to itself: what its parts meant before, or token by token."""
        at, guard, rest = self._cursor.at, None, line
        if line[0] == "@":
            mark, _, rest = line.partition(" ")
            guard = self._guard(scope, mark)
        word, _, operands = rest.partition(" ")
        known = self._plain_words.get(word)
        if known is not None and operands and (guard is not None or rest is line):
            found = self._known_operands(scope, operands.lstrip())
            if found is not None and len(self._instructions) < MAX_INSTRUCTIONS:
                opcode, modifiers = known
                where = self._locations
                ptx_line = self._cursor.line_of(at)
                self._instructions.append(
                    Instr(opcode, modifiers, found, guard, where.line, ptx_line, -1, (), where.column)
                )
                return
        reader = self._line_operands
        cursor = reader.cursor
        cursor.enter(line)
        guard = reader.guard(scope) if cursor.take("@") else None
        self._instruction(reader, scope, guard, at)
        if cursor.kinds[cursor.at] != END:
            raise cursor.unexpected("the end of the line")

    def _guard(self, scope: Scope, mark: str) -> Guard | None:
        """The guard of a line; None where it takes a closer look."""
        negated = mark[1:2] == "!"
        register = scope.register(mark[1 + negated :])
        return Guard(register, negated) if register is not None and register.type == "pred" else None

    def _known_operands(self, scope: Scope, text: str) -> tuple[Operand, ...] | None:
        """Operands to the semicolon; None where they cannot be told one by one."""
        parts = text[:-1].split(", ")
        if "{" in text:
            return self._known_vectors(scope, parts)
        found = []
        for part in parts:
            operand = scope.operands.get(part) or self._line_operands.alone(scope, part)
            if operand is None:
                return None
            found.append(operand)
        return tuple(found)

    def _known_vectors(self, scope: Scope, parts: list[str]) -> tuple[Operand, ...] | None:
        """The same where some of the parts are elements: `{%r1`, `%r2}`."""
        found: list[Operand] = []
        opened = 0
        for part in parts:
            closes = part[-1:] == "}"
            if part[:1] == "{":
                opened = len(found)
            word = part.strip("{ }") if closes or part[:1] == "{" else part
            operand = scope.operands.get(word) or self._line_operands.alone(scope, word)
            if operand is None:
                return None
            found.append(operand)
            if closes:
                found[opened:] = [Vector(tuple(found[opened:]))]
        return tuple(found)

    def _instruction(self, reader: Operands, scope: Scope, guard: Guard | None, at: int) -> None:
        """An instruction from the reader's cursor on; token `at` of the text begins it."""
        cursor = reader.cursor
        if cursor.kinds[cursor.at] != WORD:
            raise cursor.unexpected("an instruction")
        word = cursor.words[cursor.at]
        cursor.at += 1
        while cursor.kinds[cursor.at] == DIRECTIVE:
            # Inline assembly may put a blank before a modifier.
            word += cursor.words[cursor.at]
            cursor.at += 1
        known = self._words.get(word)
        if known is None:
            opcode, *modifiers = word.split(".")
            known = self._words[word] = opcode, tuple(modifiers)
            if opcode not in _TAKES_LABEL and wide.TYPE not in modifiers:
                self._plain_words[word] = known
        opcode = known[0]
        if opcode[0] in "%$" or len(self._instructions) >= MAX_INSTRUCTIONS:
            raise self._cursor.error(f"{word} is not an instruction, or there are too many", at)
        if opcode in BRANCHES:
            self._branches[len(self._instructions)] = (scope, at)
        operands = reader.statement(scope, labels=opcode in _TAKES_LABEL)
        self._append(opcode, known[1] + reader.selected, operands, guard, at)

    def _append(
        self, opcode: str, modifiers: tuple[str, ...], operands: tuple[Operand, ...], guard: Guard | None, at: int
    ) -> None:
        line = self._cursor.line_of(at)
        where = self._locations
        if modifiers and modifiers[-1] == wide.TYPE:
            parts = wide.expanded(opcode, modifiers, operands)
        else:
            parts = ((modifiers, operands),)
        for words, taken in parts:
            self._instructions.append(Instr(opcode, words, taken, guard, where.line, line, -1, (), where.column))
