"""Sparse 3-D convolution with a given kernel map: each output site sums its neighbours' features times their weights.

The second half of what Spira (arXiv:2511.20834), TorchSparse++ and spconv run for a layer. Neighbours that do not exist
are -1 in the map; a surface has about ten of 27, so a dense product over all offsets does most of its work in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from warpsmith.tasks import Cost, Output, Property, Role, Task, Tensor, Tolerance, Workload
from warpsmith.tasks.sparse_conv._clouds import Cloud, distinct, indoor, kernel_map, lidar, sites, uniform

Tensors = dict[str, torch.Tensor]
Draw = Callable[[Mapping[str, int], torch.Generator], Tensors]


def reference(feats: torch.Tensor, w: torch.Tensor, kmap: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """y[o] = sum over offsets v with kmap[o, v] >= 0 of feats[kmap[o, v]] @ w[v]."""
    chosen = kmap[rows].to(torch.int64)
    y = feats.new_zeros(len(rows), w.shape[2])
    for v in range(w.shape[0]):
        here = (chosen[:, v] >= 0).nonzero().squeeze(1)
        y.index_add_(0, here, feats[chosen[here, v]] @ w[v])
    return y


def mapped(dims: Mapping[str, int], cloud: Cloud, generator: torch.Generator) -> torch.Tensor:
    """The map of a layer on a cloud, int32 [NOUT, V].

    As many outputs as inputs are a submanifold layer. Otherwise outputs stand at the coarse cells of the cloud, and
    past those at sites of another one.
    """
    NV, NOUT, KS = (dims[name] for name in ("NV", "NOUT", "KS"))
    coords = sites(NV, cloud, generator)
    if NOUT == NV:
        return kernel_map(coords, coords, KS)
    coarse = coords.clone()
    coarse[:, 1:] = coarse[:, 1:] // 2 * 2
    out = torch.cat([distinct(coarse), sites(NOUT, cloud, generator)])[:NOUT]
    return kernel_map(coords, out, KS)


def features(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """Unit-normal features, and weights that keep ten neighbours' sum near one."""
    NV, KS, CIN, COUT = (dims[name] for name in ("NV", "KS", "CIN", "COUT"))
    return {
        "feats": torch.randn(NV, CIN, generator=generator).half(),
        "w": (torch.randn(KS**3, CIN, COUT, generator=generator) / (10 * CIN) ** 0.5).half(),
    }


def normal(cloud: Cloud) -> Draw:
    """The distribution of one kind of cloud."""

    def draw(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
        return {**features(dims, generator), "kmap": mapped(dims, cloud, generator)}

    return draw


def uneven(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """Amplitudes that differ a thousandfold between sites and fourfold between offsets; a tenth of the rows empty."""
    inputs = {**features(dims, generator), "kmap": mapped(dims, indoor, generator)}
    NV, NOUT, KS = (dims[name] for name in ("NV", "NOUT", "KS"))
    inputs["feats"] = (inputs["feats"].float() * 2.0 ** torch.randint(-5, 6, (NV, 1), generator=generator)).half()
    inputs["w"] = (inputs["w"].float() * 2.0 ** torch.randint(-1, 2, (KS**3, 1, 1), generator=generator)).half()
    inputs["kmap"][torch.rand(NOUT, generator=generator) < 0.1] = -1
    return inputs


def any_map(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """A map of no cloud: any row may meet any, the same one at several offsets too, two thirds of the places empty."""
    NV, NOUT, KS = (dims[name] for name in ("NV", "NOUT", "KS"))
    kmap = torch.randint(0, max(NV, 1), (NOUT, KS**3), generator=generator, dtype=torch.int32)
    kmap[torch.rand(NOUT, KS**3, generator=generator) < (0.66 if NV else 2.0)] = -1
    return {**features(dims, generator), "kmap": kmap}


def full(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """Rows with every neighbour, with the same one everywhere, with none, and with one alone, mixed evenly."""
    NV, NOUT, KS = (dims[name] for name in ("NV", "NOUT", "KS"))
    kmap = torch.randint(0, max(NV, 1), (NOUT, KS**3), generator=generator, dtype=torch.int32)
    kind = torch.randint(0, 4, (NOUT, 1), generator=generator)
    alone = torch.randint(0, KS**3, (NOUT, 1), generator=generator) == torch.arange(KS**3)
    kmap = torch.where(kind == 1, kmap[:, :1], kmap)
    kmap = torch.where((kind == 2) | ((kind == 3) & ~alone), -1, kmap)
    return {**features(dims, generator), "kmap": kmap if NV else torch.full_like(kmap, -1)}


def not_numbers(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """As `any_map`; a few sites have a NaN among their features, and a few that no output meets have nothing else."""
    inputs, NV = any_map(dims, generator), dims["NV"]
    if not NV:
        return inputs
    unmet = torch.rand(NV, generator=generator) < 0.2
    kmap = inputs["kmap"].to(torch.int64)
    inputs["kmap"] = torch.where((kmap >= 0) & ~unmet[kmap.clamp(min=0)], kmap, -1).to(torch.int32)
    inputs["feats"][unmet] = float("nan")
    inputs["feats"][torch.randint(0, NV, (NV // 40 + 1,), generator=generator), 0] = float("nan")
    return inputs


def cost(dims: Mapping[str, int]) -> Cost:
    """Every offset of every output meets a site."""
    return _cost(dims, dims["NOUT"] * dims["KS"] ** 3)


def exact_cost(dims: Mapping[str, int], inputs: Mapping[str, torch.Tensor]) -> Cost:
    """The pairs that there are."""
    return _cost(dims, int((inputs["kmap"] >= 0).sum()))


def _cost(dims: Mapping[str, int], pairs: int) -> Cost:
    NV, NOUT, KS, CIN, COUT = (dims[name] for name in ("NV", "NOUT", "KS", "CIN", "COUT"))
    moved = 2 * (NV * CIN + NOUT * COUT + KS**3 * CIN * COUT) + 4 * NOUT * KS**3
    return Cost(flops=2 * pairs * CIN * COUT, bytes=moved, unit="fp16")


def doubled(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, None]:
    inputs["feats"] *= 0.5
    return inputs, None


def half_as_much(first: Tensors, second: Tensors, known: Any) -> dict[str, Any]:
    return {"y": (0.5 * first["y"], second["y"])}


def permuted(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, torch.Tensor]:
    order = torch.randperm(dims["NOUT"], generator=generator)
    inputs["kmap"] = inputs["kmap"][order]
    return inputs, order


def same_rows(first: Tensors, second: Tensors, order: torch.Tensor) -> dict[str, Any]:
    return {"y": (first["y"][order], second["y"])}


def renumbered(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, None]:
    """Input sites stand in other rows, and the map says so."""
    order = torch.randperm(dims["NV"], generator=generator)
    now_at = torch.empty_like(order)
    now_at[order] = torch.arange(len(order))
    inputs["feats"] = inputs["feats"][order]
    kmap = inputs["kmap"].to(torch.int64)
    if len(order):
        inputs["kmap"] = torch.where(kmap >= 0, now_at[kmap.clamp(min=0)], -1).to(torch.int32)
    return inputs, None


def offsets_permuted(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, None]:
    """Offsets in another order, in the map as in the weights."""
    order = torch.randperm(dims["KS"] ** 3, generator=generator)
    inputs["kmap"], inputs["w"] = inputs["kmap"][:, order], inputs["w"][order]
    return inputs, None


def unchanged(first: Tensors, second: Tensors, known: Any) -> dict[str, Any]:
    return {"y": (first["y"], second["y"])}


def sizes(NV: int, NOUT: int, KS: int, CIN: int, COUT: int) -> dict[str, int]:
    return {"NV": NV, "NOUT": NOUT, "KS": KS, "CIN": CIN, "COUT": COUT}


def verify(name: str, distribution: str, *extents: int) -> Workload:
    return Workload(name, sizes(*extents), distribution)


def bench(name: str, distribution: str, *extents: int) -> Workload:
    return Workload(name, sizes(*extents), distribution, source=SPIRA)


SPIRA = "Spira (arXiv:2511.20834): channel pairs of its layer sweep and of SparseResUNet"

TASK = Task(
    name="spconv_forward",
    family="sparse_conv",
    summary="sparse convolution with a given kernel map: gather, multiply by each offset's weights, sum",
    dims=("NV", "NOUT", "KS", "CIN", "COUT"),
    derived={"V": "KS * KS * KS"},
    fixed=("KS", "CIN", "COUT"),
    constraints=("NV >= 0", "NOUT >= 0", "KS >= 1", "KS <= 5", "CIN >= 1", "COUT >= 1"),
    inputs=(
        Tensor("feats", ("NV", "CIN"), "float16"),
        Tensor("w", ("V", "CIN", "COUT"), "float16", Role.STATIC),
        Tensor("kmap", ("NOUT", "V"), "int32"),
    ),
    outputs=(Output("y", ("NOUT", "COUT"), "float16"),),
    rows="NOUT",
    reference=reference,
    make_inputs={
        "indoor": normal(indoor),
        "lidar": normal(lidar),
        "uniform": normal(uniform),
        "uneven": uneven,
        "any map": any_map,
        "full": full,
        "not numbers": not_numbers,
    },
    exact_cost=exact_cost,
    cost=cost,
    properties=(
        Property("half the features give half the result", doubled, half_as_much),
        Property("permuting output sites permutes rows", permuted, same_rows),
        Property("where input sites stand in memory does not matter", renumbered, unchanged),
        Property("the order of the offsets that are summed does not matter", offsets_permuted, unchanged),
    ),
    verify=(
        verify("one site", "indoor", 1, 1, 3, 32, 32),
        verify("ragged surface", "indoor", 131, 131, 3, 32, 32),
        verify("stride 2", "lidar", 200, 67, 3, 32, 64),
        verify("uneven amplitudes", "uneven", 97, 97, 3, 64, 64),
        verify("any map", "any map", 75, 101, 3, 32, 64),
        verify("few neighbours", "uniform", 140, 140, 3, 64, 32),
        verify("four channels", "lidar", 150, 150, 3, 4, 32),
        verify("kernel of five", "indoor", 60, 60, 5, 16, 16),
        verify("wide", "uneven", 65, 65, 3, 128, 128),
        verify("no output", "any map", 5, 0, 3, 32, 32),
        verify("whole tiles", "indoor", 256, 256, 3, 64, 64),
        verify("full and empty rows", "full", 60, 90, 3, 32, 32),
        verify("full and empty rows, kernel of five", "full", 40, 50, 5, 16, 16),
        verify("NaN among features", "not numbers", 50, 40, 3, 16, 16),
    ),
    bench=(
        bench("indoor, 100k, 64 to 64", "indoor", 100_000, 100_000, 3, 64, 64),
        bench("LiDAR, 100k, 32 to 32", "lidar", 100_000, 100_000, 3, 32, 32),
        bench("LiDAR, 100k to 40k, 32 to 64", "lidar", 100_000, 40_000, 3, 32, 64),
        bench("indoor, 50k, 128 to 128", "indoor", 50_000, 50_000, 3, 128, 128),
        bench("indoor, 50k, 16 to 16, kernel 5", "indoor", 50_000, 50_000, 5, 16, 16),
    ),
    tolerance=Tolerance(k=3.0, floor=4e-4, floor_largest=3e-3),
)
