"""Values that no distribution draws, where as much is to be done as where a kernel is timed.

A kernel may bear any values while there is little to do, and take a short cut where there is much: a softmax over a
thousand columns that subtracts no largest value. So inputs of each minted workload that has a bench size take rows, or
columns, of many kinds there, one at a time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice

from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.altered import ALTERATIONS, RULES, Pair, altered
from warpsmith.sandbox.verify.hidden import BENCH_SIZED
from warpsmith.sandbox.verify.kinds import Kind, kind_of
from warpsmith.tasks.sample import make_inputs

INPUTS = 2
"""Of each workload that are altered: all would take longer than everything else."""


def altered_at_size(
    task: Task, minted: Sequence[Workload], seed: int
) -> Iterator[tuple[Pair, tuple[Workload, dict[str, HostTensor]]]]:
    """What an evaluation of this seed runs: of minted workloads that are bench-sized each `INPUTS` times, with an input
    altered that can be judged so. Which one, and what it and all inputs are then.
    """
    sized = [item for item in minted if item.name.startswith(BENCH_SIZED)]
    for workload, inputs, pairs in ways_at_size(task, sized, seed):
        tried = ((pair, altered(task, workload, inputs, pair, seed)) for pair in pairs)
        yield from islice(((pair, found) for pair, found in tried if found is not None), INPUTS)


def ways_at_size(
    task: Task, workloads: Sequence[Workload], seed: int
) -> Iterator[tuple[Workload, dict[str, HostTensor], list[Pair]]]:
    """Each workload with its inputs, and those that may be altered: another one first from workload to workload."""
    draw = random.Random(f"at size {seed}")  # noqa: S311 - seeded on purpose
    names = [tensor.name for tensor in task.inputs]
    draw.shuffle(names)
    for workload in workloads:
        inputs = make_inputs(task, workload, seed)
        given = [name for name in names if name in inputs]
        rules = {name: _rules(task, name, inputs[name]) for name in given}
        pairs = [(name, draw.choice(rules[name])) for name in given if rules[name]]
        if pairs:
            yield workload, inputs, pairs
            names.remove(pairs[0][0])
            names.append(pairs[0][0])


def _rules(task: Task, name: str, tensor: HostTensor) -> list[str]:
    kind = kind_of(task, name, tensor)
    in_one_row = kind is Kind.FREE and len(tensor.shape) == 1
    return [*(ALTERATIONS if in_one_row else RULES.get(kind, ()))]
