"""Who gets which token: router weights whose loads look like those of trained, skewed and degenerate models."""

from __future__ import annotations

import torch

MEASURED = (1.78, 0.41)
"""Largest and least load over the mean that flux's table of a 32-expert training run shows (bytedance/flux,
`moe_utils.py`); loads in between are drawn evenly."""


def loads(E: int, skew: str, generator: torch.Generator) -> torch.Tensor:
    """Relative load of each expert, float32 [E], in random order.

    `even`, `measured` (see MEASURED), `skewed` (a heavy tail; some experts get next to nothing), `one` (everything to
    one expert, as far as top-k allows).
    """
    if skew == "even":
        found = torch.ones(E)
    elif skew == "measured":
        high, low = MEASURED
        found = torch.linspace(low, high, E)
    elif skew == "skewed":
        found = torch.logspace(0, -3, E)
    else:
        found = torch.full((E,), 1e-3)
        found[0] = 1.0
    return found[torch.randperm(E, generator=generator)]


def drawn_ids(T: int, E: int, TOPK: int, skew: str, generator: torch.Generator) -> torch.Tensor:
    """TOPK distinct experts a token by the given loads, int64 [T, TOPK], in order of preference."""
    race = torch.empty(T, E).exponential_(1.0, generator=generator) / loads(E, skew, generator)
    return race.topk(TOPK, dim=1, largest=False).indices
