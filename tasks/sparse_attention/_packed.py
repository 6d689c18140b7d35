"""Packed sequences and block selections that the attention tasks draw their inputs from."""

from __future__ import annotations

from collections.abc import Mapping

import torch

CACHED = 1 << 20
"""Elements of an intermediate that a reference holds at a time: as many as stay in a cache."""


def parts(items: torch.Tensor, each: int) -> tuple[torch.Tensor, ...]:
    """As many of the items at a time as a cache holds of what is made of them, `each` elements of one; at least one."""
    return torch.split(items, max(1, CACHED // each))


def lengths(T: int, B: int, generator: torch.Generator) -> torch.Tensor:
    """Lengths of B sequences that sum to T, int64 [B]: uneven, some of a single token, some empty where T is small."""
    cuts = torch.randint(0, T + 1, (max(B - 1, 0),), generator=generator)
    if B > 2 and T > 1:
        cuts[0] = 1  # a sequence of one token
    edges = torch.cat([torch.zeros(1, dtype=torch.int64), cuts.sort().values, torch.tensor([T])])
    return edges.diff()


def offsets(sizes: torch.Tensor) -> torch.Tensor:
    """`cu_seqlens`, int32 [B + 1], of lengths [B]."""
    return torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]).to(torch.int32)


def places(cu_seqlens: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First token of the sequence of each row, and the row's place in it; int64, of the rows' shape."""
    edges = cu_seqlens.to(torch.int64)
    first = edges[torch.searchsorted(edges, rows, right=True) - 1]
    return first, rows - first


def distinct(ids: torch.Tensor) -> torch.Tensor:
    """Ids along the last dimension in ascending order with repeated ones turned into -1."""
    ids = ids.sort(dim=-1).values
    ids[..., 1:][ids[..., 1:] == ids[..., :-1]] = -1
    return ids


def skewed_selection(dims: Mapping[str, int], own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Block ids int32 [H, T, S] as trained models pick them: the first block, the own and nearby ones, some far ones.

    Every early row has fewer blocks than S to pick from, and repeats leave holes, at either end.

    Args:
        dims: Dimensions of the task.
        own: Block of each token in its own sequence, int64 [T].
        generator: Source of randomness.
    """
    H, T, S = (dims[name] for name in "HTS")
    near = torch.empty(H, T, S).exponential_(0.7, generator=generator).to(torch.int64)
    far = (torch.rand(H, T, S, generator=generator).square() * (own + 1).view(1, T, 1)).to(torch.int64)
    ids = torch.where(torch.rand(H, T, S, generator=generator) < 0.5, own.view(1, T, 1) - near, far)
    ids.clamp_(min=-1)
    if S > 1:
        ids[..., 0] = 0
        ids[..., 1] = own
    return distinct(ids).to(torch.int32)


def any_selection(dims: Mapping[str, int], own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Any distinct blocks of the sequence, later ones too, in any order, a third of them holes; int32 [H, T, S]."""
    H, T, S = (dims[name] for name in "HTS")
    ids = (torch.rand(H, T, S, generator=generator) * (own + 3).view(1, T, 1)).to(torch.int64)
    ids = distinct(ids)
    ids[torch.rand(H, T, S, generator=generator) < 0.33] = -1
    order = torch.rand(H, T, S, generator=generator).argsort(dim=-1)
    return ids.gather(-1, order).to(torch.int32)
