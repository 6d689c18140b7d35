"""A jailed process seen from this side: started, asked over pipes, ended with all it started."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from warpsmith.core.errors import ToolchainError
from warpsmith.sandbox.jail.bubblewrap import SYSTEM, TMPFS, wrapped
from warpsmith.sandbox.jail.levels import Level
from warpsmith.sandbox.jail.scratch import ScratchRoot
from warpsmith.sandbox.jail.shared import SharedMemory
from warpsmith.sandbox.jail.starter import on_lasting_thread
from warpsmith.sandbox.jail.wire import Blob, Channel, ChannelClosed, Packet, TooLate, TooLong

_FOLDER = Path(__file__).parent
_START_SECONDS = 120.0
"""A start takes a second at most; under a machine's full load a hundred times that."""
_KILL_SECONDS = 30.0
_LEAVE_SECONDS = 1.0
_POLL_SECONDS = 0.005
_LOOK_SECONDS = 0.1
_PULSE_SECONDS = 0.5
_LAST_WORDS = 2000


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may take."""

    seconds: float = 60.0
    """Wall-clock time of one request."""
    cpu_seconds: int = 3600
    """Processor time of its whole life."""
    memory_bytes: int = 4 << 30
    """Address space."""
    output_bytes: int = 64 << 20
    """One reply."""
    file_bytes: int = 64 << 20
    """One file."""
    processes: int = 8192
    """Threads of the user, all told; not held for root. Where system calls are filtered it starts no process at all."""


@dataclass(frozen=True, slots=True)
class Program:
    """What a child runs: a Python file of the standard library alone, with `prepare` and `work` (`child.py`)."""

    path: Path
    setup: str = "{}"
    """JSON for its `prepare`."""
    loads: tuple[str, ...] = ()
    """Files and folders that `prepare` reads."""
    readable: tuple[str, ...] = ()
    """Files and folders that it may go on reading with a candidate's text in hand."""
    executable: str = ""
    """The only program it may start; empty: it starts no process at all, where system calls are filtered."""
    scratch: bool = False
    """Whether it gets a folder to write in, its TMPDIR."""
    shares: bool = False
    """Whether it shares memory with its parent: `prepare` finds the handle under `shared`."""

    @classmethod
    def of(
        cls,
        path: Path,
        setup: dict[str, Any],
        *,
        loads: Sequence[str] = (),
        readable: Sequence[str] = (),
        executable: str = "",
        scratch: bool = False,
        shares: bool = False,
    ) -> Program:
        """With `setup` still in Python's words."""
        return cls(path, json.dumps(setup, sort_keys=True), tuple(loads), tuple(readable), executable, scratch, shares)


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Was ended because it did not answer in time, stood still, or used up its processor time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Died:
    """Ended without a reply: crashed, was stopped by a limit, or answered what is no answer."""

    reason: str
    signal: int = 0
    """That ended it; 0 where none did."""
    words: str = ""
    """The last it wrote to standard error. It may hold anything that the candidate put there."""
    too_long: bool = False
    """Whether it was ended for an answer beyond its limit."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """A sign of life of a child that may take long over an answer."""

    read: Callable[[], int]
    seconds: float
    """So long it may stay the same."""


class StartKilled(ToolchainError):  # noqa: N818 - a fact about a start
    """Somebody killed the process before it was ready."""


Answer: TypeAlias = Packet | TimedOut | Died

_SCRATCH = ScratchRoot()


@dataclass(slots=True)
class Worker:
    """One child. Whoever holds it asks one thing at a time; after a fault it is gone."""

    program: Program
    limits: Limits
    level: Level
    shared: SharedMemory | None = None
    """Where its program shares memory."""
    held: frozenset[str] = frozenset()
    """What of the confinement took hold, once it is ready."""
    _process: subprocess.Popen[bytes] | None = None
    _channel: Channel | None = None
    _errors: int = -1
    _scratch: Path | None = None
    _closing: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Spawn it and send its orders; `ready` waits for it.

        Raises:
            ToolchainError: no process can be started.
        """
        if self.program.scratch and self.level is not Level.BUBBLEWRAP:
            self._scratch = _SCRATCH.folder()
        self.shared = SharedMemory() if self.program.shares else None
        self._errors = os.memfd_create("errors")
        try:
            self._process = on_lasting_thread(self._spawn)
        except OSError as error:
            self.close()
            raise ToolchainError(f"A jailed process cannot be started: {error}.") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        incoming, outgoing = self._process.stdout.fileno(), self._process.stdin.fileno()
        self._channel = Channel(incoming, outgoing, self.limits.output_bytes)
        orders = {
            "parent": 0 if self.level is Level.BUBBLEWRAP else os.getpid(),
            "level": self.level.value,
            "program": json.loads(self.program.setup) | ({"shared": self.shared.handle} if self.shared else {}),
            "limits": {
                "memory_bytes": self.limits.memory_bytes,
                "cpu_seconds": self.limits.cpu_seconds,
                "file_bytes": self.limits.file_bytes,
                "processes": self.limits.processes,
            },
            "readable": [os.devnull, "/dev/urandom", *self.program.readable],
            "executable": _executables(self.program.executable),
            "writable": [os.devnull, *([self._tmpdir] if self.program.scratch else [])],
        }
        try:
            self._channel.send(orders, until=time.monotonic() + _START_SECONDS)
        except (ChannelClosed, TooLate):
            # `ready` says why.
            return

    def ready(self) -> None:
        """Wait until its jail has closed on it.

        Raises:
            ToolchainError: it did not get that far.
        """
        assert self._channel is not None, "started before"
        until = time.monotonic() + _START_SECONDS
        try:
            # Bubblewrap that is killed as it starts leaves a half behind that holds the pipe open and never writes.
            while self.alive and time.monotonic() < until and not self._channel.readable(_LOOK_SECONDS):
                pass
            if not self.alive:
                raise ChannelClosed("it ended")
            packet = self._channel.receive(until)
        except (ChannelClosed, TooLate) as error:
            died = self._end()
            raise (StartKilled if died.signal == signal.SIGKILL else ToolchainError)(
                f"The jailed {self.program.path.stem} does not start at level {self.level}: {error}, "
                f"{died.reason}. {died.words}".strip(),
                remedy="Run `warpsmith doctor`.",
            ) from error
        refused = packet.message.get("refused")
        if refused is not None:
            self.close()
            raise ToolchainError(f"The jailed {self.program.path.stem} cannot load what it needs: {refused}.")
        self.held = frozenset(packet.message["held"])
        lacking = NEEDED[self.level] - self.held
        if lacking:
            self.close()
            raise ToolchainError(f"The jail {self.level} did not hold: {', '.join(sorted(lacking))} stayed open.")

    @property
    def alive(self) -> bool:
        return self._process is not None and not has_ended(self._process)

    def ask(
        self,
        message: dict[str, Any],
        blobs: Sequence[Blob] = (),
        seconds: float | None = None,
        pulse: Pulse | None = None,
    ) -> Answer:
        """Send a request and wait for its reply, for the limit's time or `seconds`. Anything but a Packet ended it."""
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)  # An interrupt leaves a request half answered.
            answer = self._asked(message, blobs, self.limits.seconds if seconds is None else seconds, pulse)
            undo.pop_all()
        return answer

    def _asked(self, message: dict[str, Any], blobs: Sequence[Blob], patience: float, pulse: Pulse | None) -> Answer:
        assert self._channel is not None, "started before"
        until = time.monotonic() + patience
        try:
            if not self.alive:
                # Where only bubblewrap itself was killed, what it ran would still answer.
                raise ChannelClosed("it had ended before it was asked")
            self._channel.send(message, blobs, until)
            if pulse is not None and not _answers(self._channel, pulse, until):
                patience = pulse.seconds
                raise TooLate("it stands still")
            return self._channel.receive(until)
        except TooLate:
            self.close()
            return TimedOut(patience)
        except ChannelClosed as closed:
            died = self._end()
            if died.signal == signal.SIGXCPU:
                return TimedOut(patience)
            return died if died.reason else Died(str(closed), 0, died.words, isinstance(closed, TooLong))

    def close(self) -> None:
        """End it and all it started, at once, and remove what it wrote."""
        self._end()

    def __del__(self) -> None:
        if self._process is not None:
            self._end()

    def _spawn(self) -> subprocess.Popen[bytes]:
        inside = [os.path.realpath(sys.executable), "-I", "-S", str(_FOLDER / "child.py"), str(self.program.path)]
        environment = {"TMPDIR": self._tmpdir} if self.program.scratch else {}
        return subprocess.Popen(
            inside if self.level is not Level.BUBBLEWRAP else self._wrapped(inside),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # NVRTC writes its working directory into the cubin: a fixed one makes equal builds equal bytes.
            cwd="/",
            env=environment,
            start_new_session=True,
            pass_fds=(self.shared.handle,) if self.shared else (),
        )

    @property
    def _tmpdir(self) -> str:
        return str(self._scratch) if self._scratch is not None else TMPFS

    def _wrapped(self, command: Sequence[str]) -> list[str]:
        reads = (str(_FOLDER), str(self.program.path.parent), *self.program.loads, *self.program.readable)
        scratch = self.limits.file_bytes if self.program.scratch else None
        return wrapped(command, (*reads, *_named(self.program.executable)), scratch_bytes=scratch)

    def _end(self) -> Died:
        """Kill it where it still runs, and say how it ended."""
        with self._closing:
            process, killed = self._process, False
            code: int | None = None
            if process is not None:
                code, killed = end_group(process)
                for stream in (process.stdin, process.stdout):
                    if stream is not None and not stream.closed:
                        stream.close()
            words = ""
            if self._errors >= 0:
                words = _tail(self._errors)
                os.close(self._errors)
                self._errors = -1
            if self.shared is not None:
                self.shared.close()
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)
                self._scratch = None
            return _how(code, words, wrapped=self.level is Level.BUBBLEWRAP, killed=killed)


NEEDED: dict[Level, frozenset[str]] = {
    Level.BUBBLEWRAP: frozenset(("limits",)),
    Level.LANDLOCK: frozenset(("limits", "files", "calls")),
    Level.RLIMITS: frozenset(("limits",)),
}


def _answers(channel: Channel, pulse: Pulse, until: float) -> bool:
    """Wait for an answer, or the end of the time; False where the pulse stops before."""
    last, since = pulse.read(), time.monotonic()
    while not channel.readable(min(pulse.seconds, _PULSE_SECONDS)):
        now, value = time.monotonic(), pulse.read()
        if value != last:
            last, since = value, now
        if now > until:
            return True
        if now - since > pulse.seconds:
            return False
    return True


def end_group(process: subprocess.Popen[bytes]) -> tuple[int | None, bool]:
    """End a process and all it started, at once: its exit status, and whether it had to be killed.

    The status is None where it cannot be waited for.
    """
    if process.returncode is not None:
        return process.returncode, False
    # A process that closed its pipe is about to leave by itself, and its own status tells more.
    leaving = process.stdout is not None and _hung_up(process.stdout.fileno())
    until = time.monotonic() + (_LEAVE_SECONDS if leaving else 0.0)
    while not (ended := has_ended(process)) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    # The whole group, whose number is nobody else's as long as its leader has not been waited for: where only the
    # leader, bubblewrap itself, was killed, what it ran may go on.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        return process.wait(_KILL_SECONDS), not ended
    except subprocess.TimeoutExpired:
        return None, True


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it is over; it can still be waited for afterwards."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _hung_up(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def _how(code: int | None, words: str, *, wrapped: bool, killed: bool) -> Died:
    if killed or code is None:
        return Died("", 0, words)
    if wrapped and code > 128:
        # Bubblewrap hands on the status of what it ran as a shell does.
        code = 128 - code
    if code < 0:
        return Died(f"signal {signal.Signals(-code).name}", -code, words)
    return Died(f"exit status {code}", 0, words)


def _tail(handle: int) -> str:
    size = os.fstat(handle).st_size
    return os.pread(handle, _LAST_WORDS, max(0, size - _LAST_WORDS)).decode("utf-8", "replace").strip()


def _named(path: str) -> tuple[str, ...]:
    return (path,) if path else ()


def _executables(path: str) -> list[str]:
    """The program and the system's libraries, whose loader the kernel starts first."""
    return [path, *SYSTEM] if path else []
