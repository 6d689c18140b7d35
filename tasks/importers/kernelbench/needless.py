"""Which multiply-adds of a matrix product no kernel has to do: those with a zero that stands there in every draw."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from warpsmith.tasks.importers.kernelbench.domain import Domain
from warpsmith.tasks.importers.kernelbench.probe import Kinds, Probe, Seen, operator_name, product_extents
from warpsmith.tasks.importers.kernelbench.values import call
from warpsmith.tasks.watch import watching

if TYPE_CHECKING:
    import torch

EXTENTS = 24, 72
"""Of every free size. A share that is the same at both, rounded, is taken for the same everywhere."""
DRAWS = 6
"""How often values are drawn: what a mask or an activation makes zero is elsewhere the next time."""
MOST_FLOPS, MOST_ELEMENTS = 1e9, 1e7
"""Of a problem that is tried: a second or so on a CPU."""
CHANCE = 0.02
"""Share of multiply-adds that may be zero in all draws without anybody's intent."""


def divisors(probe: Probe, domain: Domain, kinds: Kinds) -> tuple[int, ...]:
    """By what to divide the work of each product, in the order they run, so that no kernel can do with less.

    1 for full operands; 2 where one is triangular and 6 where both are; 0 where what is needed grows less than the
    product does, as with a diagonal matrix. Convolutions count whole. Empty where there is nothing else, where the
    problem is too large to try, or where it runs otherwise with values.
    """
    shares: list[list[int]] = []
    for extent in EXTENTS:
        sizes = domain.bound({name: allowed.up(extent) for name, allowed in domain.free.items()})
        seen = probe.at(sizes)
        if not isinstance(seen, Seen) or all(item.operator == "convolution" for item in seen.products):
            return ()
        if seen.flops > MOST_FLOPS or seen.elements > MOST_ELEMENTS:
            return ()
        found = _needed(probe, [sizes[name] for name in probe.names], kinds)
        if len(found) != len(seen.products) or any(len(found) != len(others) for others in shares):
            return ()  # a loop over a free size multiplies once a step
        shares.append(found)
    return tuple(small if small == large else 0 for small, large in zip(*shares, strict=True))


def _needed(probe: Probe, sizes: Sequence[int], kinds: Kinds) -> list[int]:
    """All multiply-adds over the needed ones, rounded up, by product."""
    drawn = [_operands(probe, sizes, kinds, seed) for seed in range(DRAWS)]
    if len({len(item) for item in drawn}) != 1:
        return []
    shares = []
    for same in zip(*drawn, strict=True):
        first, second = (_ever_nonzero([pair[side] for pair in same]) for side in (0, 1))
        if first is None or second is None:
            shares.append(1)
            continue
        # Element k of a row meets row k of the other: [..., k] times [..., k].
        needed = float((first.sum(dim=-2) * second.sum(dim=-1)).sum())
        full = float(first.numel() * second.shape[-1])
        shares.append(1 if needed >= (1 - CHANCE) * full else ceil(full / needed) if needed else 0)
    return shares


def _ever_nonzero(values: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    import torch

    masks = [value for value in values if value is not None]
    return torch.stack(masks).any(dim=0).double() if masks else None


def _operands(
    probe: Probe, sizes: Sequence[int], kinds: Kinds, seed: int
) -> list[tuple[torch.Tensor | None, torch.Tensor | None]]:
    """Where both operands of each product differ from zero; None of a convolution."""
    found: list[tuple[torch.Tensor | None, torch.Tensor | None]] = []

    def look(func: Any, args: Any, kwargs: Any, result: Any) -> None:
        name = operator_name(func)
        if product_extents(name, args, result):
            found.append(_nonzero(name, args))

    with watching(look):
        call(probe.problem, sizes, kinds, seed)
    return found


def _nonzero(name: str, args: Sequence[Any]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    match name:
        case "mm" | "bmm":
            first, second = args[0], args[1]
        case "addmm" | "baddbmm":
            first, second = args[1], args[2]
        case "mv":
            first, second = args[0], args[1].unsqueeze(1)
        case "dot":
            first, second = args[0].unsqueeze(0), args[1].unsqueeze(1)
        case _:
            return None, None
    return first != 0, second != 0
