"""Sparse convolution: spconv's own index and product kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from warpsmith.core.task import Baseline

Inputs = Mapping[str, Any]


def pair_lists(kmap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The map as spconv has it: int32 [2, V, NOUT], each offset's inputs and outputs, -1 behind; and their numbers."""
    pairs = torch.full((2, kmap.shape[1], kmap.shape[0]), -1, dtype=torch.int32, device=kmap.device)
    counts = (kmap >= 0).sum(dim=0).to(torch.int32)
    for offset in range(kmap.shape[1]):
        rows = (kmap[:, offset] >= 0).nonzero().squeeze(1)
        pairs[0, offset, : len(rows)] = kmap[rows, offset]
        pairs[1, offset, : len(rows)] = rows.to(torch.int32)
    return pairs, counts


def listed(feats: torch.Tensor, w: torch.Tensor, kmap: torch.Tensor) -> Inputs:
    """Pair lists in place of the map, filters with outputs before inputs."""
    pairs, counts = pair_lists(kmap)
    return {
        "features": feats,
        "filters": w.transpose(1, 2).contiguous(),
        "indice_pairs": pairs,
        "indice_pair_num": counts,
        "num_activate_out": len(kmap),
    }


def convolve(**given: Any) -> Any:
    from spconv.constants import FILTER_HWIO
    from spconv.pytorch.ops import indice_conv

    if FILTER_HWIO:
        raise ValueError("it was built for filters with inputs before outputs")
    return indice_conv(**given)


def shifted(coords: torch.Tensor, KS: int, STRIDE: int) -> Inputs:
    """Coordinates from zero on, as spconv's grids begin there."""
    moved = coords.clone()
    moved[:, 1:] -= coords[:, 1:].amin(dim=0)
    return {
        "indices": moved,
        "batch_size": int(moved[:, 0].max()) + 1,
        "spatial_shape": [int(extent) + 1 for extent in moved[:, 1:].amax(dim=0)],
        "ksize": KS,
        "stride": STRIDE,
    }


def pairs_of(indices: torch.Tensor, batch_size: int, spatial_shape: list[int], ksize: int, stride: int) -> Any:
    from spconv.algo import ConvAlgo
    from spconv.pytorch.ops import get_indice_pairs

    return get_indice_pairs(
        indices,
        batch_size,
        spatial_shape,
        ConvAlgo.Native,
        ksize,
        stride,
        padding=ksize // 2,
        dilation=1,
        out_padding=0,
        subm=stride == 1,
    )


BASELINES = {
    "spconv_forward": (
        Baseline("spconv indice_conv", "spconv", convolve, listed, note="its pair lists are made outside the time"),
    ),
    "spconv_kernel_map": (
        Baseline(
            "spconv get_indice_pairs",
            "spconv",
            pairs_of,
            shifted,
            note="gives pair lists; with a stride, sites at which no input lies as well",
        ),
    ),
}
