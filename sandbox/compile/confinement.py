"""What every compiler's child process does before it touches a candidate's text.

Its memory, time and output are limited, it dies with its parent, and, where the kernel has Landlock, it gives up
every file but the compiler's own. A request comes from stdin and a reply goes to stdout, both one length-prefixed
JSON. Standard library alone: children run by path under `python -I -S`.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Callable
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_RULE_PATH_BENEATH = 1
_LANDLOCK_CREATE_RULESET_VERSION = 1
_READ_FILE, _READ_DIR, _EXECUTE = 1 << 2, 1 << 3, 1 << 0
_FILE_RIGHTS_V1 = (1 << 13) - 1
_FILE_ONLY_RIGHTS = 0b111
_TCP_RIGHTS_V4 = 0b11
_SYSTEM_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")


def serve(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Serve one request with `work`, confined, and leave the process."""
    (size,) = struct.unpack("<Q", sys.stdin.buffer.read(8))
    request = json.loads(sys.stdin.buffer.read(size))
    output = os.dup(1)
    # What the compiler prints by itself must not end up between the bytes of the reply.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    libc = ctypes.CDLL(None, use_errno=True)
    _die_with_parent(libc, request["parent"])
    _limit(request)
    confined = _confine(libc, [*request["readable"], *_SYSTEM_FOLDERS], request["writable"])
    reply = json.dumps(work(request) | {"confined": confined}).encode()
    with os.fdopen(output, "wb") as stream:
        stream.write(struct.pack("<Q", len(reply)) + reply)
        stream.flush()
    # Unloading a compiler takes longer than leaving.
    os._exit(0)


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
