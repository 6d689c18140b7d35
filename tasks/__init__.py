"""Task files, one per problem, and what loads, samples and evaluates them.

A task file says `from warpsmith.tasks import Task, Tensor, ...`; importing this package does not import torch.
"""

from warpsmith.core.task import Cost, Output, Role, Task, Tensor, Tolerance, Workload
from warpsmith.tasks.precision import intermediate

__all__ = ["Cost", "Output", "Role", "Task", "Tensor", "Tolerance", "Workload", "intermediate"]
