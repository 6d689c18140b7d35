"""fp16 activations times 4-bit weights with group scales: the linear layer of a GPTQ-quantised language model.

The problem is MARLIN's (Frantar et al., "MARLIN: Mixed-Precision Auto-Regressive Parallel Inference on Large Language
Models", 2024): 4-bit codes, one fp16 scale per column and group of G rows; G = K is one scale a column. Codes are
symmetric around 8, unless zero points say otherwise, as AWQ's do (Lin et al. 2023, arXiv:2306.00978). Weights are
static, so a kernel may repack them once in a `[[prepare]]` launch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from warpsmith.tasks import Cost, Output, Property, Role, Task, Tensor, Tolerance, Workload, intermediate
from warpsmith.tasks.quantized_gemm._inputs import with_nan, with_signs, with_zero_points

CODE_RMS = 4.64
"""RMS of a uniform 4-bit code minus 8."""
Tensors = dict[str, torch.Tensor]


def reference(
    x: torch.Tensor, qweight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None = None
) -> torch.Tensor:
    """Y = x @ W with W[k, n] = (nibble k % 8 of qweight[k // 8, n] - z) * scales[k // G, n].

    z is zeros[k // G, n], of 0 to 15; 8 where there are no zero points.
    """
    (K, N), groups = (x.shape[1], qweight.shape[1]), scales.shape[0]
    shifts = torch.arange(0, 32, 4, dtype=torch.int32).view(1, 8, 1)
    codes = ((qweight.unsqueeze(1) >> shifts) & 15).view(groups, K // groups, N)
    middle = zeros.to(torch.int32).unsqueeze(1) if zeros is not None else 8
    weight = ((codes - middle) * scales.unsqueeze(1)).view(K, N)
    return x @ intermediate(weight, torch.float16)


def random_codes(dims: Mapping[str, int], generator: torch.Generator) -> torch.Tensor:
    """Eight uniform codes in every word, int32 [K // 8, N]."""
    shape = (dims["K"] // 8, dims["N"])
    return torch.randint(-(2**31), 2**31, shape, dtype=torch.int32, generator=generator)


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """Float32 values in [low, high)."""
    return torch.empty(shape).uniform_(low, high, generator=generator)


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Outputs near one: normal activations, scales within a factor of three of each other."""
    M, N, K, G = (dims[name] for name in "MNKG")
    scales = uniform((K // G, N), 0.5, 1.5, generator) / (CODE_RMS * K**0.5)
    return {
        "x": torch.randn(M, K, generator=generator).half(),
        "qweight": random_codes(dims, generator),
        "scales": scales.half(),
    }


def zero_points(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """As `normal`, each group with a zero point of its own, the ends among them."""
    return with_zero_points(normal(dims, generator), generator)


def outliers(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """A few activation channels thirty times the rest; scales from 1e-4 to 1e1 by blocks of 16 columns.

    Groups of one column differ by a factor of four at most, so no part of K is too small to matter. Activations shrink
    with K so that the largest outputs are some twenty thousand, not far below what fp16 holds.
    """
    M, N, K, G = (dims[name] for name in "MNKG")
    channel = torch.ones(K)
    channel[torch.randperm(K, generator=generator)[: max(1, K // 64)]] = 30.0
    x = torch.randn(M, K, generator=generator) * channel
    x *= 6000.0 / (10.0 * CODE_RMS * float(channel.square().sum().sqrt()))
    exponent = uniform((1, (N + 15) // 16), -4.0, 1.0, generator).repeat_interleave(16, dim=1)[:, :N]
    scales = (10.0**exponent * uniform((K // G, N), 0.5, 2.0, generator)).clamp(1e-4, 10.0)
    return {"x": x.half(), "qweight": random_codes(dims, generator), "scales": scales.half()}


def signed(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """As `zero_points`, with scales of either sign, a tenth of them 0."""
    return with_signs(zero_points(dims, generator), generator)


def not_numbers(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """As `normal`, with one NaN in every third row of x."""
    return with_nan(normal(dims, generator), "x", generator)


def spikes(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Weak noise with one strong activation in every row and group of 32 k, and rows of mixed amplitude.

    Nothing can be left out unnoticed: the spike of each chunk carries it. The last k of every row is one too.
    """
    M, N, K, G = (dims[name] for name in "MNKG")
    x = torch.randn(M, K, generator=generator) * 0.1
    chunks = (K + 31) // 32
    place = torch.arange(chunks) * 32 + torch.randint(0, 32, (M, chunks), generator=generator)
    sign = torch.randint(0, 2, (M, chunks), generator=generator) * 2.0 - 1.0
    x.scatter_(1, place.clamp_(max=K - 1), 4.0 * sign)
    x[:, K - 1] = 4.0
    x *= 2.0 ** torch.randint(-4, 4, (M, 1), generator=generator)
    scales = uniform((K // G, N), 0.02, 0.2, generator)
    return {"x": x.half(), "qweight": random_codes(dims, generator), "scales": scales.half()}


def rows_permuted(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, torch.Tensor]:
    order = torch.randperm(dims["M"], generator=generator)
    inputs["x"] = inputs["x"][order]
    return inputs, order


def same_rows(first: Tensors, second: Tensors, order: torch.Tensor) -> dict[str, Any]:
    return {"y": (first["y"][order], second["y"])}


def columns_permuted(
    inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator
) -> tuple[Tensors, torch.Tensor]:
    order = torch.randperm(dims["N"], generator=generator)
    for name in ("qweight", "scales", "zeros"):
        if name in inputs:
            inputs[name] = inputs[name][:, order]
    return inputs, order


def same_columns(first: Tensors, second: Tensors, order: torch.Tensor) -> dict[str, Any]:
    return {"y": (first["y"][:, order], second["y"])}


def groups_permuted(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, None]:
    """Groups of G rows of the weights in another order, and the columns of x that meet them: sums over K by blocks."""
    M, N, K, G = (dims[name] for name in "MNKG")
    order = torch.randperm(K // G, generator=generator)
    inputs["x"] = inputs["x"].view(M, K // G, G)[:, order].reshape(M, K)
    inputs["qweight"] = inputs["qweight"].view(K // G, G // 8, N)[order].reshape(K // 8, N)
    for name in ("scales", "zeros"):
        if name in inputs:
            inputs[name] = inputs[name][order]
    return inputs, None


def unchanged(first: Tensors, second: Tensors, known: Any) -> dict[str, Any]:
    return {"y": (first["y"], second["y"])}


def negated(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, None]:
    inputs["x"] = -inputs["x"]
    return inputs, None


def opposite(first: Tensors, second: Tensors, known: Any) -> dict[str, Any]:
    return {"y": (-first["y"], second["y"])}


def cost(dims: Mapping[str, int]) -> Cost:
    """Tensor-core multiply-adds; every operand read once and the output written once, without zero points."""
    M, N, K, G = (dims[name] for name in "MNKG")
    return Cost(flops=2 * M * N * K, bytes=K * N / 2 + 2 * (K // G) * N + 2 * M * K + 2 * M * N, unit="fp16")


def verify(name: str, M: int, N: int, K: int, G: int, distribution: str) -> Workload:
    return Workload(name, {"M": M, "N": N, "K": K, "G": G}, distribution)


def bench(layer: str, M: int, N: int, K: int, source: str, G: int = 128) -> Workload:
    return Workload(f"{layer}, M = {M}", {"M": M, "N": N, "K": K, "G": G}, "normal", source=source)


LLAMA_2 = "Llama 2 (Touvron et al. 2023, arXiv:2307.09288)"
LLAMA_3 = "Llama 3 (Grattafiori et al. 2024, arXiv:2407.21783)"

TASK = Task(
    name="w4a16_gemm",
    family="quantized_gemm",
    summary="y = x @ dequantise(qweight, scales): fp16 activations, 4-bit weights with one fp16 scale per group",
    dims=("M", "N", "K", "G"),
    fixed=("G",),
    constraints=("M >= 1", "N >= 1", "K >= 8", "G >= 8", "K % 8 == 0", "G % 8 == 0", "K % G == 0"),
    inputs=(
        Tensor("x", ("M", "K"), "float16"),
        Tensor("qweight", ("K // 8", "N"), "int32", Role.STATIC),
        Tensor("scales", ("K // G", "N"), "float16", Role.STATIC),
        Tensor("zeros", ("K // G", "N"), "uint8", Role.STATIC, optional=True),
    ),
    outputs=(Output("y", ("M", "N"), "float16"),),
    reference=reference,
    make_inputs={
        "normal": normal,
        "outliers": outliers,
        "spikes": spikes,
        "zero points": zero_points,
        "signed": signed,
        "not numbers": not_numbers,
    },
    properties=(
        Property("permuting rows of x permutes rows of y", rows_permuted, same_rows),
        Property("permuting columns of the weights permutes columns of y", columns_permuted, same_columns),
        Property("the order of the groups that are summed does not matter", groups_permuted, unchanged),
        Property("the opposite of x gives the opposite of y", negated, opposite),
    ),
    verify=(
        verify("one row", 1, 512, 1024, 128, "normal"),
        verify("ragged M and N", 17, 131, 256, 64, "outliers"),
        verify("prime M and N", 5, 97, 384, 128, "spikes"),
        verify("one group", 8, 96, 512, 512, "normal"),
        verify("many small groups", 33, 64, 384, 32, "spikes"),
        verify("three columns", 20, 3, 256, 32, "normal"),
        verify("ragged K", 6, 50, 72, 72, "spikes"),
        verify("M past a tile", 130, 40, 128, 128, "outliers"),
        verify("long K", 2, 64, 8192, 128, "normal"),
        verify("whole tiles", 16, 256, 512, 128, "outliers"),
        verify("whole large tiles", 64, 128, 256, 128, "spikes"),
        verify("zero points, groups of 64", 19, 72, 320, 64, "zero points"),
        verify("zero points, groups of 128", 3, 132, 512, 128, "zero points"),
        verify("scales of either sign and 0", 9, 56, 256, 64, "signed"),
        verify("NaN in some rows", 7, 48, 128, 64, "not numbers"),
    ),
    bench=(
        bench("Llama-2-7B output", 1, 4096, 4096, f"{LLAMA_2}: hidden size 4096; decoding one sequence"),
        bench("Llama-3-8B gate-up", 1, 28672, 4096, f"{LLAMA_3}: 2 x 14336 from hidden size 4096; one sequence"),
        bench("Llama-2-7B qkv", 16, 12288, 4096, f"{LLAMA_2}: 3 x 4096 from hidden size 4096; 16 sequences"),
        bench("Llama-2-13B qkv", 16, 15360, 5120, f"{LLAMA_2}: 3 x 5120 from hidden size 5120; 16 sequences"),
        bench("Llama-3-8B down", 64, 4096, 14336, f"{LLAMA_3}: hidden size 4096 from 14336; 64 sequences"),
        bench("Llama-3-8B qkv", 512, 6144, 4096, f"{LLAMA_3}: 4096 + 2 x 1024 from hidden size 4096; a prompt of 512"),
        bench(
            "Llama-2-7B down in groups of 32",
            1,
            4096,
            11008,
            f"{LLAMA_2}: hidden size 4096 from 11008; one sequence",
            32,
        ),
        bench(
            "Llama-2-7B qkv, a scale a column", 32, 12288, 4096, f"{LLAMA_2}: 3 x 4096 from 4096; 32 sequences", 4096
        ),
    ),
    cost=cost,
    # Half-precision accumulation shows 1.5e-3 relative at K = 128; three times the honest error and this stay below.
    tolerance=Tolerance(k=3.0, floor=4e-4, floor_largest=3e-3),
)
