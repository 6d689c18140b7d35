"""Says in words which part of an output is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_PERIODS = (2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Where:
    """The wrong part of a matrix."""

    text: str
    """`rows 96 to 127 of y: the last 32 rows`."""
    tail: bool = False
    """It ends where the matrix does and begins later."""


def describe(wrong: Mask, name: str, shape: tuple[int, ...]) -> Where:
    """Describe the wrong elements.

    Args:
        wrong: Matrix with at least one True; leading dimensions folded into rows.
        name: Of the output.
        shape: Of the output, to name rows as its reader knows them.
    """
    rows: Mask = np.asarray(wrong.any(axis=1), dtype=np.bool_)
    columns: Mask = np.asarray(wrong.any(axis=0), dtype=np.bool_)
    if wrong.mean() > 0.9:
        return Where(f"all of {name}")
    row_words, column_words = _words(shape)
    dense = wrong[np.ix_(rows, columns)].mean() > 0.6
    row_range, column_range = _range(rows, row_words), _range(columns, column_words)
    if dense and columns.mean() > 0.9 and row_range:
        return Where(f"{row_range.text} of {name}", row_range.tail)
    if dense and rows.mean() > 0.9 and column_range:
        return Where(f"{column_range.text} of {name}", column_range.tail)
    if dense and row_range and column_range:
        return Where(f"{row_range.text}, {column_range.text} of {name}", row_range.tail and column_range.tail)
    count = f"{int(wrong.sum())} of {wrong.size} elements of {name}"
    first, last = (tuple(int(i) for i in np.argwhere(wrong)[at]) for at in (0, -1))
    return Where(f"{count}, scattered from {_index(first, shape)} to {_index(last, shape)}")


def unfold(row: int, column: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index in the output itself of an element of its matrix."""
    if not shape:
        return ()
    return (*(int(i) for i in np.unravel_index(row, shape[:-1])), column) if len(shape) > 1 else (column,)


def _index(element: tuple[int, ...], shape: tuple[int, ...]) -> str:
    return str(list(unfold(element[0], element[1], shape)))


def _words(shape: tuple[int, ...]) -> tuple[str, str]:
    if len(shape) < 2:
        return "row", "element"
    return ("row" if len(shape) == 2 else "row (leading dimensions folded)"), "column"


def _range(flags: Mask, word: str) -> Where | None:
    """One run of indices, or indices by their remainder; None where neither says it."""
    where = np.flatnonzero(flags)
    first, last, extent = int(where[0]), int(where[-1]), flags.size
    if where.size == last - first + 1:
        return _run(first, last, extent, word)
    for period in _PERIODS:
        if period * 2 > extent:
            break
        hit = np.zeros(period, dtype=np.bool_)
        hit[where % period] = True
        if not hit.all() and flags[hit[np.arange(extent) % period]].mean() > 0.9:
            rest = np.flatnonzero(hit)
            whole = rest.size > 1 and rest.size == rest[-1] - rest[0] + 1
            shown = f"{rest[0]} to {rest[-1]}" if whole else _some(rest)
            return Where(f"every {word} whose index modulo {period} is {shown}")
    return None


def _run(first: int, last: int, extent: int, word: str) -> Where:
    plural = word.replace(word.split()[0], f"{word.split()[0]}s", 1)
    text = f"{word} {first}" if first == last else f"{plural} {first} to {last}"
    if last == extent - 1 and first > 0:
        count = last - first + 1
        return Where(f"{text} (the last {f'{count} {plural}' if count > 1 else word})", tail=True)
    return Where(text)


def _some(values: NDArray[np.int64]) -> str:
    shown = ", ".join(str(value) for value in values[:6])
    return shown if values.size <= 6 else f"{shown}, ..."
