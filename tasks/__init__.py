"""Task files, one per problem, and what loads, samples and evaluates them.

A task file says `from warpsmith.tasks import Task, Tensor, ...`; importing this package does not import torch.
"""

from warpsmith.core.task import Baseline, Check, Cost, Output, Property, Role, Task, Tensor, Tolerance, Workload
from warpsmith.tasks.load import find_tasks, load_task
from warpsmith.tasks.precision import intermediate

__all__ = [
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
    "intermediate",
    "load_task",
]
