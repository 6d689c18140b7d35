"""Whether a kernel's verdict still holds: it belongs to a task, a toolchain and an edition of the gate."""

from __future__ import annotations

from functools import lru_cache

from warpsmith.core.errors import TaskError, ToolchainError
from warpsmith.core.task import Task
from warpsmith.kernels_generated.manifest import Manifest
from warpsmith.sandbox.edition import EDITION

REJUDGE = "Take it through the gate again: warpsmith library verify"


def task_of(manifest: Manifest) -> Task:
    """The task a kernel was accepted for, as it is now.

    Raises:
        TaskError: it is gone, or does not load.
    """
    from warpsmith.tasks.load import load_task

    return load_task(manifest.task_path or manifest.task)


def staleness(manifest: Manifest, task: Task | None = None) -> str:
    """Why the verdict no longer holds here, in words; empty where it holds.

    A stale kernel is right and fast as far as anybody knew; nobody has looked since.
    """
    reasons = (_task(manifest, task), _gate(manifest), _toolchain(manifest))
    return "; ".join(reason for reason in reasons if reason)


def _task(manifest: Manifest, task: Task | None) -> str:
    try:
        found = task or task_of(manifest)
    except TaskError as error:
        return error.message.rstrip(".")
    same = found.source_digest == manifest.task_digest
    return "" if same else f"the task {manifest.task} has changed since it was accepted"


def _gate(manifest: Manifest) -> str:
    theirs = manifest.circumstances.gate
    if theirs == EDITION:
        return ""
    by = f"edition {theirs} of the gate" if theirs else "a gate from before editions were told apart"
    return f"it was judged by {by}; now it is edition {EDITION}"


def _toolchain(manifest: Manifest) -> str:
    here = _compiler(manifest.language)
    return "" if here == manifest.toolchain else f"it was judged as {manifest.toolchain} compiles it; here is {here}"


@lru_cache(maxsize=2)
def _compiler(language: str) -> str:
    from warpsmith.sandbox.compile.present import present_compiler

    try:
        return present_compiler(language)
    except ToolchainError:
        return "no compiler for it"
