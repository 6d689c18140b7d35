"""printf as device code calls it: a format string and a buffer of naturally aligned arguments."""

from __future__ import annotations

import re
import struct

from ..program import Instr
from .number import signed
from .state import Thread, Warp
from .warp_memory import reached

_CONVERSION = re.compile(r"%([-+ #0]*)(\d*)((?:\.\d*)?)(hh|h|ll|l|z|t|j)?([diouxXcsfFeEgGaAp%])")
LONGEST_TEXT = 4096


def text_at(warp: Warp, instr: Instr, thread: Thread, address: int) -> str:
    """The zero-terminated text at a generic address."""
    data = bytearray()
    while len(data) < LONGEST_TEXT:
        byte = reached(warp, instr, thread, "generic", address + len(data), 1)
        if byte == b"\0":
            break
        data += byte
    return data.decode("utf-8", "replace")


def formatted(warp: Warp, instr: Instr, thread: Thread, text: int, arguments: int) -> str:
    """What one thread's vprintf(text, arguments) writes."""
    at = arguments

    def take(size: int) -> bytes:
        nonlocal at
        at = -(-at // size) * size
        data = reached(warp, instr, thread, "generic", at, size)
        at += size
        return data

    def one(match: re.Match[str]) -> str:
        flags, width, precision, length, kind = match.groups()
        if kind == "%":
            return "%"
        if kind == "s":
            return f"%{flags}{width}{precision}s" % text_at(warp, instr, thread, int.from_bytes(take(8), "little"))
        if kind in "fFeEgGaA":
            (number,) = struct.unpack("<d", take(8))
            return float.hex(number) if kind in "aA" else f"%{flags}{width}{precision}{kind}" % number
        size = 8 if length in ("l", "ll", "z", "t", "j") or kind == "p" else 4
        bits = int.from_bytes(take(size), "little")
        if kind == "p":
            return f"{bits:#x}"
        if kind == "c":
            return f"%{flags}{width}c" % (bits & 0xFF)
        value = signed(bits, 8 * size) if kind in "di" else bits
        return f"%{flags}{width}{precision}{'d' if kind == 'u' else kind}" % value

    return _CONVERSION.sub(one, text_at(warp, instr, thread, text))
