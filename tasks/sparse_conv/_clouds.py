"""Voxel clouds as networks see them: surfaces met by a spinning LiDAR, rooms, and uniform noise."""

from __future__ import annotations

from collections.abc import Callable

import torch

Cloud = Callable[[int, torch.Generator], torch.Tensor]
"""About so many points in metres of one voxel, float64 [n, 3], repeats included."""


def rand(*shape: int, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def lidar(count: int, generator: torch.Generator) -> torch.Tensor:
    """Rings of a spinning sensor on the ground, broken by boxes: dense near the middle, sparse far out."""
    reach = 4.0 + count**0.5 / 4
    distance = 2.0 + reach * rand(count, generator=generator).square()
    angle = 6.283185307179586 * rand(count, generator=generator)
    ring = (distance / reach * 32).floor() * reach / 32
    boxes = rand(12, 3, generator=generator) * torch.tensor([2 * reach, 2 * reach, 6.0]) - torch.tensor(
        [reach, reach, 0.0]
    )
    x, y = ring * angle.cos(), ring * angle.sin()
    z = 0.5 * (x / reach * 3).sin()
    near = (x.view(-1, 1) - boxes[:, 0]).abs().maximum((y.view(-1, 1) - boxes[:, 1]).abs()) < reach / 10
    inside = near.any(dim=1)
    z = torch.where(inside, boxes[near.to(torch.int8).argmax(dim=1), 2] * rand(count, generator=generator), z)
    return torch.stack([x, y, z], dim=1)


def indoor(count: int, generator: torch.Generator) -> torch.Tensor:
    """Floor, walls and spheres of a room: surfaces of one voxel's thickness."""
    edge = max(3.0, (count / 28) ** 0.5)
    points = rand(count, 3, generator=generator) * edge
    kind = torch.randint(0, 6, (count,), generator=generator)
    for axis in range(3):
        points[kind == axis, axis] = 0.0
    centres = rand(4, 3, generator=generator) * edge
    direction = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    direction = direction / direction.norm(dim=1, keepdim=True).clamp(min=1e-9)
    spheres = centres[torch.randint(0, 4, (count,), generator=generator)] + direction * edge / 6
    return torch.where((kind >= 3).view(-1, 1), spheres, points)


def uniform(count: int, generator: torch.Generator) -> torch.Tensor:
    """Uniform in a cube that is filled to a tenth: about two neighbours a voxel."""
    edge = max(2.0, float((10.0 * count) ** (1 / 3)))
    return rand(count, 3, generator=generator) * edge


def sites(count: int, cloud: Cloud, generator: torch.Generator, batches: int = 2) -> torch.Tensor:
    """Exactly `count` distinct sites, int32 [count, 4] as (batch, x, y, z), x, y and z not negative, in random order.

    Sites of different batches may have equal coordinates.
    """
    if not count:
        return torch.zeros(0, 4, dtype=torch.int32)
    points = cloud(4 * count + 16, generator)
    cells = (points - points.amin(dim=0)).floor().to(torch.int64)
    batch = torch.randint(0, batches, (len(cells), 1), generator=generator)
    found = distinct(torch.cat([batch, cells], dim=1))
    if len(found) < count:
        # Where the cloud has too few cells its missing ones are taken from a block of cells above it.
        edge = int(count ** (1 / 3)) + 2
        block = torch.cartesian_prod(*[torch.arange(edge)] * 3) + torch.tensor([0, 0, int(found[:, 3].max()) + 1])
        extra = torch.cat([torch.zeros(len(block), 1, dtype=torch.int64), block], dim=1)
        found = torch.cat([found, extra])
    return found[torch.randperm(len(found), generator=generator)[:count]].to(torch.int32)


def keys(coords: torch.Tensor) -> torch.Tensor:
    """One int64 a site, equal for equal sites alone; coordinates from -2^14 to 2^15."""
    wide = coords.to(torch.int64) + torch.tensor([0, 1 << 14, 1 << 14, 1 << 14])
    return ((wide[..., 0] << 48) | (wide[..., 1] << 32) | (wide[..., 2] << 16)) | wide[..., 3]


def distinct(coords: torch.Tensor) -> torch.Tensor:
    """The distinct sites in ascending order, of the same dtype; coordinates from 0 to 2^15."""
    unique = torch.unique(keys(coords))
    parts = [unique >> 48, *[((unique >> shift) & 0xFFFF) - (1 << 14) for shift in (32, 16)], unique & 0xFFFF]
    parts[3] = parts[3] - (1 << 14)
    return torch.stack(parts, dim=1).to(coords.dtype)


def bits_apart(count: int, generator: torch.Generator) -> torch.Tensor:
    """Exactly `count` sites, int32 [count, 4]: half are others with one bit of a coordinate or of the batch turned.

    Any of their 15 bits; half of those have another coordinate one lower, too. Keys that leave a bit out, or let one
    axis run into the next, are equal there.
    """
    if not count:
        return torch.zeros(0, 4, dtype=torch.int32)
    pool = sites(2 * count, indoor, generator).to(torch.int64)
    first, row = pool[: (count + 1) // 2], torch.arange((count + 1) // 2)
    twins = first.clone()
    axis, bit, step = (torch.randint(0, high, (len(row),), generator=generator) for high in (4, 15, 6))
    twins[row, axis] ^= 1 << bit
    lower = (axis + 1 + step % 3) % 4
    twins[row, lower] = torch.where(step > 2, (twins[row, lower] - 1).clamp(min=0), twins[row, lower])
    found = torch.cat([first, twins, pool])
    _, same = torch.unique(keys(found), return_inverse=True)
    place = torch.full((len(found),), len(found)).scatter_reduce(0, same, torch.arange(len(found)), "amin")
    chosen = found[place[place < len(found)].sort().values[:count]]
    return chosen[torch.randperm(count, generator=generator)].to(torch.int32)


def lattice(count: int, generator: torch.Generator) -> torch.Tensor:
    """Exactly `count` sites, int32 [count, 4], at multiples of a power of two: all low bits of all keys are equal."""
    found = sites(count, uniform, generator, batches=1)
    most = (1 << 15) // (int(found.max()) + 1) if count else 1
    pitch = min(1 << int(torch.randint(4, 9, (1,), generator=generator)), 1 << (most.bit_length() - 1))
    return found * torch.tensor([1, pitch, pitch, pitch], dtype=torch.int32)


def solid(count: int, generator: torch.Generator) -> torch.Tensor:
    """Exactly `count` sites, int32 [count, 4], of a filled box somewhere: those inside have every neighbour."""
    edge = 1
    while edge**3 < count:
        edge += 1
    cells = torch.cartesian_prod(*[torch.arange(edge)] * 3)[:count].view(count, 3)
    at = torch.randint(0, (1 << 15) - edge, (4,), generator=generator)
    found = torch.cat([torch.zeros(count, 1, dtype=torch.int64), cells], dim=1) + at
    return found[torch.randperm(count, generator=generator)].to(torch.int32)


def kernel_map(coords: torch.Tensor, out_coords: torch.Tensor, KS: int) -> torch.Tensor:
    """Row of `coords` at every output site plus every offset, or -1; int32 [NOUT, KS ** 3], x slowest among offsets."""
    offsets = torch.cartesian_prod(*[torch.arange(KS) - KS // 2] * 3)
    shifts = torch.cat([torch.zeros(len(offsets), 1, dtype=torch.int64), offsets], dim=1)
    wanted = keys(out_coords.to(torch.int64).unsqueeze(1) + shifts)
    if not len(coords):
        return torch.full(wanted.shape, -1, dtype=torch.int32)
    ordered, order = keys(coords).sort()
    place = torch.searchsorted(ordered, wanted).clamp(max=len(ordered) - 1)
    return torch.where(ordered[place] == wanted, order[place], -1).to(torch.int32)
