"""What an input's drawn values say it may hold: any numbers, numbers of one sign, bits, or small codes.

Tasks declare no domain for values, so it is inferred, and an input that might obey a rule (indices, masks, shares that
sum to one, what is sorted) is nothing of these: no honest kernel may be refused for trusting that rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import pairwise
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.errors import TaskError
from warpsmith.core.task import Role, Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.tasks.convert import widened
from warpsmith.tasks.sample import make_inputs

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BOTH_SIGNS = 0.1
"""Share of an input that must be positive, and negative, to take it for one that may hold anything."""
LEAST_ELEMENTS = 8
"""Elements from which an input of one sign, or of integers, shows what it is."""
BITS_SET = (0.25, 0.75)
"""Share of elements in which every bit of packed words is set."""
APART = 1 / 16
"""Share of packed words in which neighbouring bits differ, at least."""
EQUAL_SUMS = 1e-3
"""Relative spread of sums along an axis below which they are taken to be prescribed."""


class Kind(Enum):
    """What an input may hold."""

    FREE = auto()
    """Any finite numbers: it has both signs."""
    ONE_SIGN = auto()
    """Finite numbers of the sign it has, between the least and the largest that the task draws."""
    BITS = auto()
    """Any bits: packed codes."""
    CODES = auto()
    """Whole numbers of eight bits, from the least to the largest it has."""


def kind_of(task: Task, name: str, tensor: HostTensor) -> Kind | None:
    """What an input may hold, as far as its values tell; None where they might obey a rule."""
    if task.tensor(name).role is Role.HOST or not tensor.shape or tensor.array.size < 2:  # type: ignore[union-attr]
        return None
    if not tensor.dtype.is_floating:
        return None if getattr(task.tensor(name), "unordered", False) else _of_integers(tensor.array)
    values = widened(tensor)
    if not np.isfinite(values).all():
        return None
    if min((values > 0).mean(), (values < 0).mean()) >= BOTH_SIGNS:
        return Kind.FREE
    return Kind.ONE_SIGN if _is_free_but_for_its_sign(values) else None


def _is_free_but_for_its_sign(values: Floats) -> bool:
    """Whether values of one sign are neither counts, masks, sorted nor shares of something."""
    if values.size < LEAST_ELEMENTS or not ((values > 0).all() or (values < 0).all()):
        return False
    return not ((values == np.rint(values)).all() or _is_sorted(values) or _sums_are_prescribed(values))


def _of_integers(array: NDArray[Any]) -> Kind | None:
    if array.size < LEAST_ELEMENTS or array.dtype == np.bool_:
        return None
    width = 8 * array.dtype.itemsize
    words = array.reshape(-1).view(f"u{array.dtype.itemsize}")
    bits = [((words >> np.asarray(bit, words.dtype)) & 1).astype(np.bool_) for bit in range(width)]
    if array.size >= width and all(BITS_SET[0] <= bit.mean() <= BITS_SET[1] for bit in bits):
        # Of indices among holes of -1 the upper bits are all the sign's.
        apart = min(float((low != high).mean()) for low, high in pairwise(bits))
        return Kind.BITS if apart >= APART else None
    values = array.astype(np.int64)
    if width > 8 or array.ndim < 2 or len(np.unique(values)) < 3 or _is_sorted(values):
        return None
    return Kind.CODES


def _is_sorted(values: NDArray[Any]) -> bool:
    return any(
        bool((steps >= 0).all() or (steps <= 0).all())
        for axis in range(values.ndim)
        if values.shape[axis] >= LEAST_ELEMENTS
        for steps in (np.diff(values, axis=axis),)
    )


def _sums_are_prescribed(values: Floats) -> bool:
    return any(
        float(np.ptp(sums)) <= EQUAL_SUMS * float(np.abs(sums).max())
        for axis in range(values.ndim)
        if values.shape[axis] > 1
        for sums in (np.atleast_1d(values.sum(axis=axis)),)
        if sums.size > 1 or abs(float(np.abs(sums).max()) - 1.0) <= EQUAL_SUMS
    )


@dataclass(frozen=True, slots=True)
class Range:
    """Least and largest magnitude that a task's distributions draw of an input of one sign."""

    low: float
    high: float

    @property
    def may_grow(self) -> bool:
        """Numbers up to one may be shares or gates; larger ones have no such end."""
        return self.high > 1.0

    @classmethod
    def drawn(cls, task: Task, name: str, like: HostTensor, workloads: Iterable[Workload], seed: int) -> Range:
        """Of what one workload of each distribution draws, and of `like`."""
        low, high = np.inf, 0.0
        for workload in _one_of_each(workloads):
            for tensor in (like, *_drawn_like(task, name, like, workload, seed)):
                sizes = np.abs(widened(tensor))
                low = min(low, float(sizes[sizes > 0].min(initial=np.inf)))
                high = max(high, float(sizes.max(initial=0.0)))
        return cls(low, high)


def _one_of_each(workloads: Iterable[Workload]) -> Iterable[Workload]:
    """One workload of each distribution."""
    return {item.distribution: item for item in workloads}.values()


def _drawn_like(task: Task, name: str, like: HostTensor, workload: Workload, seed: int) -> list[HostTensor]:
    """The input as a workload has it: none where it is absent there, or of another dtype."""
    drawn = [] if name in workload.absent else [make_inputs(task, workload, seed)[name]]
    return [tensor for tensor in drawn if tensor.dtype is like.dtype]


def _lines(values: NDArray[Any], axis: int, draw: np.random.Generator, other: Any) -> NDArray[Any]:
    """`other` in about half of the indices along an axis."""
    shape = [1] * values.ndim
    shape[axis] = values.shape[axis]
    return np.where(draw.random(shape) < 0.5, other, values)


def _power(values: Floats) -> Floats:
    powers: Floats = 2.0 ** np.rint(np.log2(np.abs(values)))
    return powers


ONE_SIGN: dict[str, Callable[[Floats, np.random.Generator, Range], Floats]] = {
    "one value throughout": lambda values, draw, seen: np.full(values.shape, draw.choice(values.reshape(-1))),
    "ones": lambda values, draw, seen: np.ones(values.shape),
    "ones here and there": lambda values, draw, seen: np.where(draw.random(values.shape) < 0.5, 1.0, np.abs(values)),
    "equal rows": lambda values, draw, seen: _lines(values, 0, draw, values[:1]),
    "equal columns": lambda values, draw, seen: _lines(values, -1, draw, values[..., :1]),
    "rising rows": lambda values, draw, seen: np.sort(values, axis=-1),
    "powers of two": lambda values, draw, seen: _power(values),
    "rows of the least": lambda values, draw, seen: _lines(values, 0, draw, seen.low),
    "columns of the least": lambda values, draw, seen: _lines(values, -1, draw, seen.low),
    "any size that is drawn": lambda values, draw, seen: 2.0 ** draw.uniform(log2(seen.low), log2(seen.high),
                                                                             values.shape),
}  # fmt: skip
"""What becomes of one input's magnitudes; they stay within the range, and its sign is kept."""


def _nibbles(values: Integers, draw: np.random.Generator) -> Integers:
    """Words of one 4-bit code each, wherever eight of them may meet."""
    spread: Integers = draw.integers(0, 16, values.shape) * 0x1111111111111111
    return spread


BITS: dict[str, Callable[[Integers, np.random.Generator], Integers]] = {
    "words of one code": lambda values, draw: np.where(draw.random(values.shape) < 0.5, _nibbles(values, draw), values),
    "no bit set": lambda values, draw: np.zeros_like(values),
    "every bit set": lambda values, draw: np.full_like(values, -1),
    "bytes of the highest bit in some rows": lambda values, draw: _lines(values, 0, draw, -0x7F7F7F7F7F7F7F80),
    "bytes of all other bits in some rows": lambda values, draw: _lines(values, 0, draw, 0x7F7F7F7F7F7F7F7F),
    "one code throughout": lambda values, draw: np.broadcast_to(
        _nibbles(values[:1, ...].reshape(-1)[:1], draw), values.shape
    ),
    "equal rows": lambda values, draw: _lines(values, 0, draw, values[:1]),
    "equal columns": lambda values, draw: _lines(values, -1, draw, values[..., :1]),
}
"""What becomes of packed words; what does not fit their width is cut off."""

CODES: dict[str, Callable[[Integers, np.random.Generator, Callable[[], range]], Integers]] = {
    "one value throughout": lambda values, draw, seen: np.full_like(values, draw.choice(values.reshape(-1))),
    "the least throughout": lambda values, draw, seen: np.full_like(values, seen()[0]),
    "the largest throughout": lambda values, draw, seen: np.full_like(values, seen()[-1]),
    "the middle throughout": lambda values, draw, seen: np.full_like(values, _middle(values)),
    "columns of one value": lambda values, draw, seen: _lines(values, -1, draw, values[:1]),
    "rows of the least": lambda values, draw, seen: _lines(values, 0, draw, seen()[0]),
    "rows of the largest": lambda values, draw, seen: _lines(values, 0, draw, seen()[-1]),
    "equal rows": lambda values, draw, seen: _lines(values, 0, draw, values[:1]),
    "equal columns": lambda values, draw, seen: _lines(values, -1, draw, values[..., :1]),
    "the middle in some columns": lambda values, draw, seen: _lines(values, -1, draw, _middle(values)),
}
"""What becomes of small codes; `seen` tells which are drawn, and takes a while."""


def _middle(values: Integers) -> int:
    return (int(values.min()) + int(values.max()) + 1) // 2


def codes_drawn(task: Task, name: str, like: HostTensor, workload: Workload, seed: int) -> range:
    """From the least to the largest code that any of the task's distributions draws of an input, at the sizes of a
    workload, and of `like`.
    """
    low, high = int(like.array.min()), int(like.array.max())
    for other in _one_of_each(task.verify):
        try:
            drawn = _drawn_like(task, name, like, replace(other, dims=workload.dims), seed)
        except TaskError:
            continue  # a distribution for some sizes alone
        for tensor in drawn:
            low, high = min(low, int(tensor.array.min())), max(high, int(tensor.array.max()))
    return range(low, high + 1)
