"""What leaves a command: text for a person, or with `--json` one object on stdout; and its exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from warpsmith.core.errors import InputError, Interrupted, WarpsmithError
from warpsmith.core.files import OF_THE_MACHINE

if TYPE_CHECKING:
    from rich.console import Console

GOOD = 0
"""Accepted, verified, or simply done."""
UNHAPPY = 1
"""Any other Outcome, or no improvement."""
BAD_INPUT = 2
"""Wrong usage or a wrong input file."""
BROKEN_MACHINE = 3
"""This machine or installation lacks or broke something."""
INTERRUPTED = 130
"""Ctrl-C; what typer returns for it, too."""
UNHEARD = 141
"""Whoever read our output has gone: what a shell says of a process that SIGPIPE ended."""


def console(*, stderr: bool = False) -> Console:
    """A console that leaves numbers uncoloured and never wraps in a pipe."""
    from rich.console import Console

    target: IO[str] = sys.stderr if stderr else sys.stdout
    width = None if target.isatty() else 10_000
    return Console(file=target, highlight=False, soft_wrap=not target.isatty(), width=width)


def say(text: str) -> None:
    """Tell the person at the terminal; stdout stays free for results."""
    sys.stderr.write(f"{text}\n")


def emit(value: Mapping[str, Any]) -> None:
    """Print the one JSON object of a command."""
    sys.stdout.write(json.dumps(value, allow_nan=False, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def exit_code_of(error: WarpsmithError) -> int:
    """2 where the input is wrong, 3 where the machine is, 130 after Ctrl-C."""
    if isinstance(error, Interrupted):
        return INTERRUPTED
    return BAD_INPUT if isinstance(error, InputError) else BROKEN_MACHINE


def report_error(error: WarpsmithError, *, as_json: bool) -> int:
    """Print an error once, with its place and remedy; return the exit code."""
    if as_json:
        emit({"error": _described(error)})
    else:
        say(f"error: {error}")
    return exit_code_of(error)


def report_failure(kind: str, message: str, remedy: str, *, as_json: bool) -> None:
    """Print what is no WarpsmithError: wrong usage, a bug."""
    if as_json:
        emit({"error": {"kind": kind, "message": message, "remedy": remedy}})
    else:
        say(f"error: {message} {remedy}".rstrip())


def report_os_error(error: OSError, *, as_json: bool) -> int:
    """Print what the operating system refused us: its fault where a disk is full or a folder read-only, else a bug."""
    if error.errno not in OF_THE_MACHINE:
        return report_bug(error, as_json=as_json)
    what = f"{error.filename} cannot be written or read" if error.filename else "output cannot be written"
    remedy = "Give space or rights there, or name another place; see warpsmith doctor."
    try:
        report_failure("MachineError", f"{what}: {error.strerror}.", remedy, as_json=as_json)
    except OSError:  # it was standard output itself
        say(f"error: standard output cannot be written: {error.strerror}.")
    silence()
    return BROKEN_MACHINE


def silence() -> None:
    """Let nothing more reach standard output, where what could not be written would fail again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def report_bug(error: Exception, *, as_json: bool) -> int:
    """Print the traceback of an exception that nobody foresaw; return the exit code of a fault of ours."""
    import traceback

    say("".join(traceback.format_exception(error)))
    remedy = "This is a bug of warpsmith, not of the kernel; the traceback on standard error belongs in its report."
    report_failure("Bug", f"{type(error).__name__}: {error}.", remedy, as_json=as_json)
    return BROKEN_MACHINE


def _described(error: WarpsmithError) -> dict[str, Any]:
    place = {name: value for name in ("file", "line", "column") if (value := getattr(error, name, None))}
    return {"kind": type(error).__name__, "message": error.message, "remedy": error.remedy, **place}
