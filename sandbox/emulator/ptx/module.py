"""The module level of a PTX text: `parse_module`.

Grammar: PTX ISA 9.0, chapters 4 and 11 ("Directives"). What the compilers emit is accepted; forms that
`program.py` has no record for are an error, never dropped in silence. Entries come out without calls of the
module's own functions: `calls.py` puts those in their place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from warpsmith.core.garbage import collected_later
from warpsmith.sandbox.emulator.program import Entry, Module, Param, Variable
from warpsmith.sandbox.emulator.ptx import cfg, declarations, layout
from warpsmith.sandbox.emulator.ptx.body import Body, BodyParser
from warpsmith.sandbox.emulator.ptx.calls import Linker
from warpsmith.sandbox.emulator.ptx.errors import PtxSyntaxError
from warpsmith.sandbox.emulator.ptx.functions import Code, Function, formals, with_function_addresses
from warpsmith.sandbox.emulator.ptx.lexer import DIRECTIVE, END, NUMBER, STATEMENT, STRING, WORD, Cursor
from warpsmith.sandbox.emulator.ptx.literals import constant
from warpsmith.sandbox.emulator.ptx.locations import Locations

_LINKING = (".visible", ".extern", ".weak", ".common")
_BLOCK_SIZES = (".maxntid", ".reqntid")
_TUNING = (
    ".minnctapersm", ".maxnctapersm", ".maxnreg", ".maxclusterrank", ".reqnctapercluster", ".explicitcluster",
    ".noreturn", ".blocksareclusters", ".abi_preserve", ".abi_preserve_control",
)  # fmt: skip
_SHARED_GRANULE, _LOCAL_GRANULE = 16, 16


@collected_later()
def parse_module(text: str, source: str = "candidate") -> Module:
    """Parse PTX text.

    `source` is the file name (last path part, with its suffix or without) whose lines `Instr.line` counts; a
    location in another file counts as the line of `source` it was inlined into.

    Raises:
        PtxSyntaxError: the text is not PTX that `program.py` can represent.
    """
    try:
        return _ModuleParser(Cursor(text, by_line=True), source).parse()
    except PtxSyntaxError:
        # The text is laid out as no compiler does, or it has a mistake: token by token, which knows its place.
        return _ModuleParser(Cursor(text), source).parse()


@lru_cache(maxsize=16)
def parsed_module(text: str) -> Module:
    """A compiled candidate's PTX, parsed once for all who ask about it: its compiler, the screen and the emulator.

    Raises:
        PtxSyntaxError: as `parse_module` does, every time.
    """
    return parse_module(text)


@dataclass(slots=True)
class _Attributes:
    block: tuple[int, ...] = ()
    required: bool = False
    """Whether launches must have exactly that block."""
    tuning: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Unlinked:
    """An entry whose calls have not been put in place."""

    params: tuple[Param, ...]
    attributes: _Attributes
    code: Code


class _ModuleParser:
    def __init__(self, cursor: Cursor, source: str) -> None:
        self._cursor = cursor
        self._locations = Locations(cursor, source)
        self._version: tuple[int, int] | None = None
        self._target = ""
        self._entries: dict[str, _Unlinked] = {}
        self._variables: dict[str, Variable] = {}
        self._functions: dict[str, Function | None] = {}
        """By name; None where the text only declares it."""

    def parse(self) -> Module:
        cursor = self._cursor
        while cursor.kinds[cursor.at] != END:
            if cursor.take(";"):
                continue
            if cursor.kinds[cursor.at] != DIRECTIVE:
                raise cursor.unexpected("a directive")
            self._directive()
        if self._version is None or not self._target:
            raise cursor.error("the text has no .version and .target")
        names = tuple(self._functions)
        linker = Linker(self._functions, self._variables.values(), [entry.code for entry in self._entries.values()])
        self._variables = {v.name: with_function_addresses(v, names) for v in self._variables.values()}
        return Module(
            self._version,
            self._target,
            tuple(self._finish(name, entry, linker) for name, entry in self._entries.items()),
            tuple(self._variables.values()),
            tuple(name for name, function in self._functions.items() if function is None),
            tuple(name for name, function in self._functions.items() if function is not None),
        )

    def _directive(self) -> None:
        cursor = self._cursor
        linking = set()
        while cursor.words[cursor.at] in _LINKING:
            linking.add(cursor.words[cursor.at])
            cursor.at += 1
        word = cursor.words[cursor.at]
        if cursor.kinds[cursor.at] != DIRECTIVE:
            raise cursor.unexpected("a directive")
        cursor.at += 1
        space = word[1:].partition("::")[0]
        if word == ".entry":
            self._entry()
        elif word == ".func":
            self._function()
        elif space in declarations.SPACES:
            for variable in declarations.variables(cursor, space, extern=".extern" in linking):
                self._variables[variable.name] = variable
        elif linking:
            raise cursor.error(f"{word} cannot follow a linking directive", cursor.at - 1)
        else:
            self._plain(word)

    def _plain(self, word: str) -> None:
        """A directive that declares nothing."""
        cursor = self._cursor
        if word == ".version":
            self._read_version()
        elif word == ".target":
            if self._target:
                raise cursor.error("a second .target", cursor.at - 1)
            self._target = cursor.name("a target")
            while cursor.take(","):
                cursor.name("a target")
        elif word == ".address_size":
            if constant(cursor).bits != 64:
                raise cursor.error("only 64-bit addresses are supported", cursor.at - 1)
        elif word == ".file":
            constant(cursor)
            if cursor.kinds[cursor.at] != STRING:
                raise cursor.unexpected("a file name")
            cursor.at += 1
            while cursor.take(","):
                constant(cursor)
        elif word == ".loc":
            self._locations.read(cursor)
        elif word == ".section":
            while cursor.kinds[cursor.at] in (WORD, DIRECTIVE, STRING):
                cursor.at += 1
            cursor.skip_braces()
        elif word == ".pragma":
            while cursor.kinds[cursor.at] == STRING or cursor.words[cursor.at] == ",":
                cursor.at += 1
            cursor.expect(";")
        else:
            raise cursor.error(f"{word} is not supported at module level", cursor.at - 1)

    def _read_version(self) -> None:
        cursor = self._cursor
        word = cursor.words[cursor.at]
        major, dot, minor = word.partition(".")
        if cursor.kinds[cursor.at] != NUMBER or not (dot and major.isdecimal() and minor.isdecimal()):
            raise cursor.unexpected("a version such as 9.0")
        if len(word) > 9 or self._version is not None:
            raise cursor.error("not a version, or a second one")
        self._version = int(major), int(minor)
        cursor.at += 1

    def _function(self) -> None:
        cursor = self._cursor
        returns = formals(cursor)
        name = cursor.name("a function's name")
        params = formals(cursor)
        self._attributes()
        if cursor.take(";"):
            self._functions.setdefault(name, None)
            return
        # A function may call itself.
        self._functions.setdefault(name, None)
        code = self._body((*returns, *params))
        self._functions[name] = Function(name, returns, params, code)

    def _body(self, own: tuple[Variable, ...]) -> Code:
        """Take a body in which the variables `own` are visible, beside the module's."""
        registers = {v.name: v.type for v in own if v.space == "reg"}
        outside = {*self._variables, *self._functions, *(v.name for v in own if v.space != "reg")}
        body = BodyParser(self._cursor, self._locations, outside, registers).parse()
        return _code(self._cursor, body)

    def _parenthesised(self) -> None:
        cursor = self._cursor
        if cursor.take("("):
            while not cursor.take(")"):
                if cursor.kinds[cursor.at] in (END, STATEMENT) or cursor.words[cursor.at] in ("(", "{", "}", ";"):
                    raise cursor.unexpected("')'")
                cursor.at += 1

    def _attributes(self) -> _Attributes:
        """Take the performance directives between a head and its body."""
        cursor = self._cursor
        found = _Attributes()
        while (word := cursor.words[cursor.at]) in _BLOCK_SIZES or word in _TUNING or word in (".pragma", ".attribute"):
            cursor.at += 1
            if word == ".pragma":
                self._plain(word)
                continue
            if word == ".attribute":
                self._parenthesised()
                continue
            numbers: list[int] = []
            while cursor.kinds[cursor.at] == NUMBER:
                numbers.append(constant(cursor).bits)
                if not cursor.take(","):
                    break
            if word in _BLOCK_SIZES:
                if not 1 <= len(numbers) <= 3:
                    raise cursor.error(f"{word} has one to three numbers", cursor.at - 1)
                found.block = tuple(numbers)
                found.required |= word == ".reqntid"
            else:
                found.tuning[word[1:]] = tuple(numbers)
        return found

    def _entry(self) -> None:
        cursor = self._cursor
        at = cursor.at
        name = cursor.name("an entry's name")
        params = declarations.parameters(cursor)
        attributes = self._attributes()
        if cursor.take(";"):
            return
        if name in self._entries:
            raise cursor.error(f"entry {name} is defined twice", at)
        own = tuple(Variable(p.name, "param", p.type, 1, p.size, None, extern=False) for p in params)
        self._entries[name] = _Unlinked(params, attributes, self._body(own))

    def _finish(self, name: str, entry: _Unlinked, linker: Linker) -> Entry:
        code = linker.link(entry.code)
        own_names = {param.name for param in entry.params}
        variables = (*self._referenced(used for used in code.used if used not in own_names), *code.variables)
        shared_offsets, shared_bytes = layout.place(variables, "shared", _SHARED_GRANULE)
        local_offsets, local_bytes = layout.place(variables, "local", _LOCAL_GRANULE)
        attributes = entry.attributes
        across, deep, high = (*attributes.block, 1, 1, 1)[:3]
        clustered = attributes.tuning.keys() & {"explicitcluster", "reqnctapercluster"}
        return Entry(
            name=name,
            params=entry.params,
            param_bytes=max((param.offset + param.size for param in entry.params), default=0),
            registers=code.registers,
            variables=variables,
            instructions=code.instructions,
            blocks=code.blocks,
            max_threads=across * deep * high if attributes.block else None,
            required_block=(across, deep, high) if attributes.required else None,
            cluster=attributes.tuning.get("reqnctapercluster", ()) if clustered else None,
            shared_bytes=shared_bytes,
            shared_offsets=shared_offsets,
            local_bytes=local_bytes,
            local_offsets=local_offsets,
            pointer_calls=code.pointer_calls,
            recursive=code.recursive,
        )

    def _referenced(self, names: Iterable[str]) -> list[Variable]:
        """The module's variables among `names`, and those whose address their initialisers hold."""
        found: dict[str, Variable] = {}
        waiting = [name for name in names if name in self._variables]
        while waiting:
            name = waiting.pop(0)
            if name not in found:
                found[name] = variable = self._variables[name]
                waiting += [symbol.name for _, symbol in variable.relocations if symbol.name in self._variables]
        return list(found.values())


def _code(cursor: Cursor, body: Body) -> Code:
    instructions, blocks = cfg.build(cursor, body)
    return Code(instructions, blocks, body.registers, tuple(body.variables), body.used)
