"""The jailed program that runs NVRTC (`jail/child.py` runs it).

It imports the standard library alone. The NVRTC interface is that of nvrtc.h, CUDA 13.
"""

from __future__ import annotations

import ctypes
from typing import Any

_SUCCESS, _COMPILATION_ERROR = 0, 6


class _Program:
    """One nvrtcProgram."""

    def __init__(self, library: ctypes.CDLL, source: bytes, names: list[str]) -> None:
        self._library = library
        self._names = names
        self._handle = ctypes.c_void_p()
        self._check(library.nvrtcCreateProgram(ctypes.byref(self._handle), source, b"candidate.cu", 0, None, None))
        for name in names:
            self._check(library.nvrtcAddNameExpression(self._handle, name.encode()))

    def _check(self, status: int) -> None:
        if status != _SUCCESS:
            raise RuntimeError(f"NVRTC status {status}")

    def compile(self, options: list[str]) -> int:
        array = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        return int(self._library.nvrtcCompileProgram(self._handle, len(options), array))

    def _bytes(self, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(getattr(self._library, f"nvrtcGet{what}Size")(self._handle, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(max(1, size.value))
        self._check(getattr(self._library, f"nvrtcGet{what}")(self._handle, buffer))
        return buffer.raw[: size.value]

    def text(self, what: str) -> str:
        return self._bytes(what).rstrip(b"\0").decode("utf-8", "replace")

    def cubin(self) -> bytes:
        return self._bytes("CUBIN")

    def lowered(self) -> dict[str, str]:
        found = {}
        for name in self._names:
            mangled = ctypes.c_char_p()
            self._check(self._library.nvrtcGetLoweredName(self._handle, name.encode(), ctypes.byref(mangled)))
            found[name] = (mangled.value or b"").decode()
        return found


_loaded: list[ctypes.CDLL] = []


def prepare(setup: dict[str, Any]) -> None:
    """Load the compiler."""
    # NVRTC opens its builtins by bare name; one that is loaded already is found.
    _loaded.extend(ctypes.CDLL(library) for library in (*setup["preload"], setup["library"]))


def work(request: dict[str, Any], blobs: list[bytearray]) -> tuple[dict[str, Any], list[bytes]]:
    """Compile one translation unit; the cubin is the reply's blob."""
    library, cubin = _loaded[-1], b""
    source = request["source"].encode()
    program = _Program(library, source, request["names"])
    status = program.compile([f"--gpu-architecture={request['arch']}", *request["options"]])
    reply: dict[str, Any] = {"status": status, "log": program.text("ProgramLog"), "ptx": "", "names": {}}
    if status == _SUCCESS:
        reply["ptx"] = program.text("PTX")
        cubin = program.cubin()
        reply["names"] = program.lowered()
    elif status == _COMPILATION_ERROR and "ptxas" in reply["log"]:
        # The assembler names PTX lines; the PTX alone, for a virtual architecture, leads back to the source.
        virtual = _Program(library, source, request["names"])
        if virtual.compile([f"--gpu-architecture={request['virtual']}", *request["options"]]) == _SUCCESS:
            reply["ptx"] = virtual.text("PTX")
    return reply, [cubin]
