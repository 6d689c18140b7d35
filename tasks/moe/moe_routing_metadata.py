"""From the experts of each token to the order in which experts work on tokens: a stable sort, its inverse, the offsets.

What grouped GEMMs of a mixture of experts need before they start (SonicMoE, arXiv:2512.14080, and Comet,
arXiv:2502.19811, build the same lists). Bit-exact: within an expert, tokens keep their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from warpsmith.tasks import Cost, Output, Property, Task, Tensor, Workload
from warpsmith.tasks.moe._routing import drawn_ids

Tensors = dict[str, torch.Tensor]
Draw = Callable[[Mapping[str, int], torch.Generator], Tensors]


def reference(topk_ids: torch.Tensor, E: int) -> Tensors:
    """Entries (token, choice), token-major, sorted by expert and else left in order.

    `offsets[e]` is where expert e's entries begin, `order[i]` the entry (token * TOPK + choice) in place i, and
    `place[token, choice]` where an entry went.
    """
    flat = topk_ids.flatten().to(torch.int64)
    order = flat.argsort(stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    counts = torch.bincount(flat, minlength=E)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    found = {"offsets": offsets, "order": order, "place": place.view(topk_ids.shape)}
    return {name: value.to(torch.int32) for name, value in found.items()}


def routed(skew: str) -> Draw:
    """The distribution of one kind of load."""

    def draw(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
        ids = drawn_ids(dims["T"], dims["E"], dims["TOPK"], skew, generator)
        return {"topk_ids": ids.to(torch.int32)}

    return draw


def same(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """Every token to the same experts, in the same order of preference; the others get nothing."""
    ids = torch.randperm(dims["E"], generator=generator)[: dims["TOPK"]]
    return {"topk_ids": ids.to(torch.int32).repeat(dims["T"], 1)}


def runs(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """Tokens that follow each other go to the same experts, 16 to 128 at a time: loads are whole tiles exactly."""
    T, E, TOPK = (dims[name] for name in ("T", "E", "TOPK"))
    length = 16 << int(torch.randint(0, 4, (1,), generator=generator))
    first = torch.arange(T) // length * TOPK
    ids = torch.randperm(E, generator=generator)[(first.view(T, 1) + torch.arange(TOPK)) % E]
    return {"topk_ids": ids.to(torch.int32)}


def cost(dims: Mapping[str, int]) -> Cost:
    """No arithmetic to speak of: every id read once, every result written once."""
    entries = dims["T"] * dims["TOPK"]
    return Cost(flops=0.0, bytes=12 * entries + 4 * (dims["E"] + 1), unit="fp32")


def ranks(outputs: Tensors, topk_ids: torch.Tensor) -> torch.Tensor:
    """Each entry's place among those of its expert, int64 [T, TOPK]."""
    return outputs["place"].to(torch.int64) - outputs["offsets"].to(torch.int64)[topk_ids.to(torch.int64)]


def renamed(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, Any]:
    names = torch.randperm(dims["E"], generator=generator)
    before = inputs["topk_ids"]
    inputs["topk_ids"] = names[before.to(torch.int64)].to(torch.int32)
    return inputs, (before, inputs["topk_ids"], names)


def same_runs(first: Tensors, second: Tensors, known: Any) -> dict[str, Any]:
    before, after, names = known
    return {
        "place": (ranks(first, before), ranks(second, after)),
        "offsets": (first["offsets"].diff(), second["offsets"].diff()[names]),
    }


def later(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, Any]:
    """The tokens from a random one on in the opposite order."""
    start = int(torch.randint(0, dims["T"] + 1, (1,), generator=generator))
    before = inputs["topk_ids"].clone()
    inputs["topk_ids"][start:] = inputs["topk_ids"][start:].flip(0)
    return inputs, (before[:start], start)


def earlier_ranks(first: Tensors, second: Tensors, known: Any) -> dict[str, Any]:
    ids, start = known
    one, other = ({**item, "place": item["place"][:start]} for item in (first, second))
    return {"place": (ranks(one, ids), ranks(other, ids))}


def verify(name: str, T: int, E: int, TOPK: int, distribution: str) -> Workload:
    return Workload(name, {"T": T, "E": E, "TOPK": TOPK}, distribution)


def bench(name: str, T: int, E: int, TOPK: int, distribution: str, source: str) -> Workload:
    return Workload(name, {"T": T, "E": E, "TOPK": TOPK}, distribution, source=source)


TASK = Task(
    name="moe_routing_metadata",
    family="moe",
    summary="tokens sorted by expert (stable), the inverse, and where each expert's tokens begin",
    dims=("T", "E", "TOPK"),
    fixed=("E", "TOPK"),
    constraints=("T >= 0", "E >= 1", "TOPK >= 1", "TOPK <= E"),
    inputs=(Tensor("topk_ids", ("T", "TOPK"), "int32"),),
    outputs=(
        Output("offsets", ("E + 1",), "int32"),
        Output("order", ("T * TOPK",), "int32"),
        Output("place", ("T", "TOPK"), "int32"),
    ),
    reference=reference,
    make_inputs={
        **{name: routed(name) for name in ("even", "measured", "skewed", "one")},
        "same": same,
        "runs": runs,
    },
    properties=(
        Property("renaming experts moves their entries as they stand", renamed, same_runs),
        Property("the order of later tokens does not change earlier ones' ranks", later, earlier_ranks),
    ),
    verify=(
        verify("one token", 1, 8, 2, "even"),
        verify("ragged tokens", 333, 8, 2, "measured"),
        verify("many experts", 200, 128, 8, "skewed"),
        verify("all to one expert", 300, 16, 1, "one"),
        verify("every expert", 65, 4, 4, "even"),
        verify("experts that get nothing", 40, 64, 2, "skewed"),
        verify("a prime of experts", 257, 61, 4, "measured"),
        verify("no token", 0, 8, 2, "even"),
        verify("whole tiles", 1024, 32, 2, "even"),
        verify("the same experts for all", 290, 8, 2, "same"),
        verify("runs of whole tiles", 512, 16, 2, "runs"),
    ),
    bench=(
        bench("Qwen3-30B-A3B, 4096 tokens", 4096, 128, 8, "measured", "Qwen3-30B-A3B: 128 experts, 8 a token"),
        bench("Mixtral 8x7B, 16k tokens", 16384, 8, 2, "measured", "Mixtral (arXiv:2401.04088): 8 experts, 2 a token"),
        bench("SonicMoE, 32k tokens", 32768, 128, 8, "even", "SonicMoE's benchmark: 128 experts, 8 a token"),
        bench("decoding 64 sequences", 64, 256, 8, "skewed", "DeepSeek-V3 (arXiv:2412.19437): 256 experts, 8 a token"),
    ),
    cost=cost,
)
