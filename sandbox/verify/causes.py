"""Guesses why an output is wrong, where the values themselves say so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.verify.regions import Mask

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MATCH = 1e-2
"""Relative distance at which two vectors are the same but for rounding."""

_ENOUGH = 8
"""Wrong elements from which an agreement is no chance."""


def not_finite(got: float, expected: float, limit: float) -> str:
    """Why an element is not finite where it should be, or finite where it should not.

    Args:
        got: Of the run.
        expected: That is right.
        limit: The largest finite value of the dtype.
    """
    if np.isnan(got):
        return "Something it was computed from was never written, or it is 0/0 or Inf - Inf (an empty row?)."
    if np.isneginf(expected):
        return "Nothing counts there, and its logarithm or maximum is -Inf: terms that are masked out were let in."
    if np.isneginf(got) and limit > 1e30:
        return (
            "-Inf is the logarithm of zero or the maximum of nothing (terms that count were masked out), "
            "or a sum in half precision overflows."
        )
    if np.isinf(got) and limit > 1e30:
        return "An exponential overflows (take the row's maximum off first), or it is divided by 0."
    if np.isinf(got):
        return f"A sum exceeds {limit:g} in too narrow a dtype (keep sums in float32), or is divided by 0."
    return "The reference overflows or is undefined there."


def told_by_values(got: Floats, expected: Floats, wrong: Mask, *, tail: bool) -> str | None:
    """Name the mistake in a sentence where wrong values show it themselves; None where they do not.

    Args:
        got: Finite matrix.
        expected: Finite matrix of the same shape.
        wrong: Elements that are grossly wrong, at least one.
        tail: They end where the matrix does.
    """
    bad, good = got[wrong], expected[wrong]
    if not bad.any():
        return (
            "They are exactly zero: their sum is never added, or a guard skips them."
            if not tail
            else "They are exactly zero: the last, partial tile is skipped."
        )
    factor = _factor(bad, good)
    if factor is not None:
        return f"They are {factor:.4g} times what is expected: a scale or a count of terms is off by that factor."
    moved = _rearranged(got, expected, wrong, "column") or _rearranged(got.T, expected.T, wrong.T, "row")
    moved = moved or _moved(got, expected, wrong, "row") or _moved(got.T, expected.T, wrong.T, "column")
    if moved:
        return moved
    if _is_transposed(got, expected):
        return "The output is stored transposed: its rows and columns are exchanged."
    if _own_factors(got, expected, wrong):
        return "Each column is off by a factor of its own: a value per column, such as its scale, is read wrongly."
    if _own_factors(got.T, expected.T, wrong.T):
        return "Each row is off by a factor of its own: what scales or divides a row, such as its sum, is wrong."
    return None


def told_by_integers(got: Integers, expected: Integers, wrong: Mask) -> str | None:
    """The same of integers that differ in `wrong`; what holds of all elements counts, since few may differ."""
    flat, right, bad = got.reshape(-1), expected.reshape(-1), got[wrong] - expected[wrong]
    if bad.size > 1 and (bad == bad[0]).all():
        return f"Each is {abs(int(bad[0]))} too {'large' if bad[0] > 0 else 'small'}."
    if right.size >= _ENOUGH and len(np.unique(right)) > 2:
        for step, says in ((1, "the one behind it"), (-1, "the one before it")):
            if (np.roll(right, -step)[1:-1] == flat[1:-1]).all():
                return f"Each is what {says} should be: an inclusive sum for an exclusive one, or an index off by one."
        for factor in range(2, 65):
            if (right // factor == flat).all():
                return f"Each is what is expected divided by {factor}."
            if (right * factor == flat).all():
                return f"Each is {factor} times what is expected."
    for axis, lines in ((1, "row"), (0, "column")):
        if min(got.shape) > 1 and (np.sort(got, axis) == np.sort(expected, axis)).all():
            return f"Every {lines} holds the right values in another order."
    if bad.size > 1 and (np.sort(flat) == np.sort(right)).all():
        return "They are the right values in another order: a sort that is not stable, or runs the other way."
    return None


def guessed(got: Floats, expected: Floats, wrong: Mask, *, tail: bool) -> str:
    """What wrong values resemble, where nothing tells more; arguments as in `told_by_values`."""
    if tail:
        return (
            "The last, partial tile is handled wrongly: mask its loads, and guard its stores. Where whole tiles fit, a "
            "bound or a count of blocks is too small for this size."
        )
    likeness = _likeness(got[wrong], expected[wrong])
    if likeness > 0.6:
        return (
            f"They resemble what is expected (correlation {likeness:.2f}): a part of the sum is missing, "
            "counted twice, or scaled wrongly."
        )
    if likeness < -0.6:
        return "They resemble what is expected with the sign turned."
    return "They are unrelated to what is expected: check how operands are indexed and unpacked."


def _factor(got: Floats, expected: Floats) -> float | None:
    """The one factor between both, where there is one."""
    power = float(expected @ expected)
    if got.size < 2 or power == 0:
        return None
    factor = float(got @ expected) / power
    rest = got - factor * expected
    near = float(rest @ rest) <= (_MATCH**2) * float(got @ got)
    return factor if near and abs(factor - 1) > _MATCH else None


def _likeness(got: Floats, expected: Floats) -> float:
    norm = float(np.linalg.norm(got) * np.linalg.norm(expected))
    return float(got @ expected) / norm if norm else 0.0


def _moved(got: Floats, expected: Floats, wrong: Mask, word: str) -> str | None:
    """Whether wrong lines hold other lines' values."""
    lines = np.flatnonzero(wrong.any(axis=1))[:4]
    if got.shape[1] < 4 or got.shape[0] > 4096:
        return None
    found = []
    for line in lines:
        distance = np.linalg.norm(expected - got[line], axis=1)
        source = int(distance.argmin())
        if source == line or distance[source] > _MATCH * np.linalg.norm(got[line]):
            return None
        found.append(f"{word} {line} holds what {word} {source} should")
    return f"{'; '.join(found[:2])}: {word}s are permuted, or an index is off." if found else None


def _rearranged(got: Floats, expected: Floats, wrong: Mask, word: str) -> str | None:
    """Whether columns stand in the places of others by one rule for all: groups swapped or reversed, or a shift."""
    index = np.arange(got.shape[1])
    if wrong.sum() < _ENOUGH:
        return None
    for size in (1, 2, 4, 8, 16, 32, 64, 128):
        rules = (
            (index - size, f"{word} i holds what {word} i - {size} should: an index is off by {size}."),
            (index + size, f"{word} i holds what {word} i + {size} should: an index is off by {size}."),
            (index ^ size, f"{word} i holds what {word} i ^ {size} should: neighbouring groups of {size} are swapped."),
            (index ^ (2 * size - 1), f"in every group of {2 * size}, {word}s stand in reverse order."),
        )
        for places, says in rules:
            known = (places >= 0) & (places < index.size)
            among = wrong & known
            if among.sum() < max(_ENOUGH, 0.5 * wrong.sum()):
                continue
            there = expected[:, np.clip(places, 0, index.size - 1)]
            if np.linalg.norm((got - there)[among]) <= _MATCH * np.linalg.norm(got[among]):
                return says[0].upper() + says[1:]
    return None


def _is_transposed(got: Floats, expected: Floats) -> bool:
    if min(got.shape) < 2:
        return False
    other = got.reshape(got.shape[1], got.shape[0]).T
    return bool(np.linalg.norm(other - expected) <= _MATCH * np.linalg.norm(expected))


def _own_factors(got: Floats, expected: Floats, wrong: Mask) -> bool:
    """Whether every wrong column is its expected one times a factor of its own."""
    columns = np.flatnonzero(wrong.any(axis=0))
    if got.shape[0] < 4 or columns.size < 4:
        return False
    factors = [_factor(got[:, column], expected[:, column]) for column in columns[:16]]
    return all(factor is not None for factor in factors)
