"""A naive float32 matrix product in numba's CUDA simulator: one JSON object with its seconds.

Run with NUMBA_ENABLE_CUDASIM=1; the argument is the size. The kernel is that of `kernels/gemm_naive.cu`.
"""

import json
import sys
import time

import numpy as np
from numba import cuda

REPEAT = 3
"""Launches, of which the best one counts."""


@cuda.jit
def gemm(a, b, c, m, n, k):
    """C = a b, one thread an element."""
    column = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    row = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    if row < m and column < n:
        total = np.float32(0)
        for i in range(k):
            total += a[row, i] * b[i, column]
        c[row, column] = total


def main() -> None:
    size = int(sys.argv[1])
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, size, size)).astype(np.float32)
    c = np.zeros((size, size), np.float32)
    seconds = []
    for _ in range(REPEAT):
        start = time.perf_counter()
        gemm[(size // 32, size // 8), (32, 8)](a, b, c, size, size, size)
        seconds.append(time.perf_counter() - start)
    assert np.allclose(a @ b, c, atol=1e-3)
    print(json.dumps({"seconds": min(seconds)}))


if __name__ == "__main__":
    main()
