"""How far a floating output is from the oracle, and how far it may be: whole, and by regions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.task import Tolerance
from warpsmith.tasks.convert import smallest, unit_roundoff

Floats = NDArray[np.float64]

REGION = 256
"""Elements of a region, where the output has as many."""
REGION_SLACK = 2.0
"""A region may err by this much more than the whole: few elements scatter more, and one wrong element of a region of
256 still shows as six per cent."""
REGION_SHAPES = ((16, 16), (1, REGION), (REGION, 1))
ROUNDING = (8 * math.log(2)) ** -0.5
"""RMS of the relative error of a rounding, in roundoffs u: its square is u^2 / (3 m^2) at a mantissa m, and m^-2 is
3 / (8 ln 2) on average where mantissas are spread evenly by their logarithm, as those of products are."""
SAMPLE = 4096
"""Elements among which those of one value are sought."""

# The least that float32 done in tf32, and float64 done in float32, shows is ten times these.
_CAPS = {DType.FLOAT32: (2e-5, 1e-4), DType.FLOAT64: (1e-9, 1e-8)}


@dataclass(frozen=True, slots=True)
class Limits:
    """Relative to the output's RMS."""

    relative_l2: float
    largest: float


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the output seen as a matrix: every leading dimension folded into rows."""

    rows: tuple[int, int]
    """First row, and one past the last."""
    columns: tuple[int, int]
    ratio: float
    """Its RMS error over what it may have: above 1 is wrong."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One output's error."""

    relative_l2: float
    largest: float
    limits: Limits
    worst_region: Region

    @property
    def ratio(self) -> float:
        """The larger of both figures over its own limit."""
        # Beside a right result of zeros the limits are tiny, and any error is infinitely too large.
        with np.errstate(over="ignore"):
            return max(self.relative_l2 / self.limits.relative_l2, self.largest / self.limits.largest)

    @property
    def passed(self) -> bool:
        return self.ratio <= 1 and self.worst_region.ratio <= 1


@np.errstate(over="ignore")
def measure(got: Floats, expected: Floats, honest: Floats, dtype: DType, tolerance: Tolerance) -> Measure:
    """Compare finite values.

    Where one element outweighs all others, or all are of one value, chance decides how near the honest result comes: it
    may be right to the last bit. So it counts as off by what rounding costs on average, and each limit has room for
    `tolerance.k` roundings of the largest element, that of the whole for as many of all elements of one value.

    Args:
        got: The kernel's output, at least one element.
        expected: The oracle's, unrounded.
        honest: What a careful kernel of the declared precision gives.
        dtype: Of the output, for the roundings that no kernel avoids.
        tolerance: The task's.
    """
    error, honest_error = np.abs(got - expected), np.abs(honest - expected)
    floor, floor_largest = floors(dtype, tolerance)
    allowance = _Allowance.of(dtype, tolerance.k, floor)
    sizes = as_matrix(np.abs(expected))
    parts = *(np.square(as_matrix(values)) for values in (error, honest_error, expected)), sizes
    rows, columns = sizes.shape
    actual, ideal, size, lone = _of_rectangles(parts, [0, rows], [0, columns])
    lone = np.maximum(lone, size * _share_of_one_value(expected, honest) ** 0.5)
    scale = max(float(size[0, 0]), np.finfo(np.float64).tiny)
    rounding = allowance.rounding(float(sizes.max()))
    limits = Limits(
        relative_l2=float(allowance.rms(ideal, size, lone)[0, 0]) / scale,
        largest=(tolerance.k * max(float(honest_error.max()), rounding) + rounding) / scale + floor_largest,
    )
    return Measure(
        relative_l2=float(actual[0, 0]) / scale,
        largest=float(error.max()) / scale,
        limits=limits,
        worst_region=_worst_region(parts, float(size[0, 0]), allowance),
    )


def floors(dtype: DType, tolerance: Tolerance) -> tuple[float, float]:
    """The tolerance's floor and that of the largest error, as far as an output of the dtype may have them."""
    cap, cap_largest = _CAPS.get(dtype, (np.inf, np.inf))
    return min(tolerance.floor, cap), min(tolerance.floor_largest, cap_largest)


@dataclass(frozen=True, slots=True)
class _Allowance:
    """What elements may err by, absolutely."""

    unit: float
    """The largest relative error of a rounding to the output's dtype."""
    least: float
    """Half of its smallest number: what rounding takes from those too small to be normal."""
    k: float
    floor: float

    @classmethod
    def of(cls, dtype: DType, k: float, floor: float) -> _Allowance:
        return cls(unit_roundoff(dtype), smallest(dtype) / 2, k, floor)

    def rounding(self, size: Any) -> Any:
        """The most that rounding takes from elements so large."""
        return np.maximum(self.unit * size, self.least)

    def rms(self, honest: Floats, size: Floats, lone: Floats) -> Floats:
        """RMS error of rectangles, given the honest result's, their RMS, and what it is if one element stands alone."""
        typical: Floats = np.maximum(honest, ROUNDING * self.rounding(size))
        found: Floats = self.k * np.hypot(typical, self.unit * lone) + self.floor * size
        return found


def as_matrix(array: NDArray[Any]) -> NDArray[Any]:
    """The last dimension as columns, all others folded into rows; a scalar is one by one."""
    return array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)


def _worst_region(parts: tuple[Floats, ...], whole: float, allowance: _Allowance) -> Region:
    """The region whose error is largest against its own limit, so that nothing small hides behind something large."""
    rows, columns = parts[0].shape
    found: list[Region] = []
    for height, width in sorted({_adapted(shape, rows, columns) for shape in REGION_SHAPES}):
        row_edges, column_edges = _edges(rows, height), _edges(columns, width)
        actual, honest, size, lone = _of_rectangles(parts, row_edges, column_edges)
        # The last term forgives dust where exact zeros are expected.
        limit = REGION_SLACK * allowance.rms(honest, size, lone) + 1e-6 * whole + np.finfo(np.float64).tiny
        ratio = actual / limit
        row, column = np.unravel_index(int(ratio.argmax()), ratio.shape)
        found.append(
            Region(
                rows=(row_edges[row], row_edges[row + 1]),
                columns=(column_edges[column], column_edges[column + 1]),
                ratio=float(ratio[row, column]),
            )
        )
    return max(found, key=lambda region: region.ratio)


def _adapted(shape: tuple[int, int], rows: int, columns: int) -> tuple[int, int]:
    """A region of about as many elements that fits the matrix."""
    height = min(shape[0], rows)
    width = min(max(shape[1], REGION // height), columns)
    return min(max(height, REGION // width), rows), width


def _edges(extent: int, step: int) -> list[int]:
    """Where regions begin, and the end; a rest of less than half a region joins its neighbour."""
    edges = list(range(0, extent, step))
    if len(edges) > 1 and extent - edges[-1] < step / 2:
        edges.pop()
    return [*edges, extent]


def _share_of_one_value(expected: Floats, honest: Floats) -> float:
    """The largest share of the sum of squares that elements of one value have: such ones err alike."""
    chosen = np.random.default_rng(0).integers(expected.size, size=min(expected.size, SAMPLE))
    sizes = np.abs(expected.reshape(-1)[chosen])
    squares = np.square(sizes / max(float(sizes.max()), np.finfo(np.float64).tiny))
    _, value = np.unique(np.abs(honest.reshape(-1)[chosen]), return_inverse=True)
    return float(np.bincount(value, squares).max() / squares.sum()) if squares.any() else 0.0


def _of_rectangles(parts: tuple[Floats, ...], rows: list[int], columns: list[int]) -> tuple[Floats, ...]:
    """RMS of error, honest error and what is expected, and what it is if its largest element stands alone.

    Args:
        parts: Squares of those three, and the sizes of what is expected, as matrices.
        rows: Where rectangles begin, and the end.
        columns: Likewise.
    """

    def reduced(how: np.ufunc, values: Floats) -> Floats:
        found: Floats = how.reduceat(how.reduceat(values, rows[:-1], axis=0), columns[:-1], axis=1)
        return found

    *squares, sizes = parts
    counts = np.outer(np.diff(rows), np.diff(columns))
    rms = (np.sqrt(reduced(np.add, values) / counts) for values in squares)
    return *rms, reduced(np.maximum, sizes) / np.sqrt(counts)
