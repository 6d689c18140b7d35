"""Native sparse attention: flash-linear-attention's Triton kernels."""

from __future__ import annotations

from typing import Any

import torch

from warpsmith.core.task import Baseline


def fla_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    block_ids: torch.Tensor,
    cu_seqlens: torch.Tensor,
    key_bias: torch.Tensor | None,
    BS: int,
) -> Any:
    from fla.ops.nsa.parallel import parallel_nsa

    if key_bias is not None:
        raise ValueError("it takes no bias of keys")
    out = parallel_nsa(
        q.unsqueeze(0),
        k.unsqueeze(0),
        v.unsqueeze(0),
        block_indices=block_ids.transpose(0, 1).unsqueeze(0).contiguous(),
        block_counts=block_ids.shape[2],
        block_size=BS,
        cu_seqlens=cu_seqlens.to(torch.int64),
    )
    return {"out": out.squeeze(0)}


def fla_topk(q: torch.Tensor, kc: torch.Tensor, cu_seqlens: torch.Tensor, BS: int, S: int) -> Any:
    from fla.ops.nsa.parallel import parallel_nsa_topk

    if len(cu_seqlens) > 2 or len(q) % BS:
        raise ValueError("it lays incomplete blocks of several sequences out in another way")
    return parallel_nsa_topk(
        q.unsqueeze(0),
        kc.unsqueeze(0),
        TK=len(q),
        lse=None,
        block_counts=S,
        block_size=BS,
        scale=q.shape[-1] ** -0.5,
        cu_seqlens=cu_seqlens.to(torch.int64),
    )


BASELINES = {
    "nsa_selected_attention": (Baseline("fla parallel_nsa", "fla", fla_attention),),
    "nsa_block_topk": (
        Baseline("fla parallel_nsa_topk", "fla", fla_topk, note="always takes the last block but one as well"),
    ),
}
