"""What a child process gives up before it touches a candidate's text. It cannot take any of it back.

Limits on memory, processor time and files; the capabilities of root; all files but those it is given (Landlock); all
system calls by which a process reaches others (`seccomp.py`). Standard library alone: children run by path.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from warpsmith.sandbox.jail.seccomp import filter_calls
else:
    from seccomp import filter_calls

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
_CAPABILITIES = 64
_CAPSET_VERSION = 0x20080522
_CALLS = {"x86_64": {"capset": 126}, "aarch64": {"capset": 91}}
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_RULE_PATH_BENEATH = 1
_LANDLOCK_CREATE_RULESET_VERSION = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FILE_RIGHTS_V1 = (1 << 13) - 1
_REFER_V2, _TRUNCATE_V3, _IOCTL_V5 = 1 << 13, 1 << 14, 1 << 15
_FILE_ONLY_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE_V3 | _IOCTL_V5
_TCP_RIGHTS_V4 = 0b11
_SCOPES_V6 = 0b11
"""Abstract sockets and signals reach only processes of the same domain."""


def die_with_parent(parent: int) -> None:
    """Be killed when the parent thread ends. `parent` is its process; 0 where another name space hides it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent and os.getppid() != parent:
        # It ended before the request above could take hold.
        os._exit(1)


def confine(setup: dict[str, Any]) -> list[str]:
    """Give everything up; what took hold, of `limits`, `capabilities`, `files`, `calls`.

    `setup` names a `level` of `levels.Level` (at `rlimits` files and calls are left alone), the `limits`, and the paths
    that stay `readable`, `writable` and `executable`, and the nodes of `devices`; where none is executable, no process
    is started any more.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    _limit(setup["limits"])
    # Another process of the same user reads neither its memory nor what stands in /proc of it.
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    held = ["limits"]
    if setup["level"] != "rlimits":
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        held += ["files"] if _keep_files(libc, setup) else []
    held += ["capabilities"] if _drop_capabilities(libc) else []
    if setup["level"] != "rlimits":
        held += ["calls"] if filter_calls(libc, starts=bool(setup["executable"])) else []
    return held


def _limit(limits: dict[str, int]) -> None:
    _lower(resource.RLIMIT_AS, limits["memory_bytes"], limits["memory_bytes"])
    _lower(resource.RLIMIT_CPU, limits["cpu_seconds"], limits["cpu_seconds"] + 1)
    _lower(resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"])
    _lower(resource.RLIMIT_NPROC, limits["processes"], limits["processes"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
    # A file that grows too long is an error to report, not a signal.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _lower(kind: int, soft: int, hard: int) -> None:
    """Set a limit; who started us may have set a lower one (`ulimit -v`), which nobody may raise again."""
    most = resource.getrlimit(kind)[1]
    most = hard if most == resource.RLIM_INFINITY else min(hard, most)
    resource.setrlimit(kind, (min(soft, most), most))


def _drop_capabilities(libc: ctypes.CDLL) -> bool:
    """Without them root cannot raise its limits again, trace, mount or send signals to others' processes."""
    number = _CALLS.get(os.uname().machine, {}).get("capset")
    if number is None:
        return False
    for capability in range(_CAPABILITIES):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    head, none = struct.pack("=Ii", _CAPSET_VERSION, 0), bytes(24)
    return bool(libc.syscall(number, head, none) == 0)


def _keep_files(libc: ctypes.CDLL, setup: dict[str, Any]) -> bool:
    """Give up all files but these. False where the kernel cannot (Landlock is in Linux 5.13 and later)."""
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        return False
    write = _FILE_RIGHTS_V1 & ~_EXECUTE
    newer = (_REFER_V2 if version >= 2 else 0) | (_TRUNCATE_V3 if version >= 3 else 0)
    handled = [_FILE_RIGHTS_V1 | newer | (_IOCTL_V5 if version >= 5 else 0)]
    handled += [_TCP_RIGHTS_V4] if version >= 4 else []
    handled += [_SCOPES_V6] if version >= 6 else []
    record = struct.pack(f"={len(handled)}Q", *handled)
    rules = libc.syscall(_LANDLOCK_CREATE_RULESET, record, ctypes.c_size_t(len(record)), 0)
    if rules < 0:
        return False
    read = _READ_FILE | _READ_DIR
    device = read | _WRITE_FILE | (handled[0] & _IOCTL_V5)
    kinds = (("readable", read), ("executable", read | _EXECUTE), ("writable", write | newer), ("devices", device))
    for kind, rights in kinds:
        for path in setup.get(kind, ()):
            _allow(libc, rules, path, rights)
    held = bool(libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0) == 0)
    os.close(rules)
    return held


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # What is not there need not be allowed.
        return
    if not stat.S_ISDIR(os.fstat(handle).st_mode):
        rights &= _FILE_ONLY_RIGHTS
    libc.syscall(_LANDLOCK_ADD_RULE, rules, _LANDLOCK_RULE_PATH_BENEATH, struct.pack("=Qi", rights, handle), 0)
    os.close(handle)


def works(libc: Any = None) -> tuple[int, bool]:
    """(version of Landlock, 0 where there is none; whether system calls can be filtered)."""
    libc = libc or ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_CREATE_RULESET_VERSION)
    return max(0, int(version)), filter_calls(libc, dry=True)
