"""A mixture-of-experts layer without dropped tokens: route, gated feed-forward of each token's experts, weighted sum.

The forward pass that MegaBlocks (arXiv:2211.15841), ScatterMoE (arXiv:2403.08245) and SonicMoE (arXiv:2512.14080)
compute. A kernel routes, groups, multiplies and combines in one plan; nothing goes back to the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from warpsmith.tasks import Cost, Output, Property, Role, Task, Tensor, Tolerance, Workload, intermediate
from warpsmith.tasks.moe._routing import loads

MARGIN = 0.02
"""Least gap between the last logit that is taken and the first that is not, so that no honest rounding turns it.
Equal logits of equal router rows are another matter: they are exactly equal for everybody."""
Tensors = dict[str, torch.Tensor]
Draw = Callable[[Mapping[str, int], torch.Generator], Tensors]


def chosen(x: torch.Tensor, router: torch.Tensor, TOPK: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and ids of the TOPK experts of each token, largest first, ties to the lower expert; [T, TOPK] each."""
    logits = x @ router.T
    ids = logits.argsort(dim=1, descending=True, stable=True)[:, :TOPK]
    return logits.gather(1, ids), ids


def reference(
    x: torch.Tensor, router: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, TOPK: int, rows: torch.Tensor
) -> torch.Tensor:
    """y[t] = sum over chosen experts e of s[e] * (silu(g) * u) @ w2[e].T, with g, u the even and odd rows' products.

    s is the softmax over the TOPK chosen logits. Hidden values are stored in bfloat16 between the two products.
    """
    tokens = x[rows]
    logits, ids = chosen(tokens, router, TOPK)
    share = torch.softmax(logits, dim=1)
    y = torch.zeros_like(tokens)
    for expert in torch.unique(ids).tolist():
        token, choice = (ids == expert).nonzero(as_tuple=True)
        both = tokens[token] @ w1[expert].T
        hidden = torch.nn.functional.silu(both[:, 0::2]) * both[:, 1::2]
        out = intermediate(hidden, torch.bfloat16) @ w2[expert].T
        y.index_add_(0, token, share[token, choice].unsqueeze(1) * out)
    return y


def bits(*shape: int, scale: float, generator: torch.Generator) -> torch.Tensor:
    """Uniform bfloat16 values of standard deviation `scale`; large weights are drawn much faster than normal ones."""
    codes = torch.randint(-127, 128, shape, dtype=torch.int8, generator=generator)
    return codes.to(torch.bfloat16) * (scale / 73.5)


def layer(dims: Mapping[str, int], skew: str, generator: torch.Generator) -> Tensors:
    """Unit activations, weights that keep them so, and a router that spreads tokens by the given loads."""
    T, H, E, I = (dims[name] for name in "THEI")
    x = torch.randn(T, H, generator=generator)
    router = torch.randn(E, H, generator=generator) * (1.5 / H**0.5)
    # One direction of x is the same for all tokens; a router row's part along it is its expert's standing.
    x[:, 0] = 4.0
    router[:, 0] = loads(E, skew, generator).log() / 4.0
    x, router = clear(x.bfloat16(), router.bfloat16(), dims["TOPK"])
    return {
        "x": x,
        "router": router,
        "w1": bits(E, 2 * I, H, scale=H**-0.5, generator=generator),
        "w2": bits(E, H, I, scale=2.0 * I**-0.5, generator=generator),
    }


def clear(x: torch.Tensor, router: torch.Tensor, TOPK: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens whose choice hangs by less than MARGIN become copies of tokens whose choice does not."""
    if len(router) <= TOPK or not len(x):
        return x, router
    ordered = (x.float() @ router.float().T).sort(dim=1, descending=True).values
    gap = ordered[:, TOPK - 1] - ordered[:, TOPK]
    good = (gap >= MARGIN).nonzero().squeeze(1)
    if len(good):
        bad = (gap < MARGIN).nonzero().squeeze(1)
        x[bad] = x[good[torch.arange(len(bad)) % len(good)]]
    else:
        x[:] = x[gap.argmax()]
    return x, router


def routed(skew: str) -> Draw:
    """The distribution of one kind of load."""

    def draw(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
        return layer(dims, skew, generator)

    return draw


def tied(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """Experts in pairs with equal router rows, but other weights: the lower of two equals comes first."""
    T, H, E = (dims[name] for name in "THE")
    inputs = layer(dims, "even", generator)
    rows = torch.randn(E, H, generator=generator) * (1.5 / H**0.5)
    rows[1::2] = rows[0::2][: len(rows[1::2])]
    inputs["router"] = rows.bfloat16()
    # A gap below the last pair that is touched is what keeps the choice clear.
    pairs = (dims["TOPK"] + 1) // 2
    if pairs < E // 2 and T:
        ordered = (inputs["x"].float() @ inputs["router"][0::2].float().T).sort(dim=1, descending=True).values
        gaps = torch.stack([ordered[:, place] - ordered[:, place + 1] for place in range(pairs)]).amin(dim=0)
        good = (gaps >= MARGIN).nonzero().squeeze(1)
        if len(good):
            bad = (gaps < MARGIN).nonzero().squeeze(1)
            inputs["x"][bad] = inputs["x"][good[torch.arange(len(bad)) % len(good)]]
    return inputs


def uneven(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """Experts whose weights differ fourfold, hidden units that differ eightfold, a spike in every row of 64 of w2."""
    inputs = layer(dims, "skewed", generator)
    E, I = dims["E"], dims["I"]
    inputs["w1"] *= 2.0 ** torch.randint(-1, 2, (E, 1, 1), generator=generator)
    scale = 2.0 ** torch.randint(-1, 3, (E, 1, I), generator=generator)
    inputs["w2"] *= scale.bfloat16()
    places = torch.arange(0, I, 64)
    inputs["w2"][:, :, places] = 6.0 * inputs["w2"][:, :, places]
    return inputs


def cost(dims: Mapping[str, int]) -> Cost:
    """Every token through TOPK experts; the weights of as many experts as tokens can reach."""
    return _cost(dims, min(dims["E"], dims["T"] * dims["TOPK"]))


def exact_cost(dims: Mapping[str, int], inputs: Mapping[str, torch.Tensor]) -> Cost:
    """The weights of the experts that tokens reach."""
    _, ids = chosen(inputs["x"].float(), inputs["router"].float(), dims["TOPK"])
    return _cost(dims, len(torch.unique(ids)))


def _cost(dims: Mapping[str, int], touched: int) -> Cost:
    T, H, E, I, TOPK = (dims[name] for name in ("T", "H", "E", "I", "TOPK"))
    return Cost(
        flops=6 * T * TOPK * H * I + 2 * T * E * H, bytes=2 * (2 * T * H + E * H + 3 * touched * H * I), unit="bf16"
    )


def permuted(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, torch.Tensor]:
    order = torch.randperm(dims["T"], generator=generator)
    inputs["x"] = inputs["x"][order]
    return inputs, order


def same_rows(first: Tensors, second: Tensors, order: torch.Tensor) -> dict[str, Any]:
    return {"y": (first["y"][order], second["y"])}


def elsewhere(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, int]:
    """All tokens but the first half become copies of one token, and go where it goes."""
    kept = (dims["T"] + 1) // 2
    inputs["x"][kept:] = inputs["x"][int(torch.randint(0, dims["T"], (1,), generator=generator))].clone()
    return inputs, kept


def first_rows(first: Tensors, second: Tensors, kept: int) -> dict[str, Any]:
    return {"y": (first["y"][:kept], second["y"][:kept])}


def doubled(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, None]:
    inputs["w2"] *= 2
    return inputs, None


def twice(first: Tensors, second: Tensors, known: Any) -> dict[str, Any]:
    return {"y": (2 * first["y"], second["y"])}


def verify(name: str, T: int, H: int, E: int, I: int, TOPK: int, distribution: str) -> Workload:
    return Workload(name, {"T": T, "H": H, "E": E, "I": I, "TOPK": TOPK}, distribution)


def bench(name: str, T: int, H: int, E: int, I: int, TOPK: int, distribution: str, source: str) -> Workload:
    return Workload(name, {"T": T, "H": H, "E": E, "I": I, "TOPK": TOPK}, distribution, source=source)


QWEN = "Qwen3-30B-A3B: hidden 2048, 128 experts of 768, 8 a token; one of four GPUs' share of each expert"
GRANITE = "granite-3.0-1b-a400m: hidden 1024, 32 experts of 512, 8 a token"
MIXTRAL = "Mixtral 8x7B (arXiv:2401.04088): hidden 4096, 8 experts of 14336, 2 a token; one of eight GPUs' share"

TASK = Task(
    name="moe_forward",
    family="moe",
    summary="mixture of experts: top-k routing, gated feed-forward of each token's experts, softmax-weighted sum",
    dims=("T", "H", "E", "I", "TOPK"),
    fixed=("E", "TOPK"),
    constraints=("T >= 1", "H >= 8", "E >= 1", "I >= 8", "TOPK >= 1", "TOPK <= E", "H % 8 == 0", "I % 8 == 0"),
    inputs=(
        Tensor("x", ("T", "H"), "bfloat16"),
        Tensor("router", ("E", "H"), "bfloat16", Role.STATIC),
        Tensor("w1", ("E", "2 * I", "H"), "bfloat16", Role.STATIC),
        Tensor("w2", ("E", "H", "I"), "bfloat16", Role.STATIC),
    ),
    outputs=(Output("y", ("T", "H"), "bfloat16"),),
    rows="T",
    reference=reference,
    make_inputs={
        **{name: routed(name) for name in ("even", "measured", "skewed", "one")},
        "tied": tied,
        "uneven": uneven,
    },
    exact_cost=exact_cost,
    cost=cost,
    properties=(
        Property("permuting tokens permutes rows", permuted, same_rows),
        Property("where other tokens go does not change a token's row", elsewhere, first_rows),
        Property("doubling the second weights doubles the result", doubled, twice),
    ),
    verify=(
        verify("one token", 1, 64, 8, 64, 2, "even"),
        verify("ragged tokens", 37, 64, 8, 48, 2, "measured"),
        verify("all to one expert", 40, 64, 8, 32, 1, "one"),
        verify("experts that get nothing", 20, 64, 32, 32, 2, "skewed"),
        verify("tied experts", 33, 128, 8, 32, 2, "tied"),
        # An odd number takes one of two equal experts, and which one is told by the result alone then.
        verify("tied experts, three a token", 33, 128, 8, 32, 3, "tied"),
        verify("many small experts", 24, 64, 64, 16, 8, "measured"),
        verify("uneven weights", 50, 96, 4, 72, 2, "uneven"),
        verify("every expert", 17, 64, 4, 64, 4, "even"),
        verify("past a tile", 131, 64, 4, 40, 2, "skewed"),
        verify("whole tiles", 64, 128, 4, 128, 2, "even"),
        verify("long rows", 32, 256, 8, 256, 2, "skewed"),
        verify("a full tile", 80, 256, 2, 128, 1, "one"),
        # Tiles of up to 192 tokens are full, and blocks take four, two or one times 64 weight rows of both products.
        verify("two tall tiles", 345, 264, 2, 136, 1, "one"),
    ),
    bench=(
        bench("Granite, 8 tokens", 8, 1024, 32, 512, 8, "measured", GRANITE),
        bench("Granite, 4096 tokens", 4096, 1024, 32, 512, 8, "measured", GRANITE),
        bench("Qwen3, 64 tokens", 64, 2048, 128, 192, 8, "skewed", QWEN),
        bench("Qwen3, 4096 tokens", 4096, 2048, 128, 192, 8, "measured", QWEN),
        bench("Mixtral, 2048 tokens", 2048, 4096, 8, 1792, 2, "even", MIXTRAL),
    ),
    tolerance=Tolerance(k=3.0, floor=4e-4, floor_largest=3e-3),
)
