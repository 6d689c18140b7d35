"""Rows, or columns, each of which looks different: many things that a kernel may take for granted in a single run."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BY_TURNS = {"rows of many kinds": -1, "columns of many kinds": 0}
"""The axis along which each is laid out."""


def _sized(row: Floats) -> Floats:
    """The same signs and one size; what is 0 stays 0."""
    sized: Floats = np.sign(row) * np.abs(row[row != 0]).mean() if row.any() else row
    return sized


def _powers(row: Floats) -> Floats:
    powers: Floats = np.sign(row) * 2.0 ** np.rint(np.log2(np.where(row == 0, 1.0, np.abs(row))))
    return powers


def _alone(row: Floats, draw: np.random.Generator) -> Floats:
    return np.where(np.arange(row.size) == draw.integers(row.size), row, 0.0)


def _opposite(row: Floats) -> Floats:
    changed = row.copy()
    changed[1::2] = -row[: row.size // 2 * 2 : 2]
    return changed


KINDS: dict[str, Callable[[Floats, Floats, np.random.Generator], Floats]] = {
    "zeros": lambda row, last, draw: np.zeros_like(row),
    "of one value": lambda row, last, draw: np.full_like(row, row[draw.integers(row.size)]),
    "as the one before": lambda row, last, draw: last,
    "of one size and either sign": lambda row, last, draw: _sized(row),
    "of one sign": lambda row, last, draw: np.abs(row) * (1 if draw.random() < 0.5 else -1),
    "rising": lambda row, last, draw: np.sort(row),
    "of whole numbers": lambda row, last, draw: np.rint(row / max(float(np.abs(row).mean()), 1e-30)),
    "of powers of two": lambda row, last, draw: _powers(row),
    "nine zeros in ten": lambda row, last, draw: np.where(draw.random(row.size) < 0.9, 0.0, row),
    "a single value": lambda row, last, draw: _alone(row, draw),
    "with one outlier": lambda row, last, draw: row + 15.0 * _alone(row, draw),
    "faint": lambda row, last, draw: row * 2.0**-8,
    "a half that repeats": lambda row, last, draw: np.resize(row[: (row.size + 1) // 2], row.size),
    "of neighbours that cancel": lambda row, last, draw: _opposite(row),
    "zeros of either sign": lambda row, last, draw: np.copysign(0.0, row),
    "of nothing above zero": lambda row, last, draw: np.where(
        row > 0, np.copysign(0.0, draw.random(row.size) - 0.5), row
    ),
}
"""What becomes of a row, given what became of the one before."""


def by_turns(
    values: Floats, axis: int, draw: np.random.Generator, kinds: Collection[str] = KINDS.keys()
) -> tuple[Floats, str]:
    """Every row of another kind, and which.

    Args:
        values: An input's.
        axis: -1 for rows; 0 for columns, the first axis then runs along a row.
        draw: Draws which kind comes first, and what is random in each.
        kinds: The names in KINDS that take turns.
    """
    laid = np.moveaxis(values, axis, -1)
    rows = laid.reshape(-1, laid.shape[-1]).copy()
    order = [*kinds]
    start = int(draw.integers(len(order)))
    order = order[start:] + order[:start]
    for number, row in enumerate(rows):
        rows[number] = KINDS[order[number % len(order)]](row, rows[max(number - 1, 0)], draw)
    return np.moveaxis(rows.reshape(laid.shape), -1, axis), ", ".join(order[: len(rows)])
