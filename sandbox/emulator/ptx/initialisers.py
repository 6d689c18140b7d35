"""Initialisers of variables: `{1, 2, {3}}`, strings and addresses, as bytes.

Source: PTX ISA 9.0, section 5.4 "Initializers".
"""

from __future__ import annotations

import struct

from warpsmith.sandbox.emulator.program import Symbol
from warpsmith.sandbox.emulator.ptx.layout import MAX_WINDOW, align_up
from warpsmith.sandbox.emulator.ptx.lexer import STRING, WORD, Cursor
from warpsmith.sandbox.emulator.ptx.literals import constant, expression, floating, signed

MAX_INITIALISER = 16 << 20
MAX_NESTING = 16
_ESCAPES = {"n": 10, "t": 9, "r": 13, "0": 0, "a": 7, "b": 8, "f": 12, "v": 11}


class Initialiser:
    """Collects the bytes of `{1, 2, {3}}`; a short inner list leaves the rest of its row zero."""

    def __init__(self, element: int, shape: list[int | None], type_: str) -> None:
        self._element, self._shape, self._type = element, shape, type_
        self._data = bytearray()
        self._relocations: list[tuple[int, Symbol]] = []
        self._strides = [element] * (len(shape) + 2)
        for axis in range(len(shape) - 1, 0, -1):
            self._strides[axis] = min(self._strides[axis + 1] * (shape[axis] or 1), MAX_WINDOW)

    def read(self, cursor: Cursor, axis: int = 0, offset: int = 0) -> int:
        """Take one value or list at byte `offset`; the offset behind it."""
        if axis > MAX_NESTING:
            raise cursor.error("this initialiser is nested too deeply")
        if not cursor.take("{"):
            return self._scalar(cursor, offset)
        start = offset
        while not cursor.take("}"):
            nested = cursor.words[cursor.at] == "{"
            begin = offset
            offset = self.read(cursor, axis + 1, offset)
            if nested:
                offset = begin + self._strides[min(axis + 1, len(self._strides) - 1)]
            if not cursor.take(","):
                cursor.expect("}")
                break
        return max(offset, start)

    def _scalar(self, cursor: Cursor, offset: int) -> int:
        at = cursor.at
        if cursor.kinds[at] == STRING:
            cursor.at += 1
            return self._put(cursor, offset, _string(cursor.words[at]))
        if cursor.kinds[at] == WORD and cursor.words[at] != "WARP_SZ":
            self._relocations.append((offset, _address(cursor)))
            return self._put(cursor, offset, bytes(self._element))
        return self._put(cursor, offset, self._encode(cursor))

    def _encode(self, cursor: Cursor) -> bytes:
        value = expression(cursor)
        if value.type not in ("f32", "f64"):
            if self._type == "f32":
                return struct.pack("<f", signed(value))
            if self._type == "f64":
                return struct.pack("<d", signed(value))
            return value.bits.to_bytes(8, "little").ljust(self._element, b"\0")[: self._element]
        form = {"f32": "<f", "f64": "<d", "f16": "<e"}.get(self._type)
        if form is None:
            raise cursor.error(f"a floating-point literal cannot initialise .{self._type}", cursor.at - 1)
        try:
            return struct.pack(form, floating(value))
        except OverflowError:
            raise cursor.error(f"the literal does not fit .{self._type}", cursor.at - 1) from None

    def _put(self, cursor: Cursor, offset: int, data: bytes) -> int:
        end = offset + len(data)
        if end > MAX_INITIALISER:
            raise cursor.error(f"initialisers are limited to {MAX_INITIALISER} bytes")
        if len(self._data) < end:
            self._data.extend(bytes(end - len(self._data)))
        self._data[offset:end] = data
        return end

    def finish(self, cursor: Cursor) -> tuple[bytes, tuple[tuple[int, Symbol], ...]]:
        """The bytes, padded with zeros to the declared size."""
        if self._shape and self._shape[0] is None:
            size = align_up(len(self._data), self._strides[1])
        else:
            size = self._strides[1] * (self._shape[0] or 1 if self._shape else 1)
        if len(self._data) > size:
            raise cursor.error("more initialisers than elements")
        cursor.initialised += size
        if cursor.initialised > MAX_INITIALISER:
            raise cursor.error(f"the initialised variables exceed {MAX_INITIALISER} bytes")
        return bytes(self._data.ljust(size, b"\0")), tuple(self._relocations)


def _address(cursor: Cursor) -> Symbol:
    """Take `name`, `generic(name)` or either with `+ offset`."""
    name = cursor.name("a symbol")
    if name == "generic" and cursor.take("("):
        name = cursor.name("a symbol")
        cursor.expect(")")
    offset = 0
    if cursor.words[cursor.at] in ("+", "-"):
        sign = 1 if cursor.words[cursor.at] == "+" else -1
        cursor.at += 1
        offset = sign * signed(constant(cursor))
    return Symbol(name, offset)


def _string(quoted: str) -> bytes:
    """The bytes of a string literal and the zero that ends it."""
    out = bytearray()
    inner = iter(quoted[1:-1])
    for letter in inner:
        if letter == "\\":
            escaped = next(inner)
            out += bytes([_ESCAPES[escaped]]) if escaped in _ESCAPES else escaped.encode()
        else:
            out += letter.encode("utf-8", "replace")
    return bytes(out) + b"\0"
