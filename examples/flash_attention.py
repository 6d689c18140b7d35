# /// kernel
# task = "causal_attention"
# [tune]
# BM = [64, 32]
# BN = [32, 64]
# num_warps = [4]
# num_stages = [2, 3]
#
# [[launch]]
# kernel = "attention"
# grid = ["cdiv(S, BM)", "B * H"]
# ///

# A block makes BM rows of one head. It walks over keys in steps of BN up to the diagonal and keeps, for each row, the
# largest score so far and the sum of exponentials relative to it; when a larger score appears, what was summed before
# shrinks by the same factor. Exponentials are of base 2: log2(e) goes into the scores' scale.
import triton
import triton.language as tl

LOG2E: tl.constexpr = 1.4426950408889634


@triton.jit
def attention(q, k, v, o, S, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    head = tl.program_id(1).to(tl.int64) * S * D
    dims = tl.arange(0, D)
    places = head + rows[:, None] * D + dims[None, :]
    query = tl.load(q + places, mask=(rows < S)[:, None], other=0.0)
    scale = LOG2E / tl.sqrt(D * 1.0)
    largest = tl.full((BM,), -float("inf"), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    out = tl.zeros((BM, D), tl.float32)
    for start in range(0, tl.minimum(S, tl.program_id(0) * BM + BM), BN):
        cols = start + tl.arange(0, BN)
        inside = (cols < S)[:, None]
        key = tl.load(k + head + cols[:, None] * D + dims[None, :], mask=inside, other=0.0)
        value = tl.load(v + head + cols[:, None] * D + dims[None, :], mask=inside, other=0.0)
        score = tl.dot(query, tl.trans(key)) * scale
        score = tl.where((rows[:, None] >= cols[None, :]) & (cols < S)[None, :], score, -float("inf"))
        now = tl.maximum(largest, tl.max(score, 1))
        weight = tl.exp2(score - now[:, None])
        shrink = tl.exp2(largest - now)
        total = total * shrink + tl.sum(weight, 1)
        out = tl.dot(weight.to(query.dtype), value, out * shrink[:, None])
        largest = now
    tl.store(o + places, (out / total[:, None]).to(query.dtype), mask=(rows < S)[:, None])
