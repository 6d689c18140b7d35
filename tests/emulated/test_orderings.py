"""Modelled times stand in the order that arithmetic done by hand says, in each family, on h200."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from warpsmith.core.task import Workload
from warpsmith.tasks import load_task

from .seeded import seed_named, timed

Tensors = dict[str, torch.Tensor]
Draw = Callable[..., Tensors]
pytestmark = pytest.mark.full


def times(
    task: str, seed: str, cache: Path, *workloads: Workload, drawn: Mapping[str, Draw] | None = None
) -> list[float]:
    """Modelled microseconds of a seed at each workload, with what `drawn` adds to the task's distributions."""
    loaded = load_task(task)
    makers = {**loaded.make_inputs, **(drawn or {})}
    absent = loaded.bench[0].absent
    bench = tuple(replace(item, absent=absent) for item in workloads)
    loaded = replace(loaded, make_inputs=makers, bench=bench)
    profile = timed(loaded, seed_named(task, seed), "h200", cache, draw=3)
    return [item.duration.us for item in profile.workloads if item.duration is not None]


def linear(M: int, N: int) -> Workload:
    return Workload(f"M = {M}, N = {N}", {"M": M, "N": N, "K": 4096, "G": 128}, "normal")


def test_a_plain_product_is_slower_than_a_tiled_one_and_that_than_one_on_tensor_cores(tmp_path: Path) -> None:
    """64 x 4096 x 4096 are 1.07e9 multiply-adds, and an h200 issues 132 x 4 warp instructions a clock at 1.7 to 2 GHz.

    naive: a word is unpacked for every row anew, so five instructions a multiply-add at least (load, shift, mask,
    convert, multiply-add): 1.7e8 warp instructions, 170 us. vectorized: one multiply-add of a half2 for two at best,
    unpacking shared by the rows of a tile: 1.7e7 and as much again, 34 us. tensor core: `mma.m16n8k16` does 2,048 at a
    time: 5.2e5, less than what unpacking 1.7e7 weights takes.
    """
    naive, tiled, tensor = (
        times("w4a16_gemm", seed, tmp_path, linear(64, 4096))[0] for seed in ("naive", "vectorized", "tensor_core")
    )
    assert naive > 2 * tiled
    assert tiled > 2 * tensor


def test_a_row_times_seven_times_the_weights_takes_longer_by_up_to_seven(tmp_path: Path) -> None:
    """At M = 1 weights are all there is to move: 8.4 MB take 1.8 us at 4.8 TB/s, 59 MB 12.2; launches come on top."""
    few, many = times("w4a16_gemm", "tensor_core", tmp_path, linear(1, 4096), linear(1, 28672))
    assert 2 * few < many < 7 * few


def convolution(distribution: str) -> Workload:
    sites = 2 * 132 * 128
    dims = {"NV": sites, "NOUT": sites, "KS": 3, "CIN": 64, "COUT": 64}
    return Workload(distribution, dims, distribution)


def plane(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """A flat cloud: nine neighbours a site, at the same nine offsets everywhere."""
    inputs = dict(load_task("spconv_forward").make_inputs["any map"](dims, generator))
    inputs["kmap"][:] = -1
    for v in range(9):
        inputs["kmap"][:, 3 * v + 1] = (torch.arange(dims["NOUT"]) + v) % dims["NV"]
    return inputs


def scattered(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """The same neighbours, at any nine offsets."""
    inputs = plane(dims, generator)
    order = torch.rand(inputs["kmap"].shape, generator=generator).argsort(dim=1)
    inputs["kmap"] = inputs["kmap"].gather(1, order).contiguous()
    return inputs


def crowded(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """As many pairs: the first third of the sites has all 27 neighbours, the others have none."""
    inputs = plane(dims, generator)
    third = dims["NOUT"] // 3
    inputs["kmap"][:] = -1
    inputs["kmap"][:third] = (torch.arange(third).view(-1, 1) + torch.arange(27)).to(torch.int32) % dims["NV"]
    return inputs


def test_a_convolution_takes_longer_where_its_pairs_lie_apart_or_with_few_blocks(tmp_path: Path) -> None:
    """264 blocks of 128 sites, two a multiprocessor; 304,128 pairs in all three.

    plane: a block meets 9 offsets. scattered: 128 sites that miss an offset with 2/3 each leave none out, so all 27:
    three times the products. crowded: 88 blocks meet 27 offsets and 176 none, so 88 of 132 multiprocessors do it all,
    one block each: 27 steps one after another where the plane's two blocks take 9 each at once.
    """
    drawn = {"plane": plane, "scattered": scattered, "crowded": crowded}
    balanced, apart, skewed = times("spconv_forward", "tensor_core", tmp_path, *map(convolution, drawn), drawn=drawn)
    assert apart > 1.5 * balanced
    assert skewed > 1.2 * balanced


def attention(S: int, distribution: str) -> Workload:
    dims = {"T": 4096, "B": 1, "H": 4, "G": 16, "D": 128, "DV": 128, "BS": 64, "S": S}
    return Workload(f"{S} blocks, {distribution}", dims, distribution, dtypes={"E": "bfloat16"})


def same_blocks(dims: Mapping[str, int], generator: torch.Generator, dtypes: Mapping[str, torch.dtype]) -> Tensors:
    """Every token selects the first S blocks, as far as they do not lie after it."""
    inputs = dict(load_task("nsa_selected_attention").make_inputs["selected"](dims, generator, dtypes))
    own = (torch.arange(dims["T"]) // dims["BS"]).view(1, -1, 1)
    ids = torch.arange(dims["S"]).expand(dims["H"], dims["T"], -1)
    inputs["block_ids"] = torch.where(ids <= own, ids, -1).to(torch.int32)
    return inputs


def own_blocks(dims: Mapping[str, int], generator: torch.Generator, dtypes: Mapping[str, torch.dtype]) -> Tensors:
    """Every token selects S blocks of its own, at random among those before it."""
    inputs = dict(load_task("nsa_selected_attention").make_inputs["selected"](dims, generator, dtypes))
    own = (torch.arange(dims["T"]) // dims["BS"]).view(1, -1, 1)
    blocks = dims["T"] // dims["BS"]
    chance = torch.rand(dims["H"], dims["T"], blocks, generator=generator)
    best = chance.masked_fill(torch.arange(blocks) > own, -1.0).topk(dims["S"], dim=-1)
    inputs["block_ids"] = best.indices.masked_fill(best.values < 0, -1).to(torch.int32)
    return inputs


def test_attention_takes_longer_the_more_blocks_it_selects_and_the_less_tokens_share_them(tmp_path: Path) -> None:
    """4,096 tokens select 8 or 16 of up to 64 blocks.

    The products of 16 blocks are twice those of 8. A block of threads holds 16 neighbouring tokens: where all select
    the same 16 blocks it copies 16; where each draws its own among 64, the chance that nobody selects one is
    (3/4)^16 = 1 %, so it copies all 64, four times as much. Products and softmax, which take most of the time, are the
    same in both.
    """
    drawn = {"same": same_blocks, "own": own_blocks}
    asked = attention(16, "same"), attention(16, "own"), attention(8, "own")
    shared, apart, half = times("nsa_selected_attention", "tensor_core", tmp_path, *asked, drawn=drawn)
    assert apart > 1.05 * shared
    assert apart > 1.2 * half


def experts(distribution: str) -> Workload:
    return Workload(distribution, {"T": 64, "H": 1024, "E": 32, "I": 512, "TOPK": 1}, distribution)


def test_tokens_that_meet_fewer_experts_fetch_fewer_weights(tmp_path: Path) -> None:
    """64 tokens on 32 experts of 3.1 MB: spread evenly they meet 32 x (1 - (31/32)^64) = 28 of them, 88 MB, 18 us at
    4.8 TB/s; nearly all on one, they meet two or three, 2 us. Four more launches take some microseconds in both.
    """
    spread, one = times("moe_forward", "tensor_core", tmp_path, experts("even"), experts("one"))
    assert spread > 1.25 * one


def whole_tiles(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """Experts take turns, so that all get equally many tokens: each listens to one direction of x, a token points to
    those of its TOPK experts.
    """
    inputs = dict(load_task("moe_forward").make_inputs["even"](dims, generator))
    T, E, TOPK = (dims[name] for name in ("T", "E", "TOPK"))
    ids = (torch.arange(T).view(-1, 1) * TOPK + torch.arange(TOPK)) % E
    inputs["router"][:] = torch.eye(E, dims["H"]).bfloat16()
    inputs["x"][:, :E] = torch.zeros(T, E).scatter_(1, ids, 4.0).bfloat16()
    return inputs


def prefill(distribution: str) -> Workload:
    return Workload(distribution, {"T": 4096, "H": 2048, "E": 128, "I": 192, "TOPK": 8}, distribution)


def test_tokens_that_fill_tiles_are_done_before_those_that_do_not(tmp_path: Path) -> None:
    """Qwen3's 4,096 tokens make 32,768 entries; a block takes up to 128 entries of one expert.

    Balanced: 256 an expert, 2 x 128 = 256 tiles. Spread by chance with a mean of 256, an expert gets more than that
    in one case of two and needs a third: 320 tiles. Skewed by 1 : 1000, the last tile of each expert is half full in
    the mean: 32,768 / 128 + 128 / 2 = 320 again, whoever gets the tokens: `skewed` is not slower than `even`, since
    blocks are dealt by tiles and not by experts.

    L2 holds the first product back (its tiles are 128 x 128). Each tile fetches its 128 weight rows anew, entries are
    fetched as often as there are: 256 + 2 x 128 = 512 rows an expert against 256 + 2.5 x 128 = 576, 1.12 times. That
    product takes about half of the time; the second waits for DRAM, which sees every entry once. So 1.06 in all, and
    1.25 if tensor cores held everything back.
    """
    asked = prefill("whole tiles"), prefill("even"), prefill("skewed")
    balanced, even, skewed = times("moe_forward", "tensor_core", tmp_path, *asked, drawn={"whole tiles": whole_tiles})
    assert balanced < even < 1.25 * balanced
    assert balanced < skewed < 1.25 * balanced


def map_of(sites: int, KS: int) -> Workload:
    return Workload(f"{sites} sites, kernel {KS}", {"NV": sites, "KS": KS, "STRIDE": 1}, "indoor")


def test_a_kernel_map_takes_longer_the_more_it_writes(tmp_path: Path) -> None:
    """50,000 sites write 27 or 125 rows of four bytes each, 5.4 or 25 MB, and ask for as many neighbours."""
    small, large = times("spconv_kernel_map", "columns", tmp_path, map_of(50_000, 3), map_of(50_000, 5))
    assert large > 1.5 * small
