"""Starts the compiler's child process, and ends it when it takes too long."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warpsmith.core.errors import ToolchainError

NVRTC_CHILD = Path(__file__).parent / "nvrtc_child.py"
TRITON_CHILD = Path(__file__).parent / "triton_child.py"


@dataclass(frozen=True, slots=True)
class CompileLimits:
    """What one compilation may take."""

    seconds: int = 60
    memory_bytes: int = 4 << 30
    output_bytes: int = 64 << 20
    ptx_bytes: int = 4 << 20
    """Characters of PTX."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    seconds: int


@dataclass(frozen=True, slots=True)
class Died:
    """Ended without a reply: crashed, or was stopped by a limit."""

    reason: str


def call(request: dict[str, Any], limits: CompileLimits, child: Path = NVRTC_CHILD) -> dict[str, Any] | TimedOut | Died:
    """Run one request in a fresh child with no environment; its reply, or how it ended.

    `child` is the program, run by path. The folder that it may write is its TMPDIR.

    Raises:
        ToolchainError: no process can be started.
    """
    with tempfile.TemporaryDirectory(prefix="warpsmith-compile-") as scratch:
        folder = Path(scratch)
        request = request | {
            "parent": os.getpid(),
            "seconds": limits.seconds,
            "memory_bytes": limits.memory_bytes,
            "output_bytes": limits.output_bytes,
            "writable": [scratch, os.devnull],
        }
        payload = json.dumps(request).encode()
        (folder / "request").write_bytes(struct.pack("<Q", len(payload)) + payload)
        with (folder / "request").open("rb") as stdin, (folder / "reply").open("wb") as stdout:
            ended = _run(child, scratch, stdin.fileno(), stdout.fileno(), limits.seconds)
        return ended if ended is not None else _read(folder / "reply")


def _run(program: Path, scratch: str, stdin: int, stdout: int, seconds: int) -> TimedOut | Died | None:
    try:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(program)],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            # NVRTC writes its working directory into the cubin: a fixed one makes equal builds equal bytes.
            cwd="/",
            env={"TMPDIR": scratch},
            start_new_session=True,
        )
    except OSError as error:
        raise ToolchainError(f"The compiler's process cannot be started: {error}.") from error
    try:
        code = child.wait(seconds)
    except subprocess.TimeoutExpired:
        return TimedOut(seconds)
    finally:
        _end(child)
    if code == -signal.SIGXCPU:
        return TimedOut(seconds)
    if code != 0:
        return Died(f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}")
    return None


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _read(path: Path) -> dict[str, Any] | Died:
    data = path.read_bytes()
    if len(data) < 8 or struct.unpack("<Q", data[:8])[0] != len(data) - 8:
        return Died("an incomplete reply")
    reply = json.loads(data[8:])
    if not isinstance(reply, dict):
        return Died("a reply that is no object")
    return reply
