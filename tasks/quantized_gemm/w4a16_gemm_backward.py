"""Gradient of `w4a16_gemm` with respect to its activations: what fine-tuning over frozen 4-bit weights computes.

QLoRA (Dettmers et al. 2023, arXiv:2305.14314) trains small adapters in front of and behind quantised linear layers, and
sends gradients through those layers to their activations. Weights do not change, so nothing else is differentiated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from warpsmith.tasks import Backward, Cost, Output, Property, Role, Task, Tensor, Tolerance, Workload, intermediate
from warpsmith.tasks.quantized_gemm._inputs import with_nan, with_signs, with_zero_points

CODE_RMS = 4.64
"""RMS of a uniform 4-bit code minus 8."""
Tensors = dict[str, torch.Tensor]


def reference(
    dy: torch.Tensor, qweight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None = None
) -> torch.Tensor:
    """dx = dy @ W.T with W[k, n] = (nibble k % 8 of qweight[k // 8, n] - z) * scales[k // G, n].

    z is zeros[k // G, n], of 0 to 15; 8 where there are no zero points.
    """
    (K, N), groups = (qweight.shape[0] * 8, qweight.shape[1]), scales.shape[0]
    shifts = torch.arange(0, 32, 4, dtype=torch.int32).view(1, 8, 1)
    codes = ((qweight.unsqueeze(1) >> shifts) & 15).view(groups, K // groups, N)
    middle = zeros.to(torch.int32).unsqueeze(1) if zeros is not None else 8
    weight = ((codes - middle) * scales.unsqueeze(1)).view(K, N)
    return dy @ intermediate(weight, torch.float16).T


def weights(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Uniform codes; scales within a factor of three of each other that keep sums over N near one."""
    N, K, G = (dims[name] for name in "NKG")
    scales = torch.empty(K // G, N).uniform_(0.5, 1.5, generator=generator) / (CODE_RMS * N**0.5)
    words = torch.randint(-(2**31), 2**31, (K // 8, N), dtype=torch.int32, generator=generator)
    return {"qweight": words, "scales": scales.half()}


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Normal gradients."""
    dy = torch.randn(dims["M"], dims["N"], generator=generator).half()
    return {"dy": dy, **weights(dims, generator)}


def zero_points(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """As `normal`, each group with a zero point of its own, the ends among them."""
    return with_zero_points(normal(dims, generator), generator)


def signed(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """As `zero_points`, with scales of either sign, a tenth of them 0."""
    return with_signs(zero_points(dims, generator), generator)


def not_numbers(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """As `normal`, with one NaN in every third row of dy."""
    return with_nan(normal(dims, generator), "dy", generator)


def spikes(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Weak noise with one strong gradient in every row and stretch of 32 columns, and rows of mixed amplitude.

    Nothing can be left out unnoticed: the spike of each stretch carries it. The last column of every row is one too.
    """
    M, N = dims["M"], dims["N"]
    dy = torch.randn(M, N, generator=generator) * 0.1
    stretches = (N + 31) // 32
    place = torch.arange(stretches) * 32 + torch.randint(0, 32, (M, stretches), generator=generator)
    sign = torch.randint(0, 2, (M, stretches), generator=generator) * 2.0 - 1.0
    dy.scatter_(1, place.clamp_(max=N - 1), 4.0 * sign)
    dy[:, N - 1] = 4.0
    dy *= 2.0 ** torch.randint(-4, 4, (M, 1), generator=generator)
    return {"dy": dy.half(), **weights(dims, generator)}


def rows_permuted(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, torch.Tensor]:
    order = torch.randperm(dims["M"], generator=generator)
    inputs["dy"] = inputs["dy"][order]
    return inputs, order


def same_rows(first: Tensors, second: Tensors, order: torch.Tensor) -> dict[str, Any]:
    return {"dx": (first["dx"][order], second["dx"])}


def columns_permuted(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, None]:
    order = torch.randperm(dims["N"], generator=generator)
    for name in ("dy", "qweight", "scales", "zeros"):
        if name in inputs:
            inputs[name] = inputs[name][:, order]
    return inputs, None


def groups_permuted(
    inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator
) -> tuple[Tensors, torch.Tensor]:
    """Groups of G rows of the weights in another order, which is that of stretches of G columns of dx."""
    N, K, G = (dims[name] for name in "NKG")
    order = torch.randperm(K // G, generator=generator)
    inputs["qweight"] = inputs["qweight"].view(K // G, G // 8, N)[order].reshape(K // 8, N)
    for name in ("scales", "zeros"):
        if name in inputs:
            inputs[name] = inputs[name][order]
    return inputs, order


def same_stretches(first: Tensors, second: Tensors, order: torch.Tensor) -> dict[str, Any]:
    one, other = (item["dx"].view(item["dx"].shape[0], len(order), -1) for item in (first, second))
    return {"dx": (one[:, order], other)}


def alike(first: Tensors, second: Tensors, known: Any) -> dict[str, Any]:
    return {"dx": (first["dx"], second["dx"])}


def cost(dims: Mapping[str, int]) -> Cost:
    """Tensor-core multiply-adds; every operand read once and the gradient written once, without zero points."""
    M, N, K, G = (dims[name] for name in "MNKG")
    return Cost(flops=2 * M * N * K, bytes=K * N / 2 + 2 * (K // G) * N + 2 * M * N + 2 * M * K, unit="fp16")


def verify(name: str, M: int, N: int, K: int, G: int, distribution: str) -> Workload:
    return Workload(name, {"M": M, "N": N, "K": K, "G": G}, distribution)


def bench(layer: str, M: int, N: int, K: int, source: str) -> Workload:
    return Workload(f"{layer}, M = {M}", {"M": M, "N": N, "K": K, "G": 128}, "normal", source=source)


LLAMA_2 = "Llama 2 (Touvron et al. 2023, arXiv:2307.09288)"
LLAMA_3 = "Llama 3 (Grattafiori et al. 2024, arXiv:2407.21783)"

TASK = Task(
    name="w4a16_gemm_backward",
    family="quantized_gemm",
    summary="dx = dy @ dequantise(qweight, scales).T: the gradient of w4a16_gemm with respect to its activations",
    dims=("M", "N", "K", "G"),
    fixed=("G",),
    constraints=("M >= 1", "N >= 1", "K >= 8", "G >= 8", "K % 8 == 0", "G % 8 == 0", "K % G == 0"),
    inputs=(
        Tensor("dy", ("M", "N"), "float16"),
        Tensor("qweight", ("K // 8", "N"), "int32", Role.STATIC),
        Tensor("scales", ("K // G", "N"), "float16", Role.STATIC),
        Tensor("zeros", ("K // G", "N"), "uint8", Role.STATIC, optional=True),
    ),
    outputs=(Output("dx", ("M", "K"), "float16"),),
    backward=Backward(of="w4a16_gemm", upstream={"dy": "y"}, gradients={"dx": "x"}),
    reference=reference,
    make_inputs={
        "normal": normal,
        "spikes": spikes,
        "zero points": zero_points,
        "signed": signed,
        "not numbers": not_numbers,
    },
    properties=(
        Property("permuting rows of dy permutes rows of dx", rows_permuted, same_rows),
        Property("permuting groups of the weights permutes stretches of dx", groups_permuted, same_stretches),
        Property("the order of the columns that are summed does not matter", columns_permuted, alike),
    ),
    verify=(
        verify("one row", 1, 512, 256, 128, "normal"),
        verify("ragged M and N", 17, 131, 256, 64, "spikes"),
        verify("one group", 8, 96, 256, 256, "normal"),
        verify("many small groups", 33, 64, 192, 32, "spikes"),
        verify("three columns", 20, 3, 128, 32, "normal"),
        verify("ragged K", 6, 50, 72, 72, "spikes"),
        verify("long N", 2, 4096, 64, 64, "spikes"),
        verify("whole tiles", 64, 128, 256, 128, "normal"),
        verify("zero points, groups of 64", 19, 72, 192, 64, "zero points"),
        verify("scales of either sign and 0", 9, 56, 128, 32, "signed"),
        verify("NaN in some rows", 7, 48, 96, 32, "not numbers"),
    ),
    bench=(
        bench("Llama-2-7B output", 128, 4096, 4096, f"{LLAMA_2}: hidden size 4096; a short sequence"),
        bench("Llama-2-7B down", 512, 4096, 11008, f"{LLAMA_2}: hidden size 4096 from 11008; a sequence of 512"),
        bench("Llama-3-8B qkv", 256, 6144, 4096, f"{LLAMA_3}: 4096 + 2 x 1024 from hidden size 4096; half of that"),
        bench("Llama-2-13B output", 32, 5120, 5120, f"{LLAMA_2}: hidden size 5120; the last tokens of a sequence"),
    ),
    cost=cost,
    # As in w4a16_gemm: half-precision accumulation shows 1.5e-3 relative.
    tolerance=Tolerance(k=3.0, floor=4e-4, floor_largest=3e-3),
)
