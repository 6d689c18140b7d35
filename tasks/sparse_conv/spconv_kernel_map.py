"""Output sites of a sparse 3-D convolution, and which input site each of them meets at each kernel offset.

What Spira (arXiv:2511.20834), TorchSparse++ and Minuet build before any feature is read. With stride 1 outputs stand
where inputs stand (submanifold). With stride 2 they stand at the distinct cells of a grid twice as coarse, written with
the coordinates of the fine one, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from warpsmith.tasks import Check, Cost, Output, Task, Tensor, Workload
from warpsmith.tasks.sparse_conv._clouds import Cloud, distinct, indoor, kernel_map, keys, lidar, sites, uniform

Tensors = dict[str, torch.Tensor]
Draw = Callable[[Mapping[str, int], torch.Generator], Tensors]


def reference(coords: torch.Tensor, KS: int, STRIDE: int) -> Tensors:
    """Sites [n_out, 4], and the row of `coords` at site + offset or -1, [n_out, KS ** 3]; offsets have x slowest."""
    out = coords
    if STRIDE > 1:
        coarse = coords.clone()
        coarse[:, 1:] = coarse[:, 1:] // STRIDE * STRIDE
        out = distinct(coarse)
    count = torch.tensor([len(out)], dtype=torch.int32)
    return {"out_coords": out, "kmap": kernel_map(coords, out, KS), "n_out": count}


def same_map(got: Tensors, expected: Tensors, inputs: Tensors, dims: Mapping[str, int]) -> Tensors:
    """Wrong: a site that is none or stands twice, one out of place at stride 1, and a row that is not its site's."""
    sites_got, map_got = got["out_coords"].to(torch.int64), got["kmap"]
    count = int(expected["n_out"])
    wanted, wanted_map = expected["out_coords"][:count].to(torch.int64), expected["kmap"][:count]
    if not count:
        return {name: torch.zeros_like(got[name], dtype=torch.bool) for name in ("out_coords", "kmap")}
    row = torch.arange(len(sites_got)).clamp(max=count - 1)
    bad = (sites_got[:count] != wanted).any(dim=1)
    if dims["STRIDE"] > 1:
        inside = ((sites_got >= 0) & (sites_got < 1 << 15)).all(dim=1)
        found = keys(torch.where(inside.view(-1, 1), sites_got, 0))
        ordered, order = keys(wanted).sort()
        place = torch.searchsorted(ordered, found).clamp(max=count - 1)
        row = order[place]
        bad = (~inside | (ordered[place] != found))[:count]
        bad |= torch.bincount(row[:count], minlength=count)[row[:count]] != 1
    wrong = {name: torch.zeros_like(got[name], dtype=torch.bool) for name in ("out_coords", "kmap")}
    wrong["out_coords"][:count] = bad.view(-1, 1)
    wrong["kmap"][:count] = (map_got[:count] != wanted_map[row[:count]]) & ~bad.view(-1, 1)
    return wrong


def drawn(cloud: Cloud) -> Draw:
    """The distribution of one kind of cloud."""

    def draw(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
        return {"coords": sites(dims["NV"], cloud, generator)}

    return draw


def extremes(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """Sites in corners of a box 4096 wide and exactly 256 high, neighbours across both ends of an axis among them.

    Packed keys with too few bits an axis, and subtraction that borrows from the next, find neighbours that are none.
    """
    NV = dims["NV"]
    low = sites(NV, indoor, generator).to(torch.int64)
    top = torch.tensor([4095, 4095, 255])
    low[:, 1:] = low[:, 1:] % torch.tensor([64, 64, 16])
    flip = torch.randint(0, 2, (NV, 3), generator=generator).bool()
    low[:, 1:] = torch.where(flip, top - low[:, 1:], low[:, 1:])
    low = distinct(low)
    number = torch.arange(NV)
    rest = torch.stack([number % 2, number % 4000 + 70, 7 * number % 4000 + 70, 100 + number // 4000], dim=1)
    chosen = torch.cat([low, rest])[:NV] if NV else low
    return {"coords": chosen[torch.randperm(NV, generator=generator)].to(torch.int32)}


def cost(dims: Mapping[str, int]) -> Cost:
    """No arithmetic to speak of: every coordinate read once, every output written once."""
    NV, KS = dims["NV"], dims["KS"]
    return Cost(flops=0.0, bytes=16 * NV + 16 * NV + 4 * NV * KS**3 + 4, unit="fp32")


def exact_cost(dims: Mapping[str, int], inputs: Mapping[str, torch.Tensor]) -> Cost:
    """With as many outputs as there are."""
    NV, KS = dims["NV"], dims["KS"]
    count = len(distinct(inputs["coords"] // torch.tensor([1, *[dims["STRIDE"]] * 3])))
    return Cost(flops=0.0, bytes=16 * NV + 16 * count + 4 * count * KS**3 + 4, unit="fp32")


def sizes(NV: int, KS: int, STRIDE: int) -> dict[str, int]:
    return {"NV": NV, "KS": KS, "STRIDE": STRIDE}


def verify(name: str, distribution: str, *extents: int) -> Workload:
    return Workload(name, sizes(*extents), distribution)


def bench(name: str, distribution: str, source: str, *extents: int) -> Workload:
    return Workload(name, sizes(*extents), distribution, source=source)


SPIRA = "Spira (arXiv:2511.20834): layers of SparseResNet and SparseResUNet, kernel 3 and 5, stride 1 and 2"

TASK = Task(
    name="spconv_kernel_map",
    family="sparse_conv",
    summary="output sites of a sparse convolution and the input row each meets at each kernel offset",
    dims=("NV", "KS", "STRIDE"),
    derived={"V": "KS * KS * KS"},
    fixed=("KS", "STRIDE"),
    constraints=("NV >= 0", "KS >= 1", "KS <= 5", "STRIDE >= 1", "STRIDE <= 2"),
    inputs=(Tensor("coords", ("NV", "4"), "int32"),),
    outputs=(
        Output("out_coords", ("NV", "4"), "int32", valid="n_out"),
        Output("kmap", ("NV", "V"), "int32", valid="n_out"),
        Output("n_out", ("1",), "int32"),
    ),
    reference=reference,
    make_inputs={"indoor": drawn(indoor), "lidar": drawn(lidar), "uniform": drawn(uniform), "extremes": extremes},
    exact_cost=exact_cost,
    cost=cost,
    checks=(
        Check(
            ("out_coords", "kmap"),
            "each output site stands once (with stride 1 where its input stands), and its row names the input at every "
            "offset, or -1",
            same_map,
        ),
    ),
    verify=(
        verify("one site", "indoor", 1, 3, 1),
        verify("ragged surface", "indoor", 333, 3, 1),
        verify("ragged surface, stride 2", "indoor", 301, 3, 2),
        verify("rings", "lidar", 515, 3, 1),
        verify("rings, stride 2", "lidar", 600, 3, 2),
        verify("kernel of five", "indoor", 211, 5, 1),
        verify("kernel of five, stride 2", "uniform", 130, 5, 2),
        verify("axis ends", "extremes", 420, 3, 1),
        verify("axis ends, stride 2", "extremes", 257, 3, 2),
        verify("scattered", "uniform", 1000, 3, 1),
        verify("no site", "uniform", 0, 3, 1),
        verify("few sites, stride 2", "indoor", 7, 3, 2),
    ),
    bench=(
        bench("indoor, 100k, kernel 3", "indoor", SPIRA, 100_000, 3, 1),
        bench("LiDAR, 100k, kernel 3, stride 2", "lidar", SPIRA, 100_000, 3, 2),
        bench("LiDAR, 50k, kernel 5", "lidar", SPIRA, 50_000, 5, 1),
        bench("uniform, 100k, kernel 3", "uniform", SPIRA, 100_000, 3, 1),
    ),
)
