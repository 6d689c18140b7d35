"""Which key blocks each token attends to: softmax scores over compressed keys, summed over the group, the S largest.

The selection of Native Sparse Attention (Yuan et al. 2025, arXiv:2502.11089): one compressed key stands for each
complete block; its probability, summed over the query heads of a group, ranks the block. The first block and the own
one are always selected. Which of nearly equal blocks is taken is free: a selection is judged by what it forgoes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from warpsmith.tasks import Check, Cost, Output, Property, Task, Tensor, Workload
from warpsmith.tasks.sparse_attention._packed import lengths, offsets, parts, places

REGRET = 2e-3
"""A selected block may score lower than one that was left out by this share of the latter's score: several float32
roundings of an exponent, and far below what half-precision scores cost."""
FLOOR = 1e-6
"""Scores this small, of a sum of G, are all alike."""
Inputs = dict[str, torch.Tensor]


def scores(
    q: torch.Tensor, kc: torch.Tensor, cu_seqlens: torch.Tensor, cu_blocks: torch.Tensor, BS: int, rows: torch.Tensor
) -> torch.Tensor:
    """Score of every block of each row's sequence, [H, R, the most blocks of a sequence].

    A complete block whose last key is not after the row scores its share of the softmax, summed over the group; the
    first block and the row's own one score infinity; later blocks -1.
    """
    (_, H, D), R = kc.shape, len(rows)
    _, place = places(cu_seqlens, rows)
    sequence = torch.searchsorted(cu_seqlens.to(torch.int64), rows, right=True) - 1
    start = cu_blocks.to(torch.int64)[sequence]
    most = int(cu_seqlens.diff().max()) // BS + 1 if len(cu_seqlens) > 1 else 1
    blocks = torch.arange(most)
    complete = blocks.view(1, -1) < ((place + 1) // BS).view(R, 1)
    # A key of zeros behind the others stands in for blocks that are not complete.
    keys = torch.where(complete, start.view(R, 1) + blocks, len(kc))
    padded = torch.nn.functional.pad(kc, (0, 0, 0, 0, 0, 1))
    group = q[rows].view(R, H, -1, D)
    every = torch.einsum("rhgd,bhd->hrgb", group, padded) * D**-0.5
    logits = every.gather(-1, keys.view(1, R, 1, most).expand(*every.shape[:3], most))
    logits = logits.masked_fill(~complete.view(1, R, 1, most), float("-inf"))
    weights = torch.exp(logits - logits.amax(dim=-1, keepdim=True).nan_to_num(neginf=0.0))
    shares = (weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-30)).sum(dim=2)
    own = (place // BS).view(1, R, 1)
    shares = shares.masked_fill(blocks.view(1, 1, -1) > own, -1.0)
    return shares.masked_fill((blocks.view(1, 1, -1) == own) | (blocks == 0).view(1, 1, -1), float("inf"))


def reference(
    q: torch.Tensor,
    kc: torch.Tensor,
    cu_seqlens: torch.Tensor,
    cu_blocks: torch.Tensor,
    BS: int,
    S: int,
    rows: torch.Tensor,
) -> torch.Tensor:
    """The S best blocks of each row and key head, best first; -1 behind where there are fewer."""
    H = kc.shape[1]
    found = [torch.full((H, 0, S), -1)]
    for part in _parts(q, BS, rows):
        score = scores(q, kc, cu_seqlens, cu_blocks, BS, part)
        best = score.topk(min(S, score.shape[-1]), dim=-1)
        ids = best.indices.masked_fill(best.values < 0, -1)
        found.append(torch.nn.functional.pad(ids, (0, S - ids.shape[-1]), value=-1))
    return torch.cat(found, dim=1).to(torch.int32)


def _parts(q: torch.Tensor, BS: int, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The rows, as many at a time as should be scored together."""
    return parts(rows, q.shape[1] * (len(q) // BS + 1))


def no_regret(
    got: Inputs, expected: Inputs, inputs: Inputs, dims: Mapping[str, int], rows: torch.Tensor
) -> dict[str, dict[str, torch.Tensor]]:
    """Wrong: a block that is none, later, repeated, or scores less than the S-th best; a place lost."""
    ids = got["block_ids"].to(torch.int64)
    wide = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
    given = (wide["q"], wide["kc"], wide["cu_seqlens"], wide["cu_blocks"], dims["BS"])
    score = torch.cat([scores(*given, part) for part in _parts(wide["q"], dims["BS"], rows)], dim=1)
    known = score.shape[-1]
    inside = (ids >= 0) & (ids < known)
    chosen = score.gather(-1, ids.clamp(0, known - 1)).masked_fill(~inside, -1.0)
    repeated = (ids.unsqueeze(-1) == ids.unsqueeze(-2)).tril(-1).any(-1) & inside
    wanted = expected["block_ids"] >= 0
    least = score.topk(min(dims["S"], known), dim=-1).values[..., -1:].clamp(min=0.0)
    poor = chosen < least * (1 - REGRET) - FLOOR
    missing = (score.isinf().sum(-1) != chosen.isinf().sum(-1)).unsqueeze(-1) & (
        score.isinf().sum(-1) <= dims["S"]
    ).unsqueeze(-1)
    few = (inside.sum(-1) != wanted.sum(-1)).unsqueeze(-1)
    whole = torch.ones_like(inside)
    reasons = {
        "no block of the row's sequence": ~inside & (ids != -1),
        "a block after the row's own": inside & (chosen < 0),
        "a block that stands in the row twice": repeated,
        "a score below the S-th best": inside & (chosen >= 0) & poor,
        "a row with another number of blocks than it could have": few & whole,
        "a row without the first or the own block": missing & whole,
    }
    return {"block_ids": reasons}


def normal(dims: Mapping[str, int], generator: torch.Generator, dtypes: Mapping[str, torch.dtype]) -> Inputs:
    """Queries that lean towards some of the compressed keys; rows of kc that no sequence uses are NaN."""
    T, B, H, G, D, BS = (dims[name] for name in ("T", "B", "H", "G", "D", "BS"))
    sizes = lengths(T, B, generator)
    cu_blocks = offsets(sizes // BS)
    q = 2.0 * torch.randn(T, H * G, D, generator=generator)
    kc = torch.randn(T // BS, H, D, generator=generator)
    kc[int(cu_blocks[-1]) :] = float("nan")
    return {"q": q.to(dtypes["E"]), "kc": kc.to(dtypes["E"]), "cu_seqlens": offsets(sizes), "cu_blocks": cu_blocks}


def local(dims: Mapping[str, int], generator: torch.Generator, dtypes: Mapping[str, torch.dtype]) -> Inputs:
    """Keys drift from block to block, so that near blocks score high, and scores grow to about forty."""
    inputs = normal(dims, generator, dtypes)
    T, H, G, BS, D = (dims[name] for name in ("T", "H", "G", "BS", "D"))
    walk = torch.randn(T // BS, H, D, generator=generator).cumsum(0)
    walk = walk / walk.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-6)
    used = int(inputs["cu_blocks"][-1])
    inputs["kc"][:used] = walk[:used].to(dtypes["E"])
    lead = walk[(torch.arange(T) // BS).clamp(max=max(T // BS - 1, 0))] if T // BS else torch.zeros(T, H, D)
    noise = torch.randn(T, H * G, D, generator=generator)
    inputs["q"] = (2.0 * lead.repeat_interleave(G, dim=1) + noise).to(dtypes["E"])
    return inputs


def loud(dims: Mapping[str, int], generator: torch.Generator, dtypes: Mapping[str, torch.dtype]) -> Inputs:
    """Scores past a hundred either way: exponentials overflow float32 unless the maximum is taken off."""
    inputs = local(dims, generator, dtypes)
    sign = torch.randint(0, 2, (dims["T"], 1, 1), generator=generator) * 2 - 1
    inputs["q"] *= 8 * sign
    return inputs


def cost(dims: Mapping[str, int]) -> Cost:
    """Every row against every complete block before it, of one sequence as long as all."""
    T, BS = dims["T"], dims["BS"]
    return _cost(dims, T * (T // BS) / 2)


def exact_cost(dims: Mapping[str, int], inputs: Mapping[str, torch.Tensor]) -> Cost:
    """Pairs of a row and a complete block of its own sequence that lies before it."""
    _, place = places(inputs["cu_seqlens"], torch.arange(dims["T"]))
    return _cost(dims, min(float(((place + 1) // dims["BS"]).sum()), dims["T"] * (dims["T"] // dims["BS"]) / 2))


def _cost(dims: Mapping[str, int], pairs: float) -> Cost:
    T, B, H, G, D, BS, S = (dims[name] for name in ("T", "B", "H", "G", "D", "BS", "S"))
    moved = 2 * T * H * G * D + 2 * (T // BS) * H * D + 8 * (B + 1) + 4 * H * T * S
    return Cost(flops=2 * H * G * D * pairs, bytes=moved, unit="bf16")


def later(inputs: Inputs, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Inputs, int]:
    """Other queries from a random token on."""
    start = int(torch.randint(0, max(dims["T"], 1), (1,), generator=generator))
    inputs["q"][start:] = inputs["q"][start:].flip(-1)
    return inputs, start


def earlier_rows(first: Inputs, second: Inputs, start: int) -> dict[str, Any]:
    return {"block_ids": (first["block_ids"][:, :start], second["block_ids"][:, :start])}


def later_keys(inputs: Inputs, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Inputs, int]:
    """Other compressed keys from a random one on; rows before the token that completes its block see none of them."""
    blocks, BS = len(inputs["kc"]), dims["BS"]
    first = int(torch.randint(0, max(blocks, 1), (1,), generator=generator))
    inputs["kc"][first:] = inputs["kc"][first:].flip(-1)
    _, place = places(inputs["cu_seqlens"], torch.arange(dims["T"]))
    sequence = torch.searchsorted(inputs["cu_seqlens"].to(torch.int64), torch.arange(dims["T"]), right=True) - 1
    seen = inputs["cu_blocks"].to(torch.int64)[sequence] + (place + 1) // BS
    return inputs, int((seen <= first).sum())


def heads_permuted(inputs: Inputs, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Inputs, torch.Tensor]:
    """Key heads, and the query heads of each, in another order."""
    order = torch.randperm(dims["H"], generator=generator)
    inputs["kc"] = inputs["kc"][:, order]
    T, H, G, D = (dims[name] for name in "THGD")
    inputs["q"] = inputs["q"].view(T, H, G, D)[:, order].reshape(T, H * G, D)
    return inputs, order


def same_heads(first: Inputs, second: Inputs, order: torch.Tensor) -> dict[str, Any]:
    return {"block_ids": (first["block_ids"][order], second["block_ids"])}


def sizes(T: int, B: int, H: int, G: int, D: int, BS: int, S: int) -> dict[str, int]:
    return {"T": T, "B": B, "H": H, "G": G, "D": D, "BS": BS, "S": S}


def verify(name: str, distribution: str, dtype: str, *extents: int) -> Workload:
    return Workload(name, sizes(*extents), distribution, dtypes={"E": dtype})


def bench(name: str, source: str, *extents: int) -> Workload:
    return Workload(name, sizes(*extents), "local", source=source, dtypes={"E": "bfloat16"})


NSA = "NSA (arXiv:2502.11089): 64 query heads on 4 key heads, blocks of 64, 16 selected"
FSA = "FSA (arXiv:2508.18224): 32 query heads of 128, (block, selected) of (64, 16) and (128, 8)"

TASK = Task(
    name="nsa_block_topk",
    family="sparse_attention",
    summary="the S key blocks with the largest softmax scores of compressed keys, for each token and key head",
    dims=("T", "B", "H", "G", "D", "BS", "S"),
    derived={"HQ": "H * G"},
    fixed=("G", "D", "BS", "S"),
    constraints=("T >= 1", "B >= 1", "B <= T", "H >= 1", "G >= 1", "D >= 1", "BS >= 1", "S >= 2"),
    inputs=(
        Tensor("q", ("T", "HQ", "D"), "E"),
        Tensor("kc", ("T // BS", "H", "D"), "E"),
        Tensor("cu_seqlens", ("B + 1",), "int32"),
        Tensor("cu_blocks", ("B + 1",), "int32"),
    ),
    outputs=(Output("block_ids", ("H", "T", "S"), "int32"),),
    rows="T",
    reference=reference,
    make_inputs={"normal": normal, "local": local, "loud": loud},
    exact_cost=exact_cost,
    cost=cost,
    checks=(
        Check(
            ("block_ids",),
            "the ids of a row are distinct blocks not after it, -1 where there are no more, the first and the own "
            f"block among them, and none scores below the S-th best by more than {REGRET:.1%}",
            no_regret,
        ),
    ),
    properties=(
        Property("later queries do not change earlier rows", later, earlier_rows),
        Property("later compressed keys do not change earlier rows", later_keys, earlier_rows),
        Property("permuting key heads with their query heads permutes selections", heads_permuted, same_heads),
    ),
    verify=(
        verify("fewer blocks than places", "normal", "bfloat16", 40, 1, 1, 4, 64, 16, 8),
        verify("ragged sequences", "normal", "bfloat16", 333, 4, 2, 4, 64, 16, 4),
        verify("near blocks score high", "local", "float16", 260, 2, 1, 16, 64, 8, 8),
        verify("no group", "local", "bfloat16", 200, 2, 3, 1, 64, 16, 5),
        verify("groups of two", "normal", "float16", 129, 1, 2, 2, 128, 8, 4),
        verify("one token", "normal", "bfloat16", 1, 1, 1, 4, 64, 16, 4),
        verify("published heads", "local", "bfloat16", 640, 2, 1, 16, 128, 64, 4),
        verify("two places", "normal", "bfloat16", 150, 3, 1, 4, 32, 16, 2),
        verify("many blocks", "local", "bfloat16", 1031, 1, 1, 4, 32, 8, 16),
        verify("many blocks, no group", "local", "bfloat16", 1031, 1, 1, 1, 32, 8, 16),
        verify("many blocks, a whole tile of heads", "local", "bfloat16", 1031, 1, 1, 16, 32, 8, 16),
        verify("most blocks, published heads", "local", "bfloat16", 300, 1, 1, 16, 128, 1, 16),
        verify("most blocks", "local", "bfloat16", 2100, 1, 1, 2, 32, 8, 16),
        verify("as many blocks as 64k tokens have", "local", "bfloat16", 1100, 1, 1, 1, 32, 1, 8),
        verify("scores past a hundred", "loud", "bfloat16", 180, 2, 1, 4, 64, 8, 4),
    ),
    bench=(
        bench("NSA heads, 8k tokens", NSA, 8192, 1, 4, 16, 128, 64, 16),
        bench("groups of one, 8k tokens", FSA, 8192, 1, 32, 1, 128, 64, 16),
        bench("groups of four, 16k tokens in two", FSA, 16384, 2, 8, 4, 128, 128, 8),
        bench("NSA heads on one of four GPUs, 64k tokens", NSA, 65536, 1, 1, 16, 128, 64, 16),
    ),
)
