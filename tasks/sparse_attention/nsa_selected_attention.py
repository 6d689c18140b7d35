"""Attention over selected key blocks, a choice per token and key head: the sparse branch of NSA, as FSA times it.

Native Sparse Attention (Yuan et al. 2025, arXiv:2502.11089) lets every query token attend to a few blocks of keys that
its group of query heads shares. Flash Sparse Attention (Yan et al. 2025, arXiv:2508.18224) computes the same for small
groups. Sequences are packed; attention is causal inside each. The ids of a row are distinct,
apart from holes (-1), which may stand anywhere; blocks that begin after a token add nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from warpsmith.tasks import Cost, Output, Property, Task, Tensor, Tolerance, Workload, intermediate
from warpsmith.tasks.sparse_attention._packed import any_selection, lengths, offsets, parts, places, skewed_selection

Inputs = dict[str, torch.Tensor]


def reference(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    block_ids: torch.Tensor,
    cu_seqlens: torch.Tensor,
    key_bias: torch.Tensor | None,
    BS: int,
    dtypes: Mapping[str, torch.dtype],
    rows: torch.Tensor,
) -> Inputs:
    """out[t] = softmax(q[t] . k / sqrt(D) + bias) v over the keys j <= t of the selected blocks of t's own sequence.

    Block b of a sequence holds its keys b * BS to b * BS + BS - 1. A row that may attend to nothing gives 0, and -inf
    as its logarithm of the sum of exponentials (natural, of the scaled and biased scores).
    """
    T, H, widest = len(k), k.shape[1], max(q.shape[2], v.shape[2])
    gathered = min(block_ids.shape[2], -(-T // BS)) * min(BS, T) * widest
    # A key and a value of zeros behind the others stand in for what a row may not see.
    k, v = (torch.nn.functional.pad(item, (0, 0, 0, 0, 0, 1)) for item in (k, v))
    heads = parts(torch.arange(H), gathered)
    found = [
        [_rows(q, k, v, block_ids, cu_seqlens, key_bias, BS, dtypes["E"], part, some) for some in heads]
        for part in parts(rows, H * gathered)
    ]
    return {
        "out": torch.cat([torch.cat([out for out, _ in row], dim=1) for row in found]),
        "lse": torch.cat([torch.cat([lse for _, lse in row]) for row in found], dim=1),
    }


def _rows(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    block_ids: torch.Tensor,
    cu_seqlens: torch.Tensor,
    key_bias: torch.Tensor | None,
    BS: int,
    stored: torch.dtype,
    rows: torch.Tensor,
    heads: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    H, D, R = k.shape[1], k.shape[2], len(rows)
    zeros = len(k) - 1
    first, place = places(cu_seqlens, rows)
    # Of a short sequence's many block ids few begin before a token: these first, and no more than any row has.
    ids = block_ids[heads][:, rows].to(torch.int64)
    ids = ids.masked_fill(ids * BS > place.view(1, R, 1), -1).sort(dim=-1, descending=True).values
    ids = ids[..., : max(1, int((ids >= 0).sum(-1).max()))]
    local = (ids.unsqueeze(-1) * BS + torch.arange(min(BS, zeros))).flatten(2)
    allowed = (local >= 0) & (local <= place.view(1, R, 1))
    keys = torch.where(allowed, local + first.view(1, R, 1), zeros)
    heads = heads.view(-1, 1, 1)
    held = (keys * H + heads).flatten()
    group = q[rows].view(R, H, -1, D)[:, heads.flatten()].transpose(0, 1)
    scores = torch.einsum("hrgd,hrnd->hrgn", group, _gathered(k, held, keys)) * D**-0.5
    if key_bias is not None:
        scores = scores + key_bias[keys.clamp(max=zeros - 1), heads].unsqueeze(2)
    mask = allowed.unsqueeze(2)
    scores = scores.masked_fill(~mask, float("-inf"))
    largest = scores.amax(dim=-1, keepdim=True).nan_to_num(neginf=0.0)
    weights = torch.exp(scores - largest)
    total = weights.sum(dim=-1, keepdim=True)
    sums = torch.einsum("hrgn,hrnd->hrgd", intermediate(weights, stored), _gathered(v, held, keys))
    out = torch.where(total > 0, sums / total, 0.0)
    lse = (largest + total.log()).squeeze(-1)
    return out.transpose(0, 1).reshape(R, -1, v.shape[2]), lse.permute(0, 2, 1).reshape(-1, R)


def _gathered(items: torch.Tensor, held: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Items [H, R, keys, D] by place in their first two dimensions, copied as whole rows."""
    return items.flatten(0, 1).index_select(0, held).view(*keys.shape, -1)


def _drawn(dims: Mapping[str, int], generator: torch.Generator) -> tuple[Inputs, torch.Tensor]:
    """Unit-normal q, k and v of uneven sequences, and each token's own block."""
    T, B, H, G, D, DV, BS = (dims[name] for name in ("T", "B", "H", "G", "D", "DV", "BS"))
    cu_seqlens = offsets(lengths(T, B, generator))
    _, place = places(cu_seqlens, torch.arange(T))
    q, k = torch.randn(T, H * G, D, generator=generator), torch.randn(T, H, D, generator=generator)
    v = torch.randn(T, H, DV, generator=generator)
    return {"q": q, "k": k, "v": v, "cu_seqlens": cu_seqlens}, place // BS


def _stored(inputs: Inputs, dtypes: Mapping[str, torch.dtype]) -> Inputs:
    return {name: value.to(dtypes["E"]) if value.is_floating_point() else value for name, value in inputs.items()}


def selected(dims: Mapping[str, int], generator: torch.Generator, dtypes: Mapping[str, torch.dtype]) -> Inputs:
    """Blocks as trained models select them: the first, the own and near ones by nearly all tokens."""
    inputs, own = _drawn(dims, generator)
    inputs["block_ids"] = skewed_selection(dims, own, generator)
    return _stored(inputs, dtypes)


def holes(dims: Mapping[str, int], generator: torch.Generator, dtypes: Mapping[str, torch.dtype]) -> Inputs:
    """Blocks in any order with holes anywhere, later blocks among them; some rows may attend to nothing."""
    inputs, own = _drawn(dims, generator)
    inputs["block_ids"] = any_selection(dims, own, generator)
    inputs["block_ids"][:, torch.rand(dims["T"], generator=generator) < 0.05] = -1
    return _stored(inputs, dtypes)


def planted(dims: Mapping[str, int], generator: torch.Generator, dtypes: Mapping[str, torch.dtype]) -> Inputs:
    """One key in every block scores high for everybody, with a value of its own: a wrong mask moves the output."""
    inputs, own = _drawn(dims, generator)
    T, H, BS = (dims[name] for name in ("T", "H", "BS"))
    inputs["block_ids"] = any_selection(dims, own, generator)
    inputs["block_ids"][:, :, 0] = torch.where(inputs["block_ids"].eq(0).any(-1), inputs["block_ids"][:, :, 0], 0)
    leader = torch.randn(1, H, dims["D"], generator=generator)
    heavy = torch.randint(0, BS, (T // BS + 1,), generator=generator) + torch.arange(T // BS + 1) * BS
    heavy = heavy[heavy < T]
    inputs["k"][heavy] = leader * (0.7 + 0.6 * torch.rand(len(heavy), H, 1, generator=generator))
    inputs["v"][heavy] *= 3.0
    inputs["q"] = 0.6 * inputs["q"] + leader.repeat_interleave(dims["G"], dim=1)
    return _stored(inputs, dtypes)


def sharp(dims: Mapping[str, int], generator: torch.Generator, dtypes: Mapping[str, torch.dtype]) -> Inputs:
    """Scores past a hundred either way, and a bias a key.

    Exponentials overflow float32 unless the maximum is taken off, and vanish where all of a row's scores are low.
    """
    inputs, own = _drawn(dims, generator)
    inputs["block_ids"] = skewed_selection(dims, own, generator)
    inputs["q"] *= 40.0
    inputs["key_bias"] = 2.0 * torch.randn(dims["T"], dims["H"], generator=generator)
    return {**_stored(inputs, dtypes), "key_bias": inputs["key_bias"]}


def canary(dims: Mapping[str, int], generator: torch.Generator, dtypes: Mapping[str, torch.dtype]) -> Inputs:
    """Keys and values that no row may attend to are NaN."""
    inputs = selected(dims, generator, dtypes)
    T, H, BS = (dims[name] for name in ("T", "H", "BS"))
    first, place = places(inputs["cu_seqlens"], torch.arange(T))
    seen = torch.zeros(T, H, dtype=torch.bool)
    ids = inputs["block_ids"].to(torch.int64)
    for head in range(H):
        for inside in range(BS):
            local = ids[head] * BS + inside
            allowed = (ids[head] >= 0) & (local <= place.view(T, 1))
            seen[(local + first.view(T, 1))[allowed], head] = True
    for name in ("k", "v"):
        inputs[name][~seen] = float("nan")
    return inputs


def cost(dims: Mapping[str, int]) -> Cost:
    """Every row attends to as many keys as S blocks hold, or to all up to its own."""
    T, BS, S = (dims[name] for name in ("T", "BS", "S"))
    most = min(S * BS, T)
    return _cost(dims, dims["H"] * (most * (most + 1) / 2 + (T - most) * most))


def exact_cost(dims: Mapping[str, int], inputs: Mapping[str, torch.Tensor]) -> Cost:
    """The keys that rows attend to, counted."""
    _, place = places(inputs["cu_seqlens"], torch.arange(dims["T"]))
    ids = inputs["block_ids"].to(torch.int64)
    held = (place.view(1, -1, 1) + 1 - ids * dims["BS"]).clamp(0, dims["BS"])
    return _cost(dims, float(held.masked_fill_(ids < 0, 0).sum()))


def _cost(dims: Mapping[str, int], pairs: float) -> Cost:
    """Two multiply-adds a pair and element; every tensor of two-byte elements once, lse in four."""
    T, H, G, D, DV, S = (dims[name] for name in ("T", "H", "G", "D", "DV", "S"))
    moved = 2 * T * H * G * (D + DV) + 2 * T * H * (D + DV) + 4 * T * H * S + 4 * T * H * G + 4 * (dims["B"] + 1)
    return Cost(flops=2 * G * pairs * (D + DV), bytes=moved, unit="bf16")


def doubled(inputs: Inputs, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Inputs, None]:
    inputs["v"] *= 2
    return inputs, None


def twice(first: Inputs, second: Inputs, known: Any) -> dict[str, Any]:
    return {"out": (2 * first["out"], second["out"]), "lse": (first["lse"], second["lse"])}


def reordered(inputs: Inputs, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Inputs, None]:
    order = torch.rand(inputs["block_ids"].shape, generator=generator).argsort(dim=-1)
    inputs["block_ids"] = inputs["block_ids"].gather(-1, order)
    return inputs, None


def alike(first: Inputs, second: Inputs, known: Any) -> dict[str, Any]:
    return {"out": (first["out"], second["out"]), "lse": (first["lse"], second["lse"])}


def later(inputs: Inputs, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Inputs, int]:
    """Other tokens from a random one on."""
    start = int(torch.randint(0, max(dims["T"], 1), (1,), generator=generator))
    for name in ("q", "k", "v"):
        inputs[name][start:] = inputs[name][start:].flip(-1)
    return inputs, start


def earlier_rows(first: Inputs, second: Inputs, start: int) -> dict[str, Any]:
    return {"out": (first["out"][:start], second["out"][:start])}


def sizes(T: int, B: int, H: int, G: int, D: int, DV: int, BS: int, S: int) -> dict[str, int]:
    return {"T": T, "B": B, "H": H, "G": G, "D": D, "DV": DV, "BS": BS, "S": S}


def verify(name: str, distribution: str, dtype: str, *extents: int) -> Workload:
    return Workload(name, sizes(*extents), distribution, dtypes={"E": dtype})


def bench(name: str, source: str, *extents: int) -> Workload:
    return Workload(name, sizes(*extents), "selected", source=source, dtypes={"E": "bfloat16"})


NSA = "NSA (arXiv:2502.11089): 64 query heads on 4 key heads, blocks of 64, 16 selected"
FSA = "FSA (arXiv:2508.18224): 32 query heads of 128, groups of 1 to 16, (block, selected) of (64, 16) and (128, 8)"

TASK = Task(
    name="nsa_selected_attention",
    family="sparse_attention",
    summary="causal attention of packed sequences over the key blocks that each token and key head selects",
    dims=("T", "B", "H", "G", "D", "DV", "BS", "S"),
    derived={"HQ": "H * G"},
    fixed=("G", "D", "DV", "BS", "S"),
    constraints=("T >= 1", "B >= 1", "B <= T", "H >= 1", "G >= 1", "D >= 1", "DV >= 1", "BS >= 1", "S >= 1"),
    inputs=(
        Tensor("q", ("T", "HQ", "D"), "E"),
        Tensor("k", ("T", "H", "D"), "E"),
        Tensor("v", ("T", "H", "DV"), "E"),
        Tensor("block_ids", ("H", "T", "S"), "int32", unordered=True),
        Tensor("cu_seqlens", ("B + 1",), "int32"),
        Tensor("key_bias", ("T", "H"), "float32", optional=True),
    ),
    outputs=(Output("out", ("T", "HQ", "DV"), "E"), Output("lse", ("HQ", "T"), "float32")),
    rows="T",
    reference=reference,
    make_inputs={"selected": selected, "holes": holes, "planted": planted, "sharp": sharp, "canary": canary},
    exact_cost=exact_cost,
    cost=cost,
    properties=(
        Property("doubling v doubles the output and leaves lse alone", doubled, twice),
        Property("the order of the selected blocks does not matter", reordered, alike),
        Property("later tokens do not change earlier rows", later, earlier_rows),
    ),
    verify=(
        verify("one token", "selected", "bfloat16", 1, 1, 2, 4, 64, 64, 32, 4),
        verify("ragged sequences", "holes", "bfloat16", 83, 3, 2, 4, 64, 64, 16, 4),
        verify("a key in every block", "planted", "bfloat16", 131, 2, 1, 16, 64, 64, 32, 4),
        verify("scores past a hundred with bias", "sharp", "float16", 97, 2, 2, 4, 64, 64, 16, 4),
        verify("no group", "holes", "float16", 70, 2, 3, 1, 64, 64, 16, 5),
        verify("groups of two", "canary", "bfloat16", 65, 1, 2, 2, 128, 128, 32, 3),
        verify("other value heads", "planted", "float16", 48, 2, 1, 4, 64, 128, 16, 3),
        verify("one selected block", "holes", "bfloat16", 64, 1, 2, 4, 64, 64, 16, 1),
        verify("published heads", "canary", "bfloat16", 200, 2, 1, 16, 128, 128, 64, 4),
        verify("odd head sizes", "holes", "bfloat16", 45, 2, 2, 3, 60, 100, 16, 3),
        verify("small blocks", "selected", "float16", 77, 4, 2, 4, 32, 32, 8, 6),
    ),
    bench=(
        bench("NSA heads, 8k tokens", NSA, 8192, 1, 4, 16, 128, 128, 64, 16),
        bench("groups of one, 8k tokens", FSA, 8192, 1, 32, 1, 128, 128, 64, 16),
        bench("groups of two, 16k tokens in two", FSA, 16384, 2, 16, 2, 128, 128, 128, 8),
        bench("groups of four, 16k tokens", FSA, 16384, 1, 8, 4, 128, 128, 64, 16),
        bench("NSA heads on one of four GPUs, 64k tokens", NSA, 65536, 1, 1, 16, 128, 128, 64, 16),
    ),
    # The weights are rounded to the inputs' dtype before they multiply values, as every tensor-core kernel does.
    tolerance=Tolerance(k=3.0, floor=4e-4, floor_largest=3e-3),
)
