"""Output sites of a sparse 3-D convolution, and which input site each of them meets at each kernel offset.

What Spira (arXiv:2511.20834), TorchSparse++ and Minuet build before any feature is read. With stride 1 outputs stand
where inputs stand (submanifold). With stride 2 they stand at the distinct cells of a grid twice as coarse, written with
the coordinates of the fine one, in any order.

Sites are distinct; batches and coordinates are 0 to 2^15 - 1, as where a cloud is moved to its least corner. A kernel
of KS sites an axis reaches from -(KS // 2) to KS // 2, so KS is odd; x is slowest among the offsets and z fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from warpsmith.tasks import Check, Cost, Output, Property, Task, Tensor, Workload
from warpsmith.tasks.sparse_conv._clouds import (
    Cloud,
    bits_apart,
    distinct,
    indoor,
    kernel_map,
    keys,
    lattice,
    lidar,
    sites,
    solid,
    uniform,
)

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


def same_map(
    got: Tensors, expected: Tensors, inputs: Tensors, dims: Mapping[str, int]
) -> dict[str, dict[str, torch.Tensor]]:
    """Wrong: a site that is none or stands twice, one out of place at stride 1, and a row that is not its site's."""
    sites_got, map_got = got["out_coords"].to(torch.int64), got["kmap"]
    count = int(expected["n_out"])
    wanted, wanted_map = expected["out_coords"][:count].to(torch.int64), expected["kmap"][:count]
    none = {name: torch.zeros_like(got[name], dtype=torch.bool) for name in ("out_coords", "kmap")}
    if not count:
        return {name: {} for name in none}
    row, bad, twice = torch.arange(count), (sites_got[:count] != wanted).any(dim=1), none["kmap"][:count, 0]
    if dims["STRIDE"] > 1:
        inside = ((sites_got >= 0) & (sites_got < 1 << 15)).all(dim=1)
        found = keys(torch.where(inside.view(-1, 1), sites_got, 0))[:count]
        ordered, order = keys(wanted).sort()
        place = torch.searchsorted(ordered, found).clamp(max=count - 1)
        row = order[place]
        bad = ~inside[:count] | (ordered[place] != found)
        twice = ~bad & (torch.bincount(row[~bad], minlength=count)[row] != 1)

    def padded(mask: torch.Tensor, name: str) -> torch.Tensor:
        whole = none[name].clone()
        whole[:count] = mask
        return whole

    no_site = "no output site" if dims["STRIDE"] > 1 else "not the site of the input in the same place"
    other_row = (map_got[:count] != wanted_map[row]) & ~(bad | twice).view(-1, 1)
    hole = map_got[:count] < 0
    return {
        "out_coords": {
            no_site: padded(bad.view(-1, 1), "out_coords"),
            "stands twice": padded(twice.view(-1, 1), "out_coords"),
        },
        "kmap": {
            "-1 where an input stands": padded(other_row & hole, "kmap"),
            "an input where none stands": padded(other_row & ~hole & (wanted_map[row] < 0), "kmap"),
            "another input than the one that stands there": padded(other_row & ~hole & (wanted_map[row] >= 0), "kmap"),
        },
    }


def drawn(cloud: Cloud) -> Draw:
    """The distribution of one kind of cloud."""

    def draw(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
        return {"coords": sites(dims["NV"], cloud, generator)}

    return draw


def placed_by(draw_sites: Callable[[int, torch.Generator], torch.Tensor]) -> Draw:
    """The distribution of sites that are drawn without a cloud."""

    def draw(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
        return {"coords": draw_sites(dims["NV"], generator)}

    return draw


def apart(NV: int) -> torch.Tensor:
    """As many distinct sites that are hardly neighbours, 70 at least from the origin and far from the last one."""
    number = torch.arange(NV, dtype=torch.int32)
    return torch.stack([number % 2, number % 4000 + 70, 7 * number % 4000 + 70, 100 + number // 4000], dim=1)


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
    chosen = torch.cat([low, apart(NV)])[:NV] if NV else low
    return {"coords": chosen[torch.randperm(NV, generator=generator)].to(torch.int32)}


def ends(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """Pairs in one batch, a site at each end of an axis and otherwise in one place: neighbours only if it wrapped."""
    NV = dims["NV"]
    first = sites((NV + 1) // 2, indoor, generator)
    axis = (1 + torch.arange(len(first)) % 3).view(-1, 1)
    pairs = distinct(torch.cat([first.scatter(1, axis, 0), first.scatter(1, axis, (1 << 15) - 1)]))
    chosen = torch.cat([pairs, apart(NV)])[:NV]
    return {"coords": chosen[torch.randperm(NV, generator=generator)]}


def far(dims: Mapping[str, int], generator: torch.Generator) -> Tensors:
    """Half of the sites as far from the origin as sites may be, in the last batch, the others near it."""
    coords = sites(dims["NV"], indoor, generator)
    for column, last in enumerate(coords.amax(dim=0).tolist() if len(coords) else ()):
        coords[coords[:, 0] == 1, column] += (1 << 15) - 1 - last
    return {"coords": coords}


def placed(outputs: Tensors, coords: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Key of each site in ascending order, and of the neighbours it names, -1 for none: the same however rows are
    numbered; int64 [NV] and [NV, V], -1 behind the sites there are.
    """
    names, met = outputs["out_coords"], outputs["kmap"].to(torch.int64)
    there = torch.arange(len(names)) < outputs["n_out"]
    ordered, order = keys(names).masked_fill(~there, -1).sort()
    if not len(coords):
        return ordered, met
    found = torch.where(met >= 0, keys(coords)[met.clamp(0, len(coords) - 1)], -1)
    return ordered, found.masked_fill(~there.view(-1, 1), -1)[order]


def shuffled(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, Any]:
    before = inputs["coords"]
    inputs["coords"] = before[torch.randperm(dims["NV"], generator=generator)]
    return inputs, (before, inputs["coords"])


def same_neighbours(first: Tensors, second: Tensors, known: Any) -> dict[str, Any]:
    (one, ones), (other, others) = placed(first, known[0]), placed(second, known[1])
    return {"out_coords": (one, other), "kmap": (ones, others)}


def mirrored(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, Any]:
    """x and z of every site exchanged, which keeps sites apart and inside."""
    inputs["coords"] = inputs["coords"][:, [0, 3, 2, 1]]
    return inputs, (inputs["coords"], dims["KS"])


def turned_map(first: Tensors, second: Tensors, known: Any) -> dict[str, Any]:
    """What the first answer says of the sites turned: its offsets, too, have x and z exchanged."""
    after, KS = known
    turn = torch.arange(KS**3).view(KS, KS, KS).permute(2, 1, 0).flatten()
    turned = {**first, "out_coords": first["out_coords"][:, [0, 3, 2, 1]], "kmap": first["kmap"][:, turn]}
    (one, ones), (other, others) = placed(turned, after), placed(second, after)
    return {"out_coords": (one, other), "kmap": (ones, others)}


def moved(inputs: Tensors, dims: Mapping[str, int], generator: torch.Generator) -> tuple[Tensors, Any]:
    """Every site as far away, by multiples of the stride, as keeps all of them inside; a random way along each axis."""
    before, shift = inputs["coords"], torch.zeros(4, dtype=torch.int32)
    if dims["NV"]:
        low, high = before.amin(dim=0), before.amax(dim=0)
        down, up = torch.randint(0, 2, (4,), generator=generator).bool(), (1 << 15) - 1 - high
        shift = torch.where(down, -low, up).to(torch.int32)
        shift[1:] = torch.div(shift[1:], dims["STRIDE"], rounding_mode="trunc") * dims["STRIDE"]
        shift[0] = 0
    inputs["coords"] = before + shift
    return inputs, (inputs["coords"], shift)


def moved_map(first: Tensors, second: Tensors, known: Any) -> dict[str, Any]:
    """What the first answer says of the sites where they are now."""
    after, shift = known
    there = (torch.arange(len(first["out_coords"])) < first["n_out"]).view(-1, 1)
    now = {**first, "out_coords": torch.where(there, first["out_coords"] + shift, first["out_coords"])}
    (one, ones), (other, others) = placed(now, after), placed(second, after)
    return {"out_coords": (one, other), "kmap": (ones, others)}


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
    constraints=("NV >= 0", "KS >= 1", "KS <= 5", "KS % 2 == 1", "STRIDE >= 1", "STRIDE <= 2"),
    inputs=(Tensor("coords", ("NV", "4"), "int32"),),
    outputs=(
        Output("out_coords", ("NV", "4"), "int32", valid="n_out"),
        Output("kmap", ("NV", "V"), "int32", valid="n_out"),
        Output("n_out", ("1",), "int32"),
    ),
    reference=reference,
    make_inputs={
        "indoor": drawn(indoor),
        "lidar": drawn(lidar),
        "uniform": drawn(uniform),
        "extremes": extremes,
        "ends": ends,
        "far": far,
        "bits apart": placed_by(bits_apart),
        "lattice": placed_by(lattice),
        "solid": placed_by(solid),
    },
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
    properties=(
        Property("the order of the input sites only renames rows", shuffled, same_neighbours),
        Property("moving every site by multiples of the stride moves output sites alone", moved, moved_map),
        Property("exchanging x and z exchanges them in sites and offsets", mirrored, turned_map),
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
        verify("both ends of every axis", "ends", 350, 3, 1),
        verify("both ends of every axis, stride 2", "ends", 291, 3, 2),
        verify("both ends of every axis, kernel 5", "ends", 180, 5, 1),
        verify("far from the origin", "far", 190, 3, 1),
        verify("far from the origin, stride 2", "far", 230, 3, 2),
        verify("scattered", "uniform", 1000, 3, 1),
        verify("no site", "uniform", 0, 3, 1),
        verify("few sites, stride 2", "indoor", 7, 3, 2),
        # Blocks that find no site of theirs, as the last of a large grid may, in every build that is timed.
        verify("no site, stride 2", "uniform", 0, 3, 2),
        verify("no site, kernel 5", "uniform", 0, 5, 1),
        # Hardly two sites are neighbours, so hash tables are as full as they become, and sites collide in them.
        verify("scattered, kernel 5", "uniform", 300, 5, 1),
        verify("scattered, stride 2", "uniform", 270, 3, 2),
        verify("sites a bit apart", "bits apart", 360, 3, 1),
        verify("sites a bit apart, stride 2", "bits apart", 310, 3, 2),
        verify("equal low bits", "lattice", 280, 3, 1),
        # 27 of them have all 125 neighbours.
        verify("every neighbour, kernel 5", "solid", 343, 5, 1),
    ),
    bench=(
        bench("indoor, 100k, kernel 3", "indoor", SPIRA, 100_000, 3, 1),
        bench("LiDAR, 100k, kernel 3, stride 2", "lidar", SPIRA, 100_000, 3, 2),
        bench("LiDAR, 50k, kernel 5", "lidar", SPIRA, 50_000, 5, 1),
        bench("uniform, 100k, kernel 3", "uniform", SPIRA, 100_000, 3, 1),
    ),
)
