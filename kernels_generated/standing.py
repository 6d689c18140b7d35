"""Whether a kernel's verdict still holds: it belongs to a task, a toolchain and an edition of the gate."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from warpsmith.core.errors import TaskError, ToolchainError
from warpsmith.sandbox.edition import EDITION

if TYPE_CHECKING:
    from warpsmith.core.task import Task
    from warpsmith.kernels_generated.manifest import Manifest

REJUDGE = "Take it through the gate again: warpsmith library verify"


def task_of(manifest: Manifest) -> Task:
    """The task a kernel was accepted for, as it is now.

    Raises:
        TaskError: it is gone, or does not load.
    """
    from warpsmith.tasks.load import load_task

    return load_task(manifest.task_path or manifest.task)


def backward_of(name: str, forward: Task) -> Task | None:
    """The task of this name or path where it says that it is the backward of `forward`; None where it says nothing."""
    from warpsmith.tasks.find import find_task, forward_named, read_task
    from warpsmith.tasks.load import forward_of, load_task

    try:
        if not forward_named(read_task(find_task(name))):
            return None
        task = load_task(name)
        return task if task.backward and forward_of(task).path == forward.path else None
    except TaskError:
        return None  # Its kernels are stale; whoever asks for them is told.


def staleness(manifest: Manifest, task: Task | None = None) -> str:
    """Why the verdict no longer holds here, in words; empty where it holds.

    A stale kernel is right and fast as far as anybody knew; nobody has looked since.
    """
    task_moved = _task(manifest, task)
    return moved(task_moved, manifest.circumstances.gate, manifest.language, manifest.toolchain)


def moved(task: str, gate: str, language: str, toolchain: str) -> str:
    """The same from its parts.

    Args:
        task: Why the verdict no longer holds for the task; empty where it does.
        gate: Edition of the gate that judged the kernel.
        language: Of the kernel.
        toolchain: What compiled it when it was judged.
    """
    return "; ".join(reason for reason in (task, _gate(gate), _toolchain(language, toolchain)) if reason)


def changed(task: str) -> str:
    """What is said where the task file is another one now."""
    return f"the task {task} has changed since it was accepted"


def _task(manifest: Manifest, task: Task | None) -> str:
    try:
        found = task or task_of(manifest)
    except TaskError as error:
        return error.message.rstrip(".")
    return "" if found.source_digest == manifest.task_digest else changed(manifest.task)


def _gate(theirs: str) -> str:
    if theirs == EDITION:
        return ""
    by = f"edition {theirs} of the gate" if theirs else "a gate from before editions were told apart"
    return f"it was judged by {by}; now it is edition {EDITION}"


def _toolchain(language: str, theirs: str) -> str:
    here = _compiler(language)
    return "" if here == theirs else f"it was judged as {theirs} compiles it; here is {here}"


@lru_cache(maxsize=2)
def _compiler(language: str) -> str:
    from warpsmith.sandbox.compile.present import present_compiler

    try:
        return present_compiler(language)
    except ToolchainError:
        return "no compiler for it"
