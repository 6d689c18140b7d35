"""Loads the task of a file, found by name or by path."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from warpsmith.core.digest import digest_text
from warpsmith.core.errors import TaskError
from warpsmith.core.task import Task
from warpsmith.tasks.blame import blaming
from warpsmith.tasks.costs import guarded_cost
from warpsmith.tasks.find import SHIPPED, digest_of, find_forward, find_task, forward_named, read_task
from warpsmith.tasks.libraries import libraries_for
from warpsmith.tasks.presence import with_presence
from warpsmith.tasks.validate import validate

_SPELL_OUT = 'Write the name itself, once: `Backward(of="my_task.py", ...)`.'


def load_task(name_or_path: str | Path) -> Task:
    """Load the one Task a file defines, and check everything it declares.

    Args:
        name_or_path: A shipped task's name, or the path of a `.py` file (trusted: it is executed).

    Raises:
        TaskError: no such task or file, the file raised, defines no task or several, or declares something that does
            not fit together; the message names file, line and remedy.
    """
    path = find_task(str(name_or_path))
    text = read_task(path)
    task = _the_one_task(path, text, _execute(path, text))
    loaded = replace(task, path=str(path), source_digest=digest_of(path, text))
    validate(loaded, text)
    loaded = replace(loaded, cost=guarded_cost(loaded))
    if task.backward is not None and task.backward.of != forward_named(text):
        raise TaskError(f"{path}: the forward of a backward task is not told in so many words.", remedy=_SPELL_OUT)
    if path.is_relative_to(SHIPPED):
        loaded = replace(loaded, baselines=(*task.baselines, *libraries_for(task.name)))
    loaded = with_presence(loaded)
    if path.is_relative_to(SHIPPED) and (task.name, task.family) != (path.stem, path.parent.name):
        raise TaskError(
            f"{path}: defines {task.family}/{task.name}.", remedy="Name the task after its folder and file."
        )
    return loaded


def forward_of(task: Task) -> Task:
    """The task whose gradients a backward task computes.

    Raises:
        TaskError: it is gone or does not load, or computes gradients itself.
    """
    assert task.backward is not None
    forward = load_task(find_forward(Path(task.path), task.backward.of))
    if forward.backward is not None:
        raise TaskError(f"{task.path}: the forward {forward.name} is a backward task itself.", remedy="Name a forward.")
    return forward


def _execute(path: Path, text: str) -> ModuleType:
    name = f"warpsmith_task_{path.stem}_{digest_text(str(path))[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Registered while it runs, as an import would: dataclasses and pickle look the module up.
    sys.modules[name] = module
    with blaming(str(path), "the task file does not load"):
        # From the text read above and not through the import system, whose bytecode cache misses an edit that keeps
        # size and second; the digest must be of what ran.
        exec(compile(text, str(path), "exec"), module.__dict__)  # noqa: S102 - task files are trusted
    return module


def _the_one_task(path: Path, text: str, module: ModuleType) -> Task:
    named = {name: value for name, value in vars(module).items() if isinstance(value, Task)}
    distinct = {id(value): value for value in named.values()}
    if not distinct:
        raise TaskError(f"{path}:1: defines no Task.", remedy="End the file with `TASK = Task(name=..., ...)`.")
    if len(distinct) > 1:
        lines = [number for number, line in enumerate(text.splitlines(), 1) if "Task(" in line]
        place = f"{path}:{lines[-1]}" if lines else str(path)
        raise TaskError(f"{place}: defines {len(distinct)} tasks ({', '.join(named)}).", remedy="One task a file.")
    return next(iter(distinct.values()))
