"""Which blocks of a large grid are counted."""

from __future__ import annotations

from math import prod

import numpy as np


def choose_blocks(grid: tuple[int, int, int], count: int, seed: int) -> tuple[int, ...] | None:
    """About `count` linear block indices: the first, the last, the corners, and one at random from each equal stretch.

    The draw depends on `seed` alone, which is minted after the candidate is frozen. None means the whole grid.
    """
    total = prod(grid)
    if total <= count:
        return None
    random = np.random.default_rng(seed)
    edges = np.linspace(0, total, max(count - 4, 1) + 1).astype(np.int64)
    drawn = random.integers(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1))
    return tuple(sorted({*_corners(grid), *(int(index) for index in drawn)}))


def _corners(grid: tuple[int, int, int]) -> set[int]:
    x, y, z = grid
    return {i + x * (j + y * k) for i in (0, x - 1) for j in (0, y - 1) for k in (0, z - 1)}
