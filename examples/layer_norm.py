# /// kernel
# task = "layer_norm"
# [tune]
# num_warps = [4, 8]
#
# [[launch]]
# kernel = "layer_norm"
# grid = "M"
# constexpr = { BLOCK = "pow2ceil(N)" }
# ///
import triton
import triton.language as tl

EPSILON: tl.constexpr = 1e-5


@triton.jit
def mean(v, N):
    return tl.sum(v, axis=0) / N


@triton.jit
def layer_norm(x, weight, bias, y, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < N
    v = tl.load(x + row * N + cols, mask=mask, other=0.0).to(tl.float32)
    centred = tl.where(mask, v - mean(v, N), 0.0)
    scale = tl.rsqrt(mean(centred * centred, N) + EPSILON)
    w = tl.load(weight + cols, mask=mask).to(tl.float32)
    b = tl.load(bias + cols, mask=mask).to(tl.float32)
    tl.store(y + row * N + cols, (centred * scale * w + b).to(y.dtype.element_ty), mask=mask)
