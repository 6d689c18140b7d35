"""Values that no distribution draws, where as much is to be done as where a kernel is timed.

A kernel may bear any values while there is little to do, and take a short cut where there is much: a softmax over a
thousand columns that subtracts no largest value. So inputs of each minted workload that has a bench size take rows, or
columns, of many kinds there, one at a time. Where there are fewer rows than kinds, others take their turn in further
runs, as long as they cost little.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import chain, islice, zip_longest

from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.altered import ALTERATIONS, RULES, Inputs, Pair, altered, work_of
from warpsmith.sandbox.verify.by_turns import BY_TURNS, KINDS, rows_of
from warpsmith.sandbox.verify.hidden import BENCH_SIZED
from warpsmith.sandbox.verify.kinds import Kind, kind_of
from warpsmith.tasks.sample import make_inputs

LEAST, MOST, WORK = 2, 8, 2e7
"""Ways in which each workload is tried: at least so many, at most so many, while they cost fewer operations and bytes
than that."""
AN_ELEMENT = 4
"""Operations that altering and judging takes for each element of all inputs: a kernel may need few of them."""
IN_ONE_ROW = 4
"""Alterations of an input that is a single row, of all that it may take."""

Way = tuple[Pair, int]
"""An input, what becomes of it, and whose turn it is to come first where kinds take turns."""


def altered_at_size(
    task: Task, minted: Sequence[Workload], seed: int
) -> Iterator[tuple[Pair, tuple[Workload, dict[str, HostTensor]]]]:
    """What an evaluation of this seed runs: minted workloads that are bench-sized, each some times, with an input
    altered that can be judged so. Which one, and what it and all inputs are then.
    """
    for workload, inputs, ways in ways_at_size(task, bench_sized(minted), seed):
        many = affordable(task, workload, inputs, LEAST)
        # Judging takes time as well: where little can be judged, not everything is tried.
        tried = ((pair, altered(task, workload, inputs, pair, seed, turn)) for pair, turn in ways)
        posed = ((pair, run) for pair, run in islice(tried, max(many, len(inputs))) if run is not None)
        yield from islice(posed, many)


def bench_sized(minted: Sequence[Workload]) -> list[Workload]:
    """Those of minted workloads that have a bench size."""
    return [item for item in minted if item.name.startswith(BENCH_SIZED)]


def affordable(task: Task, workload: Workload, inputs: Inputs, least: int) -> int:
    """Runs of the workload that cost WORK together; at least so many, at most MOST."""
    work = work_of(task, workload) + AN_ELEMENT * sum(item.array.size for item in inputs.values())
    return min(MOST, max(least, int(WORK / work)))


def ways_at_size(
    task: Task, workloads: Sequence[Workload], seed: int
) -> Iterator[tuple[Workload, dict[str, HostTensor], list[Way]]]:
    """Each workload with its inputs, and all ways to alter one: first each input once, another one first from workload
    to workload.
    """
    draw = random.Random(f"at size {seed}")  # noqa: S311 - seeded on purpose
    names = [tensor.name for tensor in task.inputs]
    draw.shuffle(names)
    for workload in workloads:
        inputs = make_inputs(task, workload, seed)
        ways = [found for name in names if name in inputs and (found := _ways(task, name, inputs[name], draw))]
        if ways:
            yield workload, inputs, [way for way in chain.from_iterable(zip_longest(*ways)) if way is not None]
            ((first, _), _) = ways[0][0]
            names.remove(first)
            names.append(first)


def _ways(task: Task, name: str, tensor: HostTensor, draw: random.Random) -> list[Way]:
    """All ways for one input, in the order in which they are tried."""
    kind = kind_of(task, name, tensor)
    in_one_row = kind is Kind.FREE and len(tensor.shape) == 1
    rules = draw.sample([*ALTERATIONS], IN_ONE_ROW) if in_one_row else [*RULES.get(kind, ())]
    draw.shuffle(rules)
    first: list[Way] = [((name, rule), 0) for rule in rules]
    further: list[Way] = [
        ((name, rule), turn)
        for rule in rules
        if rule in BY_TURNS
        for turn in range(1, -(-len(KINDS) // max(1, rows_of(tensor.shape, rule))))
    ]
    return first + further
