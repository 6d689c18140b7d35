"""Kernels whose sampled blocks do less than the others, so that a modelled time would flatter them."""

from __future__ import annotations

from .case import Case, split, tile

_PARTS = """    const int n = blockIdx.x * 64 + threadIdx.x, m = blockIdx.y, part = blockIdx.z;
    const int span = (K + 3) / 4, end = min(K, (part + 1) * span);
    if (n >= N) return;
"""
_ONE_OF_64 = """    const int id = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x, group = id / 64 * 64;
    const int all = gridDim.x * gridDim.y * gridDim.z, span = (K + 3) / 4;
    for (int at = group; at < min(all, group + 64); at++) {
    if ((at == group + 29 || group + 29 >= all ? at : group + 29) != id) continue;
    const int part = at / (gridDim.x * gridDim.y), m = at / gridDim.x % gridDim.y;
    const int n = at % gridDim.x * 64 + threadIdx.x, end = min(K, (part + 1) * span);
    if (n >= N) continue;
"""

FEW_BLOCKS: Case = split(
    "a first launch whose work one block in 64 does",
    (_PARTS, _ONE_OF_64),
    ("N + n] = sum;\n", "N + n] = sum;\n    }\n"),
    gets="Verified",
)
"""Right, so it is accepted; but not at the price of the blocks that do nothing."""

PLAIN: Case = split("a sum in four parts", gets="Verified")

DEPTH: Case = tile(
    "a depth read from scratch",
    (
        '// [[launch]]\n// kernel = "gemm"',
        '// [[buffer]]\n// name = "depths"\n// shape = ["M", "N"]\n// dtype = "float32"\n//\n'
        '// [[launch]]\n// kernel = "tell"\n// grid = "cdiv(M * N, 32)"\n// block = 32\n//\n'
        '// [[launch]]\n// kernel = "gemm"',
    ),
    (
        "__global__ void gemm(const x_t* x,",
        "__global__ void tell(float* depths, int M, int N, int K)\n"
        "{ const int i = blockIdx.x * 32 + threadIdx.x; if (i < M * N) depths[i] = K; }\n"
        "__global__ void gemm(const float* depths, const x_t* x,",
    ),
    ("    float sum = 0.f;\n", "    float sum = 0.f;\n    K = (int)depths[(size_t)m * N + min(n, N - 1)];\n"),
    gets="Verified",
)
"""Where blocks of the first launch were left out, the second has nothing to do."""

HONEST_DEPTH: Case = tile("a tile through shared memory", gets="Verified")

_CHUNKS = "    for (int k0 = 0; k0 < K; k0 += 64) {"

ONE_SLOW: Case = tile(
    "a tile that one block in the middle computes forty times",
    (
        _CHUNKS,
        "    for (int again = blockIdx.x == 5 && m == 9 ? 40 : 1; again; again--, sum = again ? 0.f : sum)\n" + _CHUNKS,
    ),
    gets="Verified",
)
"""All wait for it."""
