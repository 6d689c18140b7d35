"""The program that runs NVRTC: a request from stdin, a reply to stdout, both one length-prefixed JSON.

Run by path under `python -I -S`, so it imports the standard library alone. Before it touches the candidate's
text it limits its memory, time and output, dies with its parent, and, where the kernel has Landlock, gives up
every file but the compiler's library and headers. The NVRTC interface is that of nvrtc.h, CUDA 13.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import resource
import signal
import stat
import struct
import sys
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_RULE_PATH_BENEATH = 1
_LANDLOCK_CREATE_RULESET_VERSION = 1
_READ_FILE, _READ_DIR, _EXECUTE = 1 << 2, 1 << 3, 1 << 0
_FILE_RIGHTS_V1 = (1 << 13) - 1
_FILE_ONLY_RIGHTS = 0b111
_TCP_RIGHTS_V4 = 0b11
_SUCCESS, _COMPILATION_ERROR = 0, 6
_SYSTEM_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")


def _limit(request: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (request["memory_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"] + 1, request["seconds"] + 2))
    resource.setrlimit(resource.RLIMIT_FSIZE, (request["output_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with_parent(libc: ctypes.CDLL, parent: int) -> None:
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It ended before the request above could take hold.
        os._exit(1)


def _confine(libc: ctypes.CDLL, readable: list[str], writable: list[str]) -> bool:
    """Give up all files but these. False where the kernel cannot (Landlock is in Linux 5.13 and later)."""
    libc.syscall.restype = ctypes.c_long
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        return False
    handled = struct.pack("QQ", _FILE_RIGHTS_V1, _TCP_RIGHTS_V4)
    rules = libc.syscall(_LANDLOCK_CREATE_RULESET, handled, ctypes.c_size_t(16 if version >= 4 else 8), 0)
    if rules < 0:
        return False
    read = _READ_FILE | _READ_DIR | _EXECUTE
    for path, rights in [(path, read) for path in readable] + [(path, _FILE_RIGHTS_V1) for path in writable]:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _FILE_ONLY_RIGHTS
        beneath = struct.pack("=Qi", rights, handle)
        libc.syscall(_LANDLOCK_ADD_RULE, rules, _LANDLOCK_RULE_PATH_BENEATH, beneath, 0)
        os.close(handle)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return bool(libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0) == 0)


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


def main() -> None:
    """Serve one request."""
    (size,) = struct.unpack("<Q", sys.stdin.buffer.read(8))
    request = json.loads(sys.stdin.buffer.read(size))
    output = os.dup(1)
    # What the compiler prints by itself must not end up between the bytes of the reply.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    libc = ctypes.CDLL(None, use_errno=True)
    _die_with_parent(libc, request["parent"])
    _limit(request)
    confined = _confine(libc, [*request["readable"], *_SYSTEM_FOLDERS], request["writable"])
    reply = json.dumps(_compile(request) | {"confined": confined}).encode()
    with os.fdopen(output, "wb") as stream:
        stream.write(struct.pack("<Q", len(reply)) + reply)
        stream.flush()
    # Unloading NVRTC takes longer than leaving.
    os._exit(0)


if __name__ == "__main__":
    main()
