"""Values that no distribution draws, where as much is to be done as where a kernel is timed.

A kernel may bear any values while there is little to do, and take a short cut where there is much: a softmax over a
thousand columns that subtracts no largest value. So inputs of each minted workload that has a bench size take rows, or
columns, of many kinds there, one at a time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.altered import ALTERATIONS, RULES, Pair
from warpsmith.sandbox.verify.by_turns import BY_TURNS
from warpsmith.sandbox.verify.kinds import Kind, kind_of
from warpsmith.tasks.sample import make_inputs

INPUTS = 2
"""Of each workload that are altered: all would take longer than everything else."""


def ways_at_size(task: Task, workloads: Sequence[Workload], seed: int) -> Iterator[tuple[Workload, list[Pair]]]:
    """What an evaluation tries at each of the workloads until `INPUTS` could be judged, drawn from its seed: all inputs
    that may be altered, another one first from workload to workload.
    """
    draw = random.Random(f"at size {seed}")  # noqa: S311 - seeded on purpose
    names = [tensor.name for tensor in task.inputs]
    draw.shuffle(names)
    for workload in workloads:
        inputs = make_inputs(task, workload, seed)
        given = [name for name in names if name in inputs]
        rules = {name: _rules(task, name, inputs[name]) for name in given}
        pairs = [(name, draw.choice(rules[name])) for name in given if rules[name]]
        if pairs:
            yield workload, pairs
            names.remove(pairs[0][0])
            names.append(pairs[0][0])


def _rules(task: Task, name: str, tensor: HostTensor) -> list[str]:
    kind = kind_of(task, name, tensor)
    if kind is Kind.FREE:
        return [*(BY_TURNS if len(tensor.shape) > 1 else ALTERATIONS)]
    return [*RULES.get(kind, ())] if kind is not None else []
