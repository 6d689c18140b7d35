"""The program that runs NVRTC: a request from stdin, a reply to stdout, confined (`confinement.py`).

Run by path under `python -I -S`, so it imports the standard library alone. The NVRTC interface is that of nvrtc.h,
CUDA 13.
"""

from __future__ import annotations

import base64
import ctypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warpsmith.sandbox.compile.confinement import serve
else:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from confinement import serve

    del sys.path[0]

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


def _compile(request: dict[str, Any]) -> dict[str, Any]:
    for dependency in request["preload"]:
        # NVRTC opens its builtins by bare name; one that is loaded already is found.
        ctypes.CDLL(dependency)
    library = ctypes.CDLL(request["library"])
    source = request["source"].encode()
    program = _Program(library, source, request["names"])
    status = program.compile([f"--gpu-architecture={request['arch']}", *request["options"]])
    reply: dict[str, Any] = {"status": status, "log": program.text("ProgramLog"), "ptx": "", "cubin": "", "names": {}}
    if status == _SUCCESS:
        reply["ptx"] = program.text("PTX")
        reply["cubin"] = base64.b64encode(program.cubin()).decode()
        reply["names"] = program.lowered()
    elif status == _COMPILATION_ERROR and "ptxas" in reply["log"]:
        # The assembler names PTX lines; the PTX alone, for a virtual architecture, leads back to the source.
        virtual = _Program(library, source, request["names"])
        if virtual.compile([f"--gpu-architecture={request['virtual']}", *request["options"]]) == _SUCCESS:
            reply["ptx"] = virtual.text("PTX")
    return reply


if __name__ == "__main__":
    serve(_compile)
