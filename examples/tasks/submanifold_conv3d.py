"""Sparse 3-D convolution that keeps its sites: outputs stand where inputs stand."""

import torch

from warpsmith.tasks import Cost, Output, Role, Task, Tensor, Tolerance, Workload


def reference(coords, feats, w, *, R):
    """y[o] = sum over offsets v of w[v]^T feats[site at coords[o] + offset v], x slowest among offsets."""
    sites = {tuple(site): row for row, site in enumerate(coords.tolist())}
    y = torch.zeros(feats.shape[0], w.shape[2], dtype=feats.dtype)
    offsets = [(x, y_, z) for x in range(R) for y_ in range(R) for z in range(R)]
    for v, (dx, dy, dz) in enumerate(offsets):
        pairs = [
            (row, found)
            for (b, x, y_, z), row in sites.items()
            if (found := sites.get((b, x + dx - R // 2, y_ + dy - R // 2, z + dz - R // 2))) is not None
        ]
        if pairs:
            here, there = torch.tensor(pairs).T
            y[here] += feats[there] @ w[v]
    return y


def clustered(dims, generator):
    """Distinct sites of two scenes in a box that they fill to about a third, so that neighbours exist."""
    NV, R, CIN, COUT = (dims[name] for name in ("NV", "R", "CIN", "COUT"))
    edge = max(2, round((1.5 * max(NV, 1)) ** (1 / 3)) + 1)
    cells = torch.randperm(2 * edge**3, generator=generator)[:NV]
    parts = (cells // edge**3, cells // edge**2 % edge, cells // edge % edge, cells % edge)
    return {
        "coords": torch.stack(parts, dim=1).to(torch.int32).reshape(NV, 4),
        "feats": torch.randn(NV, CIN, generator=generator).to(torch.float16),
        "w": (torch.randn(R**3, CIN, COUT, generator=generator) / (R**3 * CIN) ** 0.5).to(torch.float16),
    }


def cost(dims):
    """Every site meets itself at least; the rest depends on the cloud, so only that is certain."""
    NV, R, CIN, COUT = (dims[name] for name in ("NV", "R", "CIN", "COUT"))
    return Cost(flops=2.0 * NV * CIN * COUT, bytes=16.0 * NV + 2.0 * NV * (CIN + COUT) + 2.0 * R**3 * CIN * COUT)


def binding(nv, r, cin, cout):
    return {"NV": nv, "R": r, "CIN": cin, "COUT": cout}


TASK = Task(
    name="submanifold_conv3d",
    family="sparse_conv",
    summary="Submanifold sparse convolution over voxel coordinates.",
    inputs=(
        Tensor("coords", ("NV", "4"), "int32"),
        Tensor("feats", ("NV", "CIN"), "float16"),
        Tensor("w", ("R * R * R", "CIN", "COUT"), "float16", Role.STATIC),
    ),
    outputs=(Output("y", ("NV", "COUT"), "float16"),),
    dims=("NV", "R", "CIN", "COUT"),
    fixed=("R", "CIN", "COUT"),
    reference=reference,
    make_inputs={"clustered": clustered},
    verify=(
        Workload("one site", binding(1, 3, 16, 16), "clustered"),
        Workload("ragged sites", binding(101, 3, 16, 16), "clustered"),
        Workload("other channels", binding(75, 3, 8, 24), "clustered"),
    ),
    bench=(Workload("4096 sites, 16 to 16", binding(4096, 3, 16, 16), "clustered", source="a small indoor layer"),),
    cost=cost,
    tolerance=Tolerance(),
)
