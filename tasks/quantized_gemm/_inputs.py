"""What the distributions of both tasks have in common: changes to inputs that were drawn."""

from __future__ import annotations

import torch

Tensors = dict[str, torch.Tensor]


def with_zero_points(inputs: Tensors, generator: torch.Generator) -> Tensors:
    """Each group with a zero point of its own, the ends among them."""
    zeros = torch.randint(0, 16, inputs["scales"].shape, dtype=torch.uint8, generator=generator)
    return {**inputs, "zeros": zeros}


def with_signs(inputs: Tensors, generator: torch.Generator) -> Tensors:
    """Scales of either sign, a tenth of them 0."""
    scales = inputs["scales"]
    sign = torch.randint(0, 2, scales.shape, generator=generator) * 2 - 1
    kept = torch.rand(scales.shape, generator=generator) >= 0.1
    return {**inputs, "scales": scales * sign.half() * kept.half()}


def with_nan(inputs: Tensors, name: str, generator: torch.Generator) -> Tensors:
    """One NaN in every third row of an input, from a random one on: it spoils that row of the result and no other."""
    values = inputs[name].clone()
    rows, length = values.shape
    start = int(torch.randint(0, 3, (1,), generator=generator))
    spoiled = torch.arange(rows)[start::3]
    values[spoiled, torch.randint(0, length, (len(spoiled),), generator=generator)] = float("nan")
    return {**inputs, name: values}
