"""Which blocks of a large grid are counted, and what each of them stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

Grid = tuple[int, int, int]

MOST_GROUPS = 256
"""Groups of blocks that are told apart; beyond, neighbouring blocks of a stratum share one."""
CORNER, INNER = "corner", "inner"
"""Strata. The others are the faces `x`, `y` and `z`: blocks that are last along that axis, where tiles are ragged."""


def choose_blocks(grid: Grid, count: int, seed: int) -> tuple[int, ...] | None:
    """About `count` linear block indices: the corners, two of each ragged face, one at random from each equal stretch.

    The draw depends on `seed` alone, which is minted after the candidate is frozen. None means the whole grid.
    """
    total = prod(grid)
    if total <= count:
        return None
    random = np.random.default_rng(seed)
    chosen = _corners(grid) | _on_faces(grid, random)
    edges = np.linspace(0, total, max(count - len(chosen), count // 2, 1) + 1).astype(np.int64)
    drawn = random.integers(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1))
    return tuple(sorted({*chosen, *(int(index) for index in drawn)}))


def blocks_at(grid: Grid, places: Collection[int], most: int, seed: int) -> tuple[int, ...]:
    """Linear indices of at most so many blocks, each with one of the places along an axis, anywhere along the others.

    Not to be counted by: they say nothing of the rest of the grid.
    """
    random = np.random.default_rng(seed)
    pairs = [(axis, place) for axis, extent in enumerate(grid) for place in sorted(places) if place < extent]
    some = (pairs[index] for index in random.permutation(len(pairs))[:most])
    return tuple(sorted({_block_at(grid, axis, place, random) for axis, place in some}))


@dataclass(frozen=True, slots=True)
class Stratum:
    """Blocks of one kind: how many there are, and which groups of blocks that ran stand for them."""

    size: int
    groups: tuple[int, ...]
    """In launch order."""
    counts: tuple[int, ...]
    """Blocks in each group."""

    @property
    def sampled(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Grouping:
    """The blocks of a sample as groups in strata."""

    groups: tuple[int, ...]
    """Of each block, in the sample's order."""
    strata: tuple[Stratum, ...]


def group_blocks(grid: Grid, blocks: Sequence[int]) -> Grouping:
    """Sort a sample into strata: corners, ragged faces and the inside.

    A stratum with fewer than two sampled blocks that are not all of its own is joined with the inside, since nothing
    is known of its spread.
    """
    sizes = _sizes(grid)
    kinds = [_kind(grid, block) for block in blocks]
    found = Counter(kinds)
    for kind in list(sizes):
        if kind != INNER and (found[kind] < min(2, sizes[kind]) or (not found[INNER] and sizes[INNER])):
            sizes[INNER] += sizes.pop(kind)
    kinds = [kind if kind in sizes else INNER for kind in kinds]
    strata: list[Stratum] = []
    group_of = [0] * len(blocks)
    first = 0
    for kind, size in sizes.items():
        members = sorted((block, i) for i, (block, its) in enumerate(zip(blocks, kinds, strict=True)) if its == kind)
        height = min(len(members), MOST_GROUPS)
        for position, (_, i) in enumerate(members):
            group_of[i] = first + position * height // len(members)
        counts = Counter(group_of[i] for _, i in members)
        if members:
            strata.append(Stratum(size, tuple(sorted(counts)), tuple(counts[group] for group in sorted(counts))))
        first += height
    return Grouping(tuple(group_of), tuple(strata))


def _place(grid: Grid, block: int) -> Grid:
    x, y, _ = grid
    return block % x, block // x % y, block // x // y


def _kind(grid: Grid, block: int) -> str:
    place = _place(grid, block)
    if all(at in (0, extent - 1) for at, extent in zip(place, grid, strict=True)):
        return CORNER
    faces = (axis for axis, at, extent in zip("xyz", place, grid, strict=True) if extent > 1 and at == extent - 1)
    return next(faces, INNER)


def _sizes(grid: Grid) -> dict[str, int]:
    """Blocks of each kind there is."""
    x, y, z = grid
    corners = _corners(grid)
    in_corner = Counter(_first_face(grid, block) for block in corners)
    along_x = y * z if x > 1 else 0
    along_y = (x - (x > 1)) * z if y > 1 else 0
    along_z = (x - (x > 1)) * (y - (y > 1)) if z > 1 else 0
    faces = {"x": along_x - in_corner["x"], "y": along_y - in_corner["y"], "z": along_z - in_corner["z"]}
    inner = prod(grid) - len(corners) - sum(faces.values())
    return {CORNER: len(corners), **{axis: size for axis, size in faces.items() if size}, INNER: inner}


def _first_face(grid: Grid, block: int) -> str:
    """The first axis along which a corner is last, as `_kind` would name it were it none."""
    place = _place(grid, block)
    faces = (axis for axis, at, extent in zip("xyz", place, grid, strict=True) if extent > 1 and at == extent - 1)
    return next(faces, INNER)


def _corners(grid: Grid) -> set[int]:
    x, y, z = grid
    return {i + x * (j + y * k) for i in (0, x - 1) for j in (0, y - 1) for k in (0, z - 1)}


def _on_faces(grid: Grid, random: np.random.Generator) -> set[int]:
    """Two blocks at random of each face that is last along an axis of more than two."""
    chosen = set()
    for axis, extent in enumerate(grid):
        if extent <= 2 or prod(grid) == extent:
            continue
        for _ in range(2):
            chosen.add(_block_at(grid, axis, extent - 1, random))
    return chosen


def _block_at(grid: Grid, axis: int, place: int, random: np.random.Generator) -> int:
    """A block with this place along an axis, anywhere along the others."""
    at = [int(random.integers(0, extent)) for extent in grid]
    at[axis] = place
    return at[0] + grid[0] * (at[1] + grid[1] * at[2])
