"""Workloads in which free dimensions have sizes that the kernel names: at one of them it may do something else."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import replace

from warpsmith.core.task import Workload
from warpsmith.sandbox.analysis.sizes import Sizes
from warpsmith.sandbox.verify.hidden import SWEPT, TRIES, Minted, Minter

NAMED = "as the kernel names them,"
"""Names of workloads say of dimensions whose sizes stand in the kernel file."""
MOST_NAMED = 10
"""Such workloads of an evaluation."""

_Pair = tuple[str, int]
"""A dimension and a size."""


def named_sizes(minter: Minter, sizes: Sizes) -> Minted:
    """As many sizes together as are cheap: first what the kernel compares, then what is next to that, and what else
    stands in its source.
    """
    draw = random.Random(f"named {minter.seed}")  # noqa: S311 - its seed is the secret
    wanted, found = _wanted(minter, sizes, draw), list[Workload]()
    while wanted and len(found) < MOST_NAMED:
        name, size = wanted.pop(0)
        current = _sized(minter, name, size, draw)
        if current is not None:
            found.append(_with_others(minter, current, name, wanted))
    beyond = tuple(item for item in found if _is_beyond(minter, item))
    return Minted(tuple(item for item in found if item not in beyond), beyond)


def _wanted(minter: Minter, sizes: Sizes, draw: random.Random) -> list[_Pair]:
    """In the order in which they are tried; small sizes are swept in any case."""
    found = list[_Pair]()
    # The row that is number 345 is there where 346 are.
    for group in (sizes.compared, _next_to(sizes.compared) | sizes.others, _next_to(sizes.others)):
        pairs = [(name, size) for size in sorted(group) if size > SWEPT for name in minter.free()]
        found += [pair for pair in draw.sample(pairs, len(pairs)) if pair not in found]
    return found


def _next_to(sizes: Collection[int]) -> set[int]:
    return {size + step for size in sizes for step in (-1, 1)}


def _sized(minter: Minter, name: str, size: int, draw: random.Random) -> Workload | None:
    """A verify workload with a dimension of this size; where that is too dear a bench one, the others small."""
    for base in minter.bases(draw)[:4]:
        changed = minter.changed(base, name, size)
        if changed is not None:
            return changed
    source = draw.choice(minter.task.bench or minter.task.verify)
    relatives = minter.shrunk(replace(source, dims={**source.dims, name: size}), (name,))
    return draw.choice(relatives) if relatives else None


def _with_others(minter: Minter, current: Workload, name: str, wanted: list[_Pair]) -> Workload:
    """The workload, named, with a size that is wanted in each other dimension that may have one; takes those away."""
    changed = {name}
    for other in (item for item in minter.free() if item != name):
        for pair in [pair for pair in wanted if pair[0] == other][:TRIES]:
            larger = minter.changed(current, *pair)
            if larger is not None:
                current = larger
                changed.add(other)
                wanted.remove(pair)
                break
    shown = " and ".join(item for item in minter.task.dims if item in changed)
    return replace(current, name=f"hidden: {NAMED} {shown}")


def _is_beyond(minter: Minter, workload: Workload) -> bool:
    listed = (*minter.task.verify, *minter.task.bench)
    return any(workload.dims[name] > max(item.dims[name] for item in listed) for name in minter.free())
