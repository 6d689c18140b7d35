"""printf as the device runs it: vprintf gets a format and a buffer of arguments, formatted here."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

ReadString = Callable[[int], str]
"""From a generic address to the zero-terminated text there."""

_CONVERSION = re.compile(r"%(?P<flags>[-+ #0]*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d+))?"
                         r"(?P<length>hh|h|ll|l|j|z|t|L)?(?P<kind>[diouxXeEfFgGaAcsp%])")  # fmt: skip


_MOST_WIDE, _MOST_DIGITS = 1024, 18


class _Arguments:
    """The buffer: every argument at its natural alignment, ints promoted to 4 bytes, floats to 8."""

    def __init__(self, buffer: bytes) -> None:
        self._buffer = buffer
        self._at = 0

    def take(self, code: str) -> int | float:
        size = struct.calcsize(code)
        self._at = -(-self._at // size) * size
        if self._at + size > len(self._buffer):
            return 0
        (value,) = struct.unpack_from(f"<{code}", self._buffer, self._at)
        self._at += size
        return int(value) if isinstance(value, int) else float(value)


def _bounded(count: str) -> str:
    """A width or precision that a text still has room for: a kernel chooses it."""
    return str(max(-_MOST_WIDE, min(_MOST_WIDE, int(count[:_MOST_DIGITS])))) if count else count


def format_printf(form: str, buffer: bytes, read_string: ReadString) -> str:
    """`form` with its conversions replaced by the values in `buffer`."""
    arguments = _Arguments(buffer)

    def convert(match: re.Match[str]) -> str:
        kind, length = match["kind"], match["length"] or ""
        if kind == "%":
            return "%"
        width = match["width"] or ""
        precision = match["precision"]
        if width == "*":
            width = str(arguments.take("i"))
        if precision == "*":
            precision = str(arguments.take("i"))
        # A negative precision counts as none.
        precision = None if precision is None or precision.startswith("-") else _bounded(precision)
        width = _bounded(width)
        spec = f"%{match['flags']}{width}" + ("" if precision is None else f".{precision}")
        if kind in "eEfFgG":
            return (spec + kind) % arguments.take("d")
        if kind in "aA":
            return float(arguments.take("d")).hex()
        if kind == "s":
            return (spec + "s") % read_string(int(arguments.take("Q")))
        if kind == "p":
            return f"{int(arguments.take('Q')):#x}"
        if kind == "c":
            return (spec + "c") % chr(int(arguments.take("i")) & 0xFF)
        wide = length in ("l", "ll", "j", "z", "t")
        code = ("q" if wide else "i") if kind in "di" else ("Q" if wide else "I")
        return (spec + ("d" if kind in "iu" else kind)) % arguments.take(code)

    return _CONVERSION.sub(convert, form)
