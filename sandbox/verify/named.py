"""Values that a kernel's own code names: where it may answer otherwise than at any value that is drawn.

`x == 42.0f ? 0.0f : y` is right on whatever a distribution draws, and takes no branch once compiled, so that coverage
does not show it. But its code says 42: such numbers, and numbers between them, stand in some of an input's elements in
runs of their own. An epilogue compares what it has computed: other inputs are zeros, then ones there, so that sums and
products are the input's values.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.analysis.numbers import Numbers
from warpsmith.sandbox.verify.altered import (
    SMALL,
    Floats,
    Inputs,
    as_stored,
    fitted,
    judgeable,
    places_of,
    within,
    work_of,
)
from warpsmith.sandbox.verify.at_size import affordable, bench_sized
from warpsmith.sandbox.verify.by_turns import alone, one_place
from warpsmith.sandbox.verify.kinds import Kind, Range, codes_drawn, kind_of
from warpsmith.tasks.convert import widened
from warpsmith.tasks.sample import make_inputs

NAMED = "numbers that the code names"
OTHERS = {"": None, ", other inputs zeros": 0.0, ", other inputs ones": 1.0}
"""What becomes of the other inputs that may hold anything."""
SHARE = 0.3
"""Of the elements that take a number where not all do."""

Run = tuple[Workload, dict[str, HostTensor]]


def named_at(
    task: Task, workloads: Sequence[Workload], cheap: Sequence[Workload], numbers: Numbers, seed: int
) -> Iterator[Run]:
    """What an evaluation of this seed runs at verify workloads: every input in turn with such numbers, alone and, where
    that costs little, with other inputs of one value. What cannot be judged is left out.

    Args:
        task: Its inputs.
        workloads: Verify workloads that the kernel handles.
        cheap: Those of them that are taken where they have the input.
        numbers: What the code names.
        seed: Of the evaluation.
    """
    for name, (workload, inputs) in places_of(task, workloads, cheap, seed).items():
        planting = _Planting(task, workload, inputs, name, numbers, seed)
        if work_of(task, workload) <= SMALL:
            for others in OTHERS:
                yield from chain(planting.literals(others), planting.rest(others))
        else:
            yield from chain(planting.literals(), islice(planting.rest(), 1))


def named_at_size(task: Task, minted: Sequence[Workload], numbers: Numbers, seed: int) -> Iterator[Run]:
    """The same at minted workloads that are bench-sized: one run each, or some while they cost little."""
    draw = random.Random(f"named {seed}")  # noqa: S311 - seeded on purpose
    for workload in bench_sized(minted):
        inputs = make_inputs(task, workload, seed)
        names = draw.sample([*inputs], len(inputs))
        plantings = [_Planting(task, workload, inputs, name, numbers, seed) for name in names]
        runs = chain.from_iterable([*(item.literals() for item in plantings), *(item.rest() for item in plantings)])
        yield from islice(runs, affordable(task, workload, inputs, 1))


@dataclass(frozen=True, slots=True)
class _Planting:
    """One input of a workload, and the numbers that may stand in it."""

    task: Task
    workload: Workload
    inputs: Inputs
    name: str
    numbers: Numbers
    seed: int

    @property
    def _tensor(self) -> HostTensor:
        return self.inputs[self.name]

    def literals(self, others: str = "") -> Iterator[Run]:
        """Runs on floating numbers that can be judged, a band each."""
        for kind, bands in self._bands():
            draw = self._draw(f"literals{others}")
            yield from self._judged((self._floats(kind, band, draw) for band in bands[0]), others, draw)

    def rest(self, others: str = "") -> Iterator[Run]:
        """The same on what whole numbers may mean, in random order; all at once in packed words and codes."""
        draw = self._draw(f"rest{others}")
        for kind, (_, bands) in self._bands():
            order = draw.permutation(len(bands))
            yield from self._judged((self._floats(kind, bands[index], draw) for index in order), others, draw)
        yield from self._judged([self._words(draw)], others, draw)

    def _draw(self, what: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *f"{self.name} {what}".encode()])

    def _bands(self) -> Iterator[tuple[Kind, tuple[list[Floats], list[Floats]]]]:
        """The input's kind and its bands of numbers, if it may hold some."""
        kind = kind_of(self.task, self.name, self._tensor)
        if kind in (Kind.FREE, Kind.ONE_SIGN):
            yield kind, self.numbers.bands(self._tensor.dtype)

    def _judged(self, changes: Iterable[Iterable[HostTensor]], others: str, draw: np.random.Generator) -> Iterator[Run]:
        """Of each change the first of its ways that can be judged."""
        before = self._before(OTHERS[others])
        if before is None:
            return
        name = f"{self.workload.name}, {self.name} with {NAMED}{others}"
        moved = self.name if self._tensor.dtype.is_floating else None
        for ways in changes:
            for changed in ways:
                given = {**before, self.name: changed}
                if judgeable(self.task, self.workload, (self.inputs, given), moved, draw):
                    yield replace(self.workload, name=name), given
                    break

    def _before(self, value: float | None) -> Inputs | None:
        """All inputs, the others that may hold anything of one value; None where there are none to change."""
        if value is None:
            return self.inputs
        free = {
            name: fitted(np.full(item.shape, value), item)
            for name, item in self.inputs.items()
            if name != self.name and kind_of(self.task, name, item) is Kind.FREE
        }
        return {**self.inputs, **free} if free else None

    def _floats(self, kind: Kind, band: Floats, draw: np.random.Generator) -> Iterator[HostTensor]:
        """Numbers of a band in the input, in ever fewer of its elements."""
        values = widened(self._tensor)
        if kind is Kind.FREE:
            for rows in (_ROWS, _ROWS[:-1], _ROWS[2:-1]):
                yield fitted(_planted(values, band, rows, draw), self._tensor)
            return
        seen = Range.drawn(self.task, self.name, self._tensor, self.task.verify, self.seed)
        inside = band[(band >= seen.low) & (band <= seen.high)]
        if inside.size:
            strewn = np.where(draw.random(values.shape) < SHARE, _drawn(inside, values.shape, draw), np.abs(values))
            yield within(seen, strewn, self._tensor)

    def _words(self, draw: np.random.Generator) -> Iterator[HostTensor]:
        """Whole numbers in some of its elements, all at once."""
        tensor = self._tensor
        kind = kind_of(self.task, self.name, tensor)
        if kind not in (Kind.BITS, Kind.CODES):
            return
        words = _words_of(self.numbers, tensor)
        if kind is Kind.CODES:
            codes = codes_drawn(self.task, self.name, tensor, self.workload, self.seed)
            words = words[(words >= codes[0]) & (words <= codes[-1])]
        if words.size:
            strewn = np.where(draw.random(tensor.shape) < SHARE, draw.choice(words, tensor.shape), tensor.array)
            yield as_stored(strewn, tensor)


def _words_of(numbers: Numbers, tensor: HostTensor) -> NDArray[np.int64]:
    """The whole numbers as the input's dtype holds them."""
    unsigned = np.array(sorted(numbers.words), np.uint64).astype(f"u{tensor.dtype.itemsize}")
    return np.unique(unsigned.view(tensor.array.dtype).astype(np.int64))


def _drawn(magnitudes: Floats, shape: tuple[int, ...], draw: np.random.Generator) -> Floats:
    """Half of them as they are, half anywhere up to the next: `41 < x && x < 43` is met between."""
    which = draw.integers(magnitudes.size, size=shape)
    ends = np.append(magnitudes[1:], 2 * magnitudes[-1:])
    between = draw.uniform(size=shape) * (draw.random(shape) < 0.5)
    drawn: Floats = magnitudes[which] + (ends - magnitudes)[which] * between
    return drawn


Rows = Callable[[Floats, Floats, np.random.Generator], Floats]
_ROWS: Sequence[Rows] = (
    lambda rows, named, draw: np.where(draw.random(rows.shape) < SHARE, named, rows),
    lambda rows, named, draw: np.where(one_place(rows, draw), named, rows),
    lambda rows, named, draw: alone(named, draw),
    lambda rows, named, draw: np.broadcast_to(named[:, :1], rows.shape),
)
"""What becomes of every fourth row: some elements are numbers, one, one that is all there is, all."""


def _planted(values: Floats, magnitudes: Floats, kinds: Sequence[Rows], draw: np.random.Generator) -> Floats:
    """Numbers among values of about their size, so that neither drowns the other."""
    named = _drawn(magnitudes, values.shape, draw) * draw.choice([-1.0, 1.0], values.shape)
    size = magnitudes[-1] / float(np.abs(values).max())
    rows = (values * 2.0 ** np.rint(np.log2(size))).reshape(-1, values.shape[-1])
    named = named.reshape(rows.shape)
    first = int(draw.integers(len(kinds))) if len(rows) > 1 else 0
    for number, change in enumerate((*kinds[first:], *kinds[:first])):
        mine = slice(number, None, len(kinds))
        rows[mine] = change(rows[mine], named[mine], draw)
    planted: Floats = rows.reshape(values.shape)
    return planted
