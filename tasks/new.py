"""Writes a task to begin with, and a first kernel for it: complete, sound, and to be changed place by place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from warpsmith.core.errors import TaskError
from warpsmith.core.files import write_named
from warpsmith.tasks.find import SHIPPED, find_tasks

_TASK = SHIPPED / "skeleton" / "_new_task.py"
_KERNEL = SHIPPED / "skeleton" / "new_task.cu"
_NAME = "new_task"
_NAMES = re.compile(r"[a-z][a-z0-9_]*\Z")


class NewTask(NamedTuple):
    """The files that were written."""

    task: Path
    kernel: Path
    """Solves the task as it was written; where the task changes, it has to follow."""


def new_task(name: str, folder: Path) -> NewTask:
    """Write `<name>.py` and `<name>.cu` into a folder, which is made where it is missing.

    Raises:
        TaskError: the name is no task's name or a shipped one, or a file of that name is there.
        SettingsError: the folder cannot be one.
        OSError: there is no space, or no right to write.
    """
    if not _NAMES.match(name):
        raise TaskError(f"'{name}' cannot name a task.", remedy="Use lower-case letters, digits and _: row_softmax.")
    if name in {shipped.name for shipped in find_tasks()}:
        raise TaskError(f"'{name}' is the name of a task that ships.", remedy="Choose another name.")
    files = NewTask(folder / f"{name}.py", folder / f"{name}.cu")
    write_new(
        {
            files.task: _TASK.read_text(encoding="utf-8").replace(_NAME, name),
            files.kernel: _KERNEL.read_text(encoding="utf-8").replace(_NAME, name),
        }
    )
    return files


def write_new(texts: dict[Path, str]) -> None:
    """Write files that are not there yet; none of them where one is.

    Raises:
        TaskError: a file is there already.
        SettingsError: the folder cannot be one.
        OSError: there is no space, or no right to write.
    """
    for path in texts:
        if path.exists():
            raise TaskError(f"{path} exists already.", remedy="Choose another name or folder, or move it away.")
    for path, text in texts.items():
        write_named(path, text, new=True)
