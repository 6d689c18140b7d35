"""Finds task files, by name or by path, and tells their texts apart, without executing any."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

from warpsmith.core.digest import digest_text
from warpsmith.core.errors import TaskError
from warpsmith.core.nearest import did_you_mean

SHIPPED = Path(__file__).resolve().parent


class TaskFile(NamedTuple):
    """A shipped task, not yet loaded."""

    name: str
    family: str
    path: Path


def find_tasks() -> tuple[TaskFile, ...]:
    """The shipped task files, `tasks/<family>/<name>.py`, without importing any."""
    paths = sorted(SHIPPED.glob("*/*.py"))
    return tuple(TaskFile(path.stem, path.parent.name, path) for path in paths if not path.stem.startswith("_"))


def read_task(path: Path) -> str:
    """Text of a task file.

    Raises:
        TaskError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: cannot be read: {error}.") from error


def source_digest(name_or_path: str | Path) -> str:
    """Digest of a task file as it is now, as `Task.source_digest` has it, without executing it.

    Raises:
        TaskError: no such task or file, or it cannot be read.
    """
    path = find_task(str(name_or_path))
    return digest_of(path, read_task(path))


def digest_of(path: Path, text: str) -> str:
    """Of the file's text; for a shipped task also of what its family shares, the files whose names begin with `_`.

    A backward task's covers its forward's file: a kernel of it is a gradient of that one as it is now.
    """
    forward = forward_named(text)
    if not forward:
        return _digest_of(path, text)
    try:
        other = find_forward(path, forward)
        theirs = _digest_of(other, read_task(other))
    except TaskError:
        theirs = ""  # The task gate says so.
    return digest_text(f"{_digest_of(path, text)}\0{theirs}")


def forward_named(text: str) -> str:
    """The forward that a task file's `Backward(of="...")` names; empty where there is none."""
    if "Backward" not in text:
        return ""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except SyntaxError:
        return ""
    calls = [node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Backward"]
    given = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "of"]
    named = [node.value for node in given if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return named[0] if len(named) == 1 else ""


def find_forward(path: Path, name: str) -> Path:
    """The file of the forward that a backward task's file names.

    Raises:
        TaskError: there is none.
    """
    return find_task(str(path.parent / name) if name.endswith(".py") else name)


def _digest_of(path: Path, text: str) -> str:
    if not path.is_relative_to(SHIPPED):
        return digest_text(text)
    shared = [other.read_text(encoding="utf-8") for other in sorted(path.parent.glob("_[!_]*.py"))]
    return digest_text("\0".join([text, *shared]))


def find_task(name_or_path: str) -> Path:
    """The file of a shipped task's name, or of a path.

    Raises:
        TaskError: there is none.
    """
    if name_or_path.endswith(".py") or "/" in name_or_path:
        path = Path(name_or_path).expanduser().resolve()
        if not path.is_file():
            raise TaskError(f"{name_or_path}: no such task file.", remedy="Give the path of a .py file.")
        return path
    shipped = {found.name: found.path for found in find_tasks()}
    if name_or_path not in shipped:
        remedy = f"{nearest(name_or_path)} A path ending in .py works too."
        raise TaskError(f"There is no task `{name_or_path}`.", remedy=remedy)
    return shipped[name_or_path]


def nearest(name: str) -> str:
    """The shipped task that a name may have meant, else all of them, in a sentence."""
    shipped = [found.name for found in find_tasks()]
    return did_you_mean(name, shipped, listed=len(shipped))
