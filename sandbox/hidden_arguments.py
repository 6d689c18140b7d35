"""What a compiler adds to a launch that its plan cannot say: shared memory, and pointers behind the arguments.

Triton decides both. Its kernels end in two pointers: scratch of a size it reports for each block, and a profiler's,
which is null.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from warpsmith.core.artifact import Artifact, Resources
from warpsmith.core.dtype import DType
from warpsmith.core.plan import BoundBuffer, BoundFill, BoundLaunch, BoundPlan, TensorArg

_NULL = TensorArg("")


def complete(plan: BoundPlan, artifact: Artifact) -> BoundPlan:
    """Give a bound plan's launches what their compiled kernels ask for. A CUDA plan comes back as it is."""
    buffers = list(plan.buffers)
    steps: list[BoundLaunch | BoundFill] = []
    for number, step in enumerate(plan.steps):
        if isinstance(step, BoundLaunch):
            resources = artifact.resources[artifact.entries[step.kernel]]
            scratch = _scratch(step, resources, number)
            buffers += scratch
            step = _completed(step, resources, scratch)
        steps.append(step)
    return BoundPlan(tuple(buffers), tuple(steps))


def _scratch(step: BoundLaunch, resources: Resources, number: int) -> list[BoundBuffer]:
    if not resources.scratch:
        return []
    name = f"scratch of step {number + 1}"
    return [BoundBuffer(name, (resources.scratch * prod(step.grid),), DType.UINT8, prepared=step.prepare)]


def _completed(step: BoundLaunch, resources: Resources, scratch: list[BoundBuffer]) -> BoundLaunch:
    hidden = [
        TensorArg(scratch[0].name) if scratch and index == 0 else _NULL for index in range(resources.hidden_pointers)
    ]
    return replace(step, shared=step.shared + resources.dynamic_shared, args=(*step.args, *hidden))
