"""Faults that are ours or the user's, never a candidate's (those are Outcomes).

WarpsmithError
├── InputError                  what was handed to us is wrong: exit code 2
│   ├── KernelFileError         a kernel file's head block, plan or source; knows line, column and remedy
│   ├── TaskError               a task file or a binding of its dimensions
│   └── SettingsError           an option, an environment variable, a missing run or kernel
├── Interrupted                Ctrl-C, before there was an answer: exit code 130
└── MachineError                this machine or installation lacks or broke something: exit code 3
    ├── ToolchainError          compiler, headers or VM missing, stale or unable to start
    ├── DeviceError             no usable GPU or driver
    ├── ModelError              a language model cannot be asked, or will not answer
    ├── StoreError              the store cannot be opened, read or written
    └── LibraryError            the kernel library cannot be read or written
"""

from __future__ import annotations


class WarpsmithError(Exception):
    """The root; `remedy` says what to do about it."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class InputError(WarpsmithError):
    """What was handed to us is wrong; exit code 2."""


class KernelFileError(InputError):
    """A mistake in a kernel file, at a place in it."""

    def __init__(self, message: str, *, remedy: str = "", line: int = 0, column: int = 0, file: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.line, self.column, self.file = line, column, file

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file or "kernel file", self.line or "", self.column or "") if part)
        return f"{place}: {super().__str__()}"


class TaskError(InputError):
    """A task file that does not load, or dimensions that do not fit it."""


class SettingsError(InputError):
    """An option or a name that does not exist or does not fit."""


class Interrupted(WarpsmithError):  # noqa: N818 - no error; cli-json.md has it as a `kind`
    """Ctrl-C, before there was an answer; exit code 130, as shells have it, so that it reads like no verdict."""


class MachineError(WarpsmithError):
    """This machine or installation lacks or broke something; exit code 3."""


class ToolchainError(MachineError):
    """Compiler, headers or VM missing, stale or unable to start."""


class DeviceError(MachineError):
    """No usable GPU or driver."""


class ModelError(MachineError):
    """A language model cannot be asked, or will not answer: no service, no right, no such model."""


class StoreError(MachineError):
    """The store cannot be opened, read or written."""


class LibraryError(MachineError):
    """The kernel library cannot be read or written."""
