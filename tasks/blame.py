"""Turns what a task file's own code raised into an error that names its file and line."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from warpsmith.core.errors import TaskError
from warpsmith.core.task import Task


@contextmanager
def blaming(path: str, what: str) -> Iterator[None]:
    """Run a task file's own code: what it raises, `sys.exit` included, becomes a TaskError.

    Args:
        path: The task file.
        what: As for `task_error`.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        raise task_error(path, what, error) from error


def task_error(path: str, what: str, error: BaseException) -> TaskError:
    """Describe an exception raised by a task file's code.

    Args:
        path: The task file; the innermost frame in it is blamed.
        what: What was going on: `the reference raised at workload 'ragged M'`.
        error: What it raised; a TaskError's own text is kept.
    """
    line = _line_in(path, error)
    place = f"{path}:{line}" if line else path or "task"
    said = str(error).strip().splitlines()
    # Python's own reader runs out of its stack, and says it in two ways.
    deep = isinstance(error, RecursionError | MemoryError) and not line
    first = "its code nests too deeply" if deep else said[0] if said else "no message"
    return TaskError(f"{place}: {what}: {type(error).__name__}: {first}", remedy=_remedy(error, first))


def _remedy(error: BaseException, said: str) -> str:
    """Where the task is not to blame."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"Install it into the Python that runs warpsmith: pip install {error.name.partition('.')[0]}."
    if "allocate memory" in said:
        return "This machine has too little memory for it, or a limit (`ulimit -v`, a container's) leaves too little."
    return ""


def place_of(task: Task, function: Callable[..., Any]) -> str:
    """`file:line` of a task's function, and the task's name where the function stands in another file."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_filename != task.path:
        return task.path or task.name
    return f"{task.path}:{code.co_firstlineno}"


def _line_in(path: str, error: BaseException) -> int:
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 0 for frame in reversed(frames) if frame.filename == path), 0)
