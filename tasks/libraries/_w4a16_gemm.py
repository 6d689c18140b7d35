"""4-bit weights times fp16 activations: cuBLAS on weights widened beforehand, and vLLM's Marlin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from warpsmith.core.task import Baseline

Inputs = Mapping[str, Any]


def widened(qweight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None) -> torch.Tensor:
    """The whole weight in fp16, [K, N]."""
    (K, N), groups = (qweight.shape[0] * 8, qweight.shape[1]), scales.shape[0]
    shifts = torch.arange(0, 32, 4, dtype=torch.int32).view(1, 8, 1)
    codes = ((qweight.unsqueeze(1) >> shifts) & 15).view(groups, K // groups, N)
    middle = zeros.to(torch.int32).unsqueeze(1) if zeros is not None else 8
    return ((codes - middle) * scales.unsqueeze(1)).view(K, N)


def widen(x: torch.Tensor, qweight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None) -> Inputs:
    return {"x": x, "weight": widened(qweight, scales, zeros)}


def widen_across(dy: torch.Tensor, qweight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None) -> Inputs:
    """For the gradient with respect to x: dy times the transposed weight."""
    return {"x": dy, "weight": widened(qweight, scales, zeros).T}


def dense(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x @ weight


def repack(x: torch.Tensor, qweight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None) -> Inputs:
    """Weights and scales in Marlin's order. Codes come as GPTQ packs them, which is how the task has them."""
    from vllm import _custom_ops as ops
    from vllm.model_executor.layers.quantization.utils import marlin_utils
    from vllm.scalar_type import scalar_types

    K, N = x.shape[1], qweight.shape[1]
    none = torch.empty(0, dtype=torch.int32, device=x.device)
    group = K // scales.shape[0]
    points = none
    if zeros is not None:
        points = marlin_utils.marlin_zero_points(zeros.to(torch.int32), scales.shape[0], N, 4)
    return {
        "input": x,
        "weight": ops.gptq_marlin_repack(qweight, none, K, N, 4),
        "weight_scale": marlin_utils.marlin_permute_scales(scales, K, N, group),
        "weight_zp": points,
        "g_idx": none,
        "g_idx_sort_indices": none,
        "workspace": marlin_utils.marlin_make_workspace_new(x.device),
        "wtype": scalar_types.uint4b8 if zeros is None else scalar_types.uint4,
        "output_size_per_partition": N,
        "input_size_per_partition": K,
        "is_k_full": True,
    }


def marlin(**packed: Any) -> Any:
    from vllm.model_executor.layers.quantization.utils.marlin_utils import apply_gptq_marlin_linear

    return apply_gptq_marlin_linear(**packed)


BASELINES = {
    "w4a16_gemm": (
        Baseline("cuBLAS on fp16 weights", "torch", dense, widen),
        Baseline("vllm marlin", "vllm", marlin, repack),
    ),
    "w4a16_gemm_backward": (Baseline("cuBLAS on fp16 weights", "torch", dense, widen_across),),
}
