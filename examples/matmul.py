# /// kernel
# task = "matmul"
# [tune]
# BM = [64, 32]
# BN = [64, 32]
# BK = [32]
# num_warps = [4]
# num_stages = [3, 2]
#
# [[launch]]
# kernel = "matmul"
# grid = ["cdiv(M, BM)", "cdiv(N, BN)"]
# ///
import triton
import triton.language as tl


@triton.jit
def matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    cols = tl.program_id(1) * BN + tl.arange(0, BN)
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for start in range(0, K, BK):
        ks = start + tl.arange(0, BK)
        left = tl.load(a + rows[:, None] * K + ks[None, :], mask=(rows < M)[:, None] & (ks < K)[None, :], other=0.0)
        right = tl.load(b + ks[:, None] * N + cols[None, :], mask=(ks < K)[:, None] & (cols < N)[None, :], other=0.0)
        total = tl.dot(left, right, total)
    mask = (rows < M)[:, None] & (cols < N)[None, :]
    tl.store(c + rows[:, None] * N + cols[None, :], total.to(c.dtype.element_ty), mask=mask)
