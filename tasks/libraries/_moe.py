"""Mixtures of experts: PyTorch's grouped product, vLLM's and FlashInfer's fused layers, vLLM's sort."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from warpsmith.core.task import Baseline

Inputs = Mapping[str, Any]


def route(x: torch.Tensor, router: torch.Tensor, TOPK: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares (float32) and ids (int32) of each token's experts, [T, TOPK] each."""
    best = (x @ router.T).float().topk(TOPK, dim=1)
    return torch.softmax(best.values, dim=1), best.indices.to(torch.int32)


def apart(w1: torch.Tensor, *, gate_first: bool) -> torch.Tensor:
    """The task interleaves gate and up rows; libraries want one half after the other."""
    gate, up = w1[:, 0::2], w1[:, 1::2]
    return torch.cat([gate, up] if gate_first else [up, gate], dim=1).contiguous()


def halves(x: torch.Tensor, router: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, TOPK: int) -> Inputs:
    """Gate rows before up rows."""
    return {"x": x, "router": router, "w1": apart(w1, gate_first=True), "w2": w2, "TOPK": TOPK}


def other_halves(x: torch.Tensor, router: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, TOPK: int) -> Inputs:
    """Up rows before gate rows."""
    return {"x": x, "router": router, "w1": apart(w1, gate_first=False), "w2": w2, "TOPK": TOPK}


def grouped(x: torch.Tensor, router: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, TOPK: int) -> torch.Tensor:
    """Tokens sorted by expert, two grouped products, and a sum in the order of the experts."""
    share, ids = route(x, router, TOPK)
    expert = ids.flatten()
    order = expert.argsort(stable=True)
    token = order // TOPK
    ends = (expert.unsqueeze(1) == torch.arange(len(w1))).sum(dim=0).cumsum(0).to(torch.int32)
    multiply = torch.nn.functional.grouped_mm
    both = multiply(x[token], w1.transpose(1, 2), offs=ends)
    gate, up = both.chunk(2, dim=1)
    out = multiply(torch.nn.functional.silu(gate) * up, w2.transpose(1, 2), offs=ends)
    weighted = out * share.flatten()[order].unsqueeze(1).to(out.dtype)
    return torch.zeros_like(x).index_add_(0, token, weighted)


def vllm_fused(x: torch.Tensor, router: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, TOPK: int) -> Any:
    from vllm.model_executor.layers.fused_moe import fused_experts

    share, ids = route(x, router, TOPK)
    return fused_experts(x, w1, w2, share, ids)


def flashinfer_fused(x: torch.Tensor, router: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, TOPK: int) -> Any:
    from flashinfer.fused_moe import cutlass_fused_moe

    share, ids = route(x, router, TOPK)
    answer = cutlass_fused_moe(x, ids, share, w1, w2, x.dtype, quant_scales=[])
    return answer[0] if isinstance(answer, list | tuple) else answer


def vllm_align(topk_ids: torch.Tensor, E: int) -> Any:
    from vllm.model_executor.layers.fused_moe.moe_align_block_size import moe_align_block_size

    return moe_align_block_size(topk_ids, 64, E)


BASELINES = {
    "moe_forward": (
        Baseline("torch grouped_mm", "torch", grouped, halves),
        Baseline("vllm fused_experts", "vllm", vllm_fused, halves),
        Baseline("flashinfer cutlass_fused_moe", "flashinfer", flashinfer_fused, other_halves),
    ),
    "moe_routing_metadata": (
        Baseline(
            "vllm moe_align_block_size",
            "vllm",
            vllm_align,
            note="pads each expert's tokens to a multiple of 64 and gives no inverse",
        ),
    ),
}
