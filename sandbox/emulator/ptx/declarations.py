"""Declarations: registers, variables with their initialisers, parameters.

Source: PTX ISA 9.0, chapter 5 "State Spaces, Types, and Variables".
"""

from __future__ import annotations

from dataclasses import dataclass

from warpsmith.sandbox.emulator.program import Param, Symbol, Variable
from warpsmith.sandbox.emulator.ptx.initialisers import MAX_NESTING, Initialiser
from warpsmith.sandbox.emulator.ptx.layout import BYTES, MAX_WINDOW, align_up
from warpsmith.sandbox.emulator.ptx.lexer import DIRECTIVE, NUMBER, Cursor
from warpsmith.sandbox.emulator.ptx.literals import constant, expression, signed
from warpsmith.sandbox.emulator.ptx.scope import Scope

SPACES = ("shared", "local", "global", "const", "param")
_OPAQUE = ("texref", "samplerref", "surfref")


def _size(cursor: Cursor, what: str, most: int) -> int:
    value = signed(expression(cursor))
    if not 0 < value <= most:
        raise cursor.error(f"{what} must be from 1 to {most}, not {value}", cursor.at - 1)
    return value


def _element(cursor: Cursor) -> str | None:
    """Take a type directive and return its name; None where another directive stands."""
    word = cursor.words[cursor.at][1:]
    if cursor.kinds[cursor.at] == DIRECTIVE and word in BYTES:
        cursor.at += 1
        return word
    return None


@dataclass(slots=True)
class _Head:
    type: str
    align: int
    managed: bool = False
    lanes: int = 1


def _head(cursor: Cursor) -> _Head:
    """Take what stands between the space and the name: `.align 16 .v4 .f32`, `.u64 .ptr .global .align 16`."""
    type_: str | None = None
    align, lanes, managed, pointer = 0, 1, False, False
    while cursor.kinds[cursor.at] == DIRECTIVE:
        word = cursor.words[cursor.at]
        element = _element(cursor)
        if element is not None:
            type_ = element
            continue
        cursor.at += 1
        if word == ".align":
            stated = _size(cursor, "an alignment", 1 << 20)
            if stated & (stated - 1):
                raise cursor.error(f"an alignment is a power of two, not {stated}", cursor.at - 1)
            # Behind `.ptr` it is the pointee's.
            align = align if pointer else stated
        elif word in (".v2", ".v4", ".v8"):
            lanes = int(word[2:])
        elif word == ".ptr":
            pointer = True
        elif pointer and word[1:] in (*SPACES, "generic"):
            continue
        elif word == ".attribute":
            managed = _attribute(cursor) or managed
        else:
            raise cursor.error(f"unexpected {word} in a declaration", cursor.at - 1)
    if type_ is None:
        raise cursor.unexpected("a type")
    return _Head(type_, align or BYTES[type_] * lanes, managed, lanes)


def _attribute(cursor: Cursor) -> bool:
    cursor.expect("(")
    managed = False
    while not cursor.take(")"):
        managed = managed or cursor.words[cursor.at] == ".managed"
        if cursor.kinds[cursor.at] not in (DIRECTIVE, NUMBER) and cursor.words[cursor.at] not in (",", "(", ")"):
            raise cursor.unexpected("an attribute")
        cursor.at += 1
        if cursor.take("("):
            while not cursor.take(")"):
                constant(cursor)
                cursor.take(",")
    return managed


def registers(cursor: Cursor, scope: Scope) -> None:
    """Take what follows `.reg`, to the semicolon."""
    word = cursor.words[cursor.at]
    type_ = _element(cursor)
    if type_ is None:
        if word != ".pred":
            raise cursor.unexpected("a register type (vector registers are not supported)")
        cursor.at += 1
        type_ = "pred"
    while True:
        at = cursor.at
        name = cursor.name("a register's name")
        count: int | None = None
        if cursor.take("<"):
            # A plain literal: `>` here closes the range.
            count = _size_literal(cursor)
            cursor.expect(">")
        if not scope.declare(name, type_, count):
            raise cursor.error(f"{name} is declared twice in one scope", at)
        if not cursor.take(","):
            break
    cursor.expect(";")


def _size_literal(cursor: Cursor) -> int:
    value = constant(cursor)
    if value.type in ("f32", "f64") or value.bits >= 1 << 31:
        raise cursor.error("a register range needs an integer below 2**31", cursor.at - 1)
    return value.bits


def variables(cursor: Cursor, space: str, *, extern: bool) -> list[Variable]:
    """Take what follows the space's directive, to the semicolon."""
    head = _head(cursor)
    if head.managed:
        space = "managed"
    found = [_variable(cursor, space, head, extern)]
    while cursor.take(","):
        found.append(_variable(cursor, space, head, extern))
    cursor.expect(";")
    return found


def _variable(cursor: Cursor, space: str, head: _Head, extern: bool) -> Variable:
    at = cursor.at
    name = cursor.name("a variable's name")
    shape = _shape(cursor, head)
    init: bytes | None = None
    relocations: tuple[tuple[int, Symbol], ...] = ()
    if cursor.take("="):
        items = Initialiser(BYTES[head.type], shape, head.type)
        items.read(cursor)
        init, relocations = items.finish(cursor)
    size = BYTES[head.type]
    if shape and shape[0] is None:
        size = len(init) if init is not None else 0
        if init is None and not extern:
            raise cursor.error(f"{name} has no size", at)
    else:
        for length in shape:
            size *= length or 0
    if size > MAX_WINDOW:
        raise cursor.error(f"{name} is larger than {MAX_WINDOW} bytes", at)
    return Variable(name, space, head.type, head.align, size, init, extern, relocations)


def _shape(cursor: Cursor, head: _Head) -> list[int | None]:
    """Take `[4][8]`; an empty first bound is None. Vector lanes are one more, innermost, dimension."""
    shape: list[int | None] = []
    while cursor.take("["):
        if cursor.take("]"):
            if shape:
                raise cursor.error("only the first dimension may be left open", cursor.at - 1)
            shape.append(None)
            continue
        shape.append(_size(cursor, "a dimension", MAX_WINDOW))
        cursor.expect("]")
        if len(shape) > MAX_NESTING:
            raise cursor.error("too many dimensions")
    if head.lanes > 1:
        shape.append(head.lanes)
    return shape


def formal(cursor: Cursor, space: str) -> Variable:
    """Take what follows `.param` or `.reg` in a function's head: one formal parameter, without its comma."""
    if cursor.take(".pred"):
        return Variable(cursor.name("a parameter's name"), space, "pred", 1, 1, None, extern=False)
    head = _head(cursor)
    name = cursor.name("a parameter's name")
    size = BYTES[head.type]
    for length in _shape(cursor, head):
        size *= length or 0
    if size > MAX_WINDOW:
        raise cursor.error(f"parameter {name} is too large", cursor.at - 1)
    return Variable(name, space, head.type, head.align, size, None, extern=False)


def parameters(cursor: Cursor) -> tuple[Param, ...]:
    """Take an entry's parameter list, from `(` to `)`; without parentheses there are none."""
    found: list[Param] = []
    end = 0
    if not cursor.take("("):
        return ()
    while not cursor.take(")"):
        if found:
            cursor.expect(",")
        cursor.expect(".param")
        head = _head(cursor)
        at = cursor.at
        name = cursor.name("a parameter's name")
        size = BYTES[head.type]
        for length in _shape(cursor, head):
            if length is None:
                raise cursor.error(f"parameter {name} has no size", at)
            size *= length
        offset = align_up(end, head.align)
        end = offset + size
        if end > MAX_WINDOW or any(param.name == name for param in found):
            raise cursor.error(f"parameter {name} is too large or declared twice", at)
        found.append(Param(name, offset, size, head.type))
    return tuple(found)
