"""Finds the integer expression of sizes that gives an extent at every sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod

LARGEST_DIVISOR = 64
"""Of the strides and pooling windows that are recognised."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An extent at some sizes."""

    sizes: Mapping[str, int]
    value: int


def fit(samples: Sequence[Sample], names: Sequence[str]) -> str | None:
    """An expression over `names` that is right at every sample, the plainest there is; None where none is known.

    Known are constants, sizes, `a * N + b`, `(N + b) // c + d`, products of those in different sizes, and `N + M`.
    """
    values = {sample.value for sample in samples}
    if len(values) == 1:
        return str(values.pop())
    for name in names:
        if (text := _of_one(samples, name)) is not None:
            return text
    used = [name for name in names if _matters(samples, name)]
    return _product(samples, used) or _sum(samples, used)


def factored(texts: Sequence[str]) -> str:
    """A product as text, plain numbers joined into one that stands in front."""
    number = prod(int(text) for text in texts if text.isdecimal())
    rest = [text if text.isidentifier() or " " not in text else f"({text})" for text in texts if not text.isdecimal()]
    return " * ".join([*([str(number)] if number != 1 or not rest else []), *rest])


def _of_one(samples: Sequence[Sample], name: str) -> str | None:
    """An expression of a single size."""
    table: dict[int, int] = {}
    for sample in samples:
        if table.setdefault(sample.sizes[name], sample.value) != sample.value:
            return None
    points = sorted(table.items())
    return _linear(points, name) or _floored(points, name)


def _linear(points: Sequence[tuple[int, int]], name: str) -> str | None:
    if len(points) < 2:
        return None
    (x0, y0), (x1, y1) = points[0], points[-1]
    slope, rest = divmod(y1 - y0, x1 - x0)
    if rest or not slope or any(y != y0 + slope * (x - x0) for x, y in points):
        return None
    return _plus(name if slope == 1 else f"{slope} * {name}", y0 - slope * x0)


def _floored(points: Sequence[tuple[int, int]], name: str) -> str | None:
    """`(N + b) // c + d`; needs points enough to tell a divisor."""
    if len(points) < 4:
        return None
    (x0, y0) = points[0]
    for divisor in range(2, LARGEST_DIVISOR + 1):
        for shift in (0, *range(-1, -divisor, -1)):
            offset = y0 - (x0 + shift) // divisor
            if all(y == (x + shift) // divisor + offset for x, y in points):
                inner = name if not shift else f"({_plus(name, shift)})"
                return _plus(f"{inner} // {divisor}", offset)
    return None


def _matters(samples: Sequence[Sample], name: str) -> bool:
    """Whether two samples that differ in this size alone differ in value."""
    groups: dict[tuple[tuple[str, int], ...], set[int]] = {}
    for sample in samples:
        others = tuple(sorted((key, size) for key, size in sample.sizes.items() if key != name))
        groups.setdefault(others, set()).add(sample.value)
    return any(len(values) > 1 for values in groups.values())


def _product(samples: Sequence[Sample], names: Sequence[str]) -> str | None:
    """A product of expressions of one size each, times a number."""
    factors: list[tuple[str, dict[int, int]]] = []
    for name in names:
        sweep = _sweep(samples, name)
        shared = gcd(*sweep.values()) if len(sweep) > 1 else 0
        if not shared:
            return None
        reduced = sorted((size, value // shared) for size, value in sweep.items())
        text = _linear(reduced, name) or _floored(reduced, name)
        if text is None:
            return None
        factors.append((text, dict(reduced)))
    known = [
        sample for sample in samples if all(sample.sizes[n] in f for n, (_, f) in zip(names, factors, strict=True))
    ]
    quotients = {
        divmod(sample.value, prod(f[sample.sizes[n]] for n, (_, f) in zip(names, factors, strict=True)))
        for sample in known
    }
    if len(quotients) != 1:
        return None
    number, rest = quotients.pop()
    return None if rest or not number else factored([str(number), *(text for text, _ in factors)])


def _sweep(samples: Sequence[Sample], name: str) -> dict[int, int]:
    """The largest set of samples that differ in this size alone, as size -> value."""
    groups: dict[tuple[tuple[str, int], ...], dict[int, int]] = {}
    for sample in samples:
        others = tuple(sorted((key, size) for key, size in sample.sizes.items() if key != name))
        groups.setdefault(others, {})[sample.sizes[name]] = sample.value
    return max(groups.values(), key=len)


def _sum(samples: Sequence[Sample], names: Sequence[str]) -> str | None:
    """`N + M + b`."""
    if not names:
        return None
    offsets = {sample.value - sum(sample.sizes[name] for name in names) for sample in samples}
    return _plus(" + ".join(names), offsets.pop()) if len(offsets) == 1 else None


def _plus(text: str, number: int) -> str:
    if not number:
        return text
    return f"{text} {'+' if number > 0 else '-'} {abs(number)}"
