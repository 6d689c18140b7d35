"""Classes of sizes that hidden workloads are drawn from, each between the least and the largest that may be."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import exp, isqrt, log

TILES = (8, 16, 32, 64, 128)
"""Along each dimension, that kernels are often cut into."""


def scattered(low: int, high: int, count: int, draw: random.Random) -> list[int]:
    """So many whole numbers from `low` to `high`, small ones as often as large ones by their logarithm."""
    if low > high:
        return []
    ends = log(max(low, 1)), log(max(high, 1) + 1)
    return [min(max(int(exp(draw.uniform(*ends))), low), high) for _ in range(count)]


def primes(low: int, high: int) -> list[int]:
    return [size for size in range(max(low, 2), high + 1) if all(size % d for d in range(2, isqrt(size) + 1))]


def near_tiles(low: int, high: int, by: int) -> list[int]:
    sizes = {tile * times + by for tile in TILES for times in (1, 2, 3)}
    return sorted(size for size in sizes if low <= size <= high)


SCANT = ("one", "empty")
"""Classes in which little is left to get wrong where all dimensions have them."""

CLASSES: dict[str, Callable[[int, int], list[int]]] = {
    "prime": primes,
    "one past a tile in": lambda low, high: near_tiles(low, high, 1),
    "one short of a tile in": lambda low, high: near_tiles(low, high, -1),
    "whole tiles of": lambda low, high: near_tiles(low, high, 0),
    "one": lambda low, high: [1],
    "empty": lambda low, high: [0],
    "unseen": lambda low, high: list(range(max(low, 1), high + 1, max(1, high // 256))),
    "larger": lambda low, high: [high + step for step in (1, 7, 8, 16, 32, 64, 128, 256, high)],
}
"""Given the least and the largest size, what a dimension may take."""
