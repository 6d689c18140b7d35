"""Rows, or columns, each of which looks different: many things that a kernel may take for granted in a single run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import islice
from math import prod

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BY_TURNS = {"rows of many kinds": -1, "columns of many kinds": 0}
"""The axis along which each is laid out."""


def _sized(rows: Floats) -> Floats:
    """The same signs and one size a row; what is 0 stays 0."""
    magnitudes = np.abs(rows)
    sized: Floats = np.sign(rows) * (magnitudes.sum(1) / np.maximum((rows != 0).sum(1), 1))[:, None]
    return sized


def _powers(rows: Floats) -> Floats:
    powers: Floats = np.sign(rows) * 2.0 ** np.rint(np.log2(np.where(rows == 0, 1.0, np.abs(rows))))
    return powers


def one_place(rows: Floats, draw: np.random.Generator) -> NDArray[np.bool_]:
    """A mask of one place in every row."""
    return np.asarray(np.arange(rows.shape[1]) == draw.integers(rows.shape[1], size=(len(rows), 1)))


def alone(rows: Floats, draw: np.random.Generator) -> Floats:
    """One element of every row, among zeros."""
    return np.where(one_place(rows, draw), rows, 0.0)


def _one_value(rows: Floats, draw: np.random.Generator) -> Floats:
    places = draw.integers(rows.shape[1], size=(len(rows), 1))
    return np.broadcast_to(np.take_along_axis(rows, places, 1), rows.shape)


def _opposite(rows: Floats) -> Floats:
    changed = rows.copy()
    changed[:, 1::2] = -rows[:, : rows.shape[1] // 2 * 2 : 2]
    return changed


def _repeated(rows: Floats) -> Floats:
    half = rows[:, : (rows.shape[1] + 1) // 2]
    return np.concatenate([half, half], axis=1)[:, : rows.shape[1]]


def _whole(rows: Floats) -> Floats:
    whole: Floats = np.rint(rows / np.maximum(np.abs(rows).mean(1, keepdims=True), 1e-30))
    return whole


BEFORE, LOUD = "as the one before", "loud"
KINDS: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "zeros": lambda rows, draw: np.zeros_like(rows),
    "of one value": _one_value,
    BEFORE: lambda rows, draw: rows,
    "of one size and either sign": lambda rows, draw: _sized(rows),
    "of one sign": lambda rows, draw: np.abs(rows) * draw.choice([-1.0, 1.0], (len(rows), 1)),
    "rising": lambda rows, draw: np.sort(rows, axis=1),
    "of whole numbers": lambda rows, draw: _whole(rows),
    "of powers of two": lambda rows, draw: _powers(rows),
    "nine zeros in ten": lambda rows, draw: np.where(draw.random(rows.shape) < 0.9, 0.0, rows),
    "a single value": alone,
    "with one outlier": lambda rows, draw: rows + 15.0 * alone(rows, draw),
    "faint": lambda rows, draw: rows * 2.0**-8,
    LOUD: lambda rows, draw: rows * 2.0**6,
    "a half that repeats": lambda rows, draw: _repeated(rows),
    "of neighbours that cancel": lambda rows, draw: _opposite(rows),
    "zeros of either sign": lambda rows, draw: np.copysign(0.0, rows),
    "of nothing above zero": lambda rows, draw: np.where(
        rows > 0, np.copysign(0.0, draw.random(rows.shape) - 0.5), rows
    ),
}
"""What becomes of the rows of a kind."""


def _repeat(rows: Floats, first: int, step: int) -> None:
    """Every `step`-th row from `first` on becomes what the one before it is."""
    if step == 1:
        rows[1:] = rows[:1]
    else:
        at = np.arange(first or step, len(rows), step)
        rows[at] = rows[at - 1]


def rows_of(shape: Sequence[int], alteration: str) -> int:
    """Rows, or columns, that an input of this shape has."""
    return prod(shape) // max(1, shape[BY_TURNS[alteration]])


def by_turns(
    values: Floats, axis: int, draw: np.random.Generator, first: int, kinds: Collection[str] = KINDS.keys()
) -> tuple[Floats, str]:
    """Every row of another kind, and which.

    Args:
        values: An input's.
        axis: -1 for rows; 0 for columns, the first axis then runs along a row.
        draw: Draws what is random in each kind.
        first: Which of KINDS comes first, counted round and round.
        kinds: The names of those that take turns.
    """
    laid = np.moveaxis(values, axis, -1)
    rows = laid.reshape(-1, laid.shape[-1]).copy()
    start = first % len(KINDS)
    order = [kind for kind in (*islice(KINDS, start, None), *islice(KINDS, start)) if kind in kinds]
    for number, kind in enumerate(order):
        rows[number :: len(order)] = KINDS[kind](rows[number :: len(order)], draw)
    if BEFORE in order:
        _repeat(rows, order.index(BEFORE), len(order))
    return np.moveaxis(rows.reshape(laid.shape), -1, axis), ", ".join(order[: len(rows)])
