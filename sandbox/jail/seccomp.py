"""A filter that refuses the system calls by which a process reaches others, starts them or leaves something behind.

It refuses with EPERM, so what asks gets an ordinary error. What computes, maps memory, reads and writes open files and
starts threads goes on. Standard library alone: children run by path. Numbers are those of the kernel's
`arch/x86/entry/syscalls/syscall_64.tbl` and `include/uapi/asm-generic/unistd.h`.
"""

from __future__ import annotations

import ctypes
import os
import struct

_EPERM, _ENOSYS = 1, 38
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_SECCOMP_SET_MODE_FILTER, _SECCOMP_GET_ACTION_AVAIL = 1, 2
_SECCOMP_SYNCHRONISE_THREADS = 1
_X32 = 0x40000000
_CLONE_THREAD = 0x00010000

_MACHINES = {"x86_64": (0xC000003E, 317), "aarch64": (0xC00000B7, 277)}
"""(audit architecture, number of `seccomp`)."""

_STARTS = {"x86_64": (57, 58, 59, 322), "aarch64": (221, 281)}
"""`fork`, `vfork`, `execve`, `execveat`."""
_REFUSED: dict[str, tuple[int, ...]] = {
    "x86_64": (
        *_STARTS["x86_64"],
        *(41, 53, 42, 43, 288, 49, 50, 44, 46, 307),  # sockets
        *(101, 310, 311, 312, 424, 434, 438, 440, 448),  # ptrace, process_vm_*, kcmp, pidfd_*, process_m*
        *(129, 297, 62, 200),  # rt_sigqueueinfo, rt_tgsigqueueinfo, kill, tkill
        *(165, 166, 155, 161, 272, 308, *range(428, 434), 442),  # mounts and name spaces
        *(29, 30, 31, 64, 65, 66, 68, 69, 70, 71, 220, 240, 241),  # System V and POSIX objects that outlive a process
        *(160, 141, 142, 144, 203, 251, 314),  # limits and priorities
        *(321, 298, 323, 425, 426, 427, 304, 303, 248, 249, 250),  # bpf, perf, userfaultfd, io_uring, handles, keys
        *(169, 167, 168, 175, 176, 313, 246, 320, 163, 164, 227, 172, 173, 135, 139, 103, 179, 153, 134, 180),
    ),
    "aarch64": (
        *_STARTS["aarch64"],
        *(198, 199, 200, 201, 202, 203, 206, 211, 242, 269),
        *(117, 270, 271, 272, 424, 434, 438, 440, 448),
        *(138, 240, 129, 130),
        *(40, 39, 41, 51, 97, 268, *range(428, 434), 442),
        *(186, 187, 188, 189, 190, 191, 192, 193, 194, 195, 180, 181, 182, 183),
        *(164, 140, 118, 119, 122, 30, 274),
        *(280, 241, 282, 425, 426, 427, 264, 265, 217, 218, 219),
        *(142, 224, 225, 105, 106, 273, 104, 294, 89, 170, 112, 92, 116, 60, 58, 42),
    ),
}
_CLONE, _CLONE3 = {"x86_64": 56, "aarch64": 220}, 435
_TGKILL, _PRLIMIT = {"x86_64": 234, "aarch64": 131}, {"x86_64": 302, "aarch64": 261}
_PRCTL = {"x86_64": 157, "aarch64": 167}
_PR_SET_PDEATHSIG = 1


def filter_calls(libc: ctypes.CDLL, *, starts: bool = False, dry: bool = False) -> bool:
    """Install the filter on all threads; False where this kernel or processor has none.

    With `starts`, processes may be started, and die with their parent; `dry` only asks.
    """
    machine = os.uname().machine
    if machine not in _MACHINES:
        return False
    number = _MACHINES[machine][1]
    if dry:
        action = ctypes.c_uint32(_ERRNO)
        return bool(libc.syscall(number, _SECCOMP_GET_ACTION_AVAIL, 0, ctypes.byref(action)) == 0)
    program = b"".join(_program(machine, os.getpid(), starts))
    buffer = ctypes.create_string_buffer(program, len(program))
    record = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    return bool(libc.syscall(number, _SECCOMP_SET_MODE_FILTER, _SECCOMP_SYNCHRONISE_THREADS, record) == 0)


def _program(machine: str, own: int, starts: bool) -> list[bytes]:
    """Instructions of classic BPF. Every rule is complete in itself: a match returns, else the next one looks."""
    code = [_step(_LOAD, _ARCHITECTURE), _step(_EQUAL, _MACHINES[machine][0], 1, 0), _step(_RETURN, _KILL)]
    code += [_step(_LOAD, _NUMBER)]
    if machine == "x86_64":
        code += [_step(_AT_LEAST, _X32, 0, 1), _step(_RETURN, _KILL)]
    # glibc asks for a thread by clone when clone3 is not there; the flags of clone3 lie where a filter cannot look.
    code += [_step(_EQUAL, _CLONE3, 0, 1), _step(_RETURN, _ERRNO | _ENOSYS)]
    if not starts:
        code += _unless(_CLONE[machine], 0, _step(_ANY_SET, _CLONE_THREAD, 1, 0))
        # It goes on dying with its parent.
        code += _refuse_if(_PRCTL[machine], 0, _PR_SET_PDEATHSIG)
    # abort() signals its own process.
    code += _unless(_TGKILL[machine], 0, _step(_EQUAL, own, 1, 0))
    # Limits may be asked for, not set.
    code += _unless(_PRLIMIT[machine], 2, _step(_EQUAL, 0, 1, 0))
    for refused in sorted({*_REFUSED[machine]} - ({*_STARTS[machine]} if starts else set())):
        code += [_step(_EQUAL, refused, 0, 1), _step(_RETURN, _ERRNO | _EPERM)]
    return [*code, _step(_RETURN, _ALLOW)]


def _unless(call: int, argument: int, test: bytes) -> list[bytes]:
    """Refuse `call` unless the low half of an argument passes `test`, which skips one step where it does."""
    return [
        _step(_EQUAL, call, 0, 4),
        _step(_LOAD, _ARGUMENTS + 8 * argument),
        test,
        _step(_RETURN, _ERRNO | _EPERM),
        _step(_LOAD, _NUMBER),
    ]


def _refuse_if(call: int, argument: int, value: int) -> list[bytes]:
    return [
        _step(_EQUAL, call, 0, 4),
        _step(_LOAD, _ARGUMENTS + 8 * argument),
        _step(_EQUAL, value, 0, 1),
        _step(_RETURN, _ERRNO | _EPERM),
        _step(_LOAD, _NUMBER),
    ]


def _step(code: int, value: int, when: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, when, otherwise, value)
