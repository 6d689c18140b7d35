"""What a task says its work is, wherever it is asked: a cost that raises or is no number is the task's mistake."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from warpsmith.core.errors import TaskError
from warpsmith.core.task import Cost, Task
from warpsmith.tasks.blame import blaming, place_of


def guarded_cost(task: Task) -> Callable[[Mapping[str, int]], Cost]:
    """The task's `cost`, which then raises a TaskError where it does not give finite, non-negative work."""

    def cost(dims: Mapping[str, int]) -> Cost:
        bound = ", ".join(f"{name} = {extent}" for name, extent in dims.items())
        return called(task, f"cost at {bound or 'no dimension'}", task.cost, dims)

    return cost


def called(task: Task, what: str, function: Callable[..., Any], *arguments: Any) -> Cost:
    """What a cost function of a task gives.

    Raises:
        TaskError: it raised, or returned no Cost of finite numbers, 0 or more.
    """
    with blaming(task.path, f"{what} raised"):
        found = function(*arguments)
    where = place_of(task, function)
    if not isinstance(found, Cost):
        raise TaskError(
            f"{where}: {what} returned {type(found).__name__}.", remedy="Return Cost(flops=..., bytes=...)."
        )
    for name, value in (("flops", found.flops), ("bytes", found.bytes)):
        if not isinstance(value, Real) or not math.isfinite(value) or value < 0:
            raise TaskError(f"{where}: {what} has {value!r} {name}.", remedy="Give a finite number, 0 or more.")
    return found
