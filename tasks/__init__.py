"""Task files, one per problem, and what loads, samples and evaluates them.

A task file says `from warpsmith.tasks import Task, Tensor, ...`; importing this package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warpsmith.core.task import (
        Backward,
        Baseline,
        Check,
        Cost,
        Output,
        Property,
        Role,
        Task,
        Tensor,
        Tolerance,
        Workload,
    )
    from warpsmith.tasks.find import find_tasks
    from warpsmith.tasks.load import forward_of, load_task
    from warpsmith.tasks.precision import intermediate

__all__ = [
    "Backward",
    "Baseline",
    "Check",
    "Cost",
    "Output",
    "Property",
    "Role",
    "Task",
    "Tensor",
    "Tolerance",
    "Workload",
    "find_tasks",
    "forward_of",
    "intermediate",
    "load_task",
]

_HOMES = {
    "find_tasks": "tasks.find",
    "forward_of": "tasks.load",
    "load_task": "tasks.load",
    "intermediate": "tasks.precision",
}


def __getattr__(name: str) -> Any:
    """Import on first use: to find a task file needs none of what loading it needs."""
    if name in __all__:
        return getattr(import_module(f"warpsmith.{_HOMES.get(name, 'core.task')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
