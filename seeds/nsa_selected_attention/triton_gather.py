# /// kernel
# task = "nsa_selected_attention"
# requires = "D <= 256 and DV <= 256"
# tags = ["triton", "tensor_core", "online_softmax", "block_gather", "pipelined"]
#
# [tune]
# BN = [64, 32, 16]           # most keys of a block that are multiplied at once
# num_warps = [4, 2, 8]
# num_stages = [2, 1, 3]
#
# [let]
# KEYS = "min(BN, max(16, pow2ceil(BS)))"
# DP = "max(16, pow2ceil(D))"
# DVP = "max(16, pow2ceil(DV))"
#
# [[launch]]
# kernel = "attend"
# grid = ["T", "H", "cdiv(G, 16)"]
# constexpr = { KEYS = "KEYS", DP = "DP", DVP = "DVP" }
# ///

# A program has one token and up to 16 query heads of one key head; smaller groups leave rows of the tile unused. It
# goes through the token's S ids in their order; a hole, or a block after the token, is passed over:
#
#   ids          [  0 ]   [ -1 ]   [ 31 ]   [ 7 ]
#   keys         0..63      -      64 of block 31, in steps of KEYS, none after the token
#   S = Q K^T    [16 x KEYS]       online softmax: largest, sum and O shrink when a larger score appears
#   O += P V     [16 x DV]
#
# Exponentials are of base 2: log2(e) goes into the scores' scale and the bias.
import triton
import triton.language as tl

LOG2E: tl.constexpr = 1.4426950408889634
LN2: tl.constexpr = 0.6931471805599453


@triton.jit
def first_of(cu_seqlens, t, B):
    """First token of the sequence that t belongs to: the largest offset not after it."""
    first = 0
    for start in range(0, B, 128):
        edges = start + tl.arange(0, 128)
        offsets = tl.load(cu_seqlens + edges, mask=edges < B, other=0)
        first = tl.maximum(first, tl.max(tl.where(offsets <= t, offsets, 0), 0))
    return first


@triton.jit
def attend(
    q, k, v, block_ids, cu_seqlens, key_bias, out, lse, T, B, H,
    G: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, BS: tl.constexpr, S: tl.constexpr,
    KEYS: tl.constexpr, DP: tl.constexpr, DVP: tl.constexpr,
):  # fmt: skip
    t = tl.program_id(0)
    h = tl.program_id(1)
    heads = tl.program_id(2) * 16 + tl.arange(0, 16)
    dims = tl.arange(0, DP)
    columns = tl.arange(0, DVP)
    first = first_of(cu_seqlens, t, B)
    place = t - first
    rows = (t.to(tl.int64) * H + h) * G + heads
    query = tl.load(q + rows[:, None] * D + dims[None, :], mask=(heads < G)[:, None] & (dims < D)[None, :], other=0.0)
    biased = key_bias.to(tl.int64, bitcast=True) != 0
    scale = LOG2E / tl.sqrt(D * 1.0)
    largest = tl.full((16,), -float("inf"), tl.float32)
    total = tl.zeros((16,), tl.float32)
    sums = tl.zeros((16, DVP), tl.float32)
    for s in range(S):
        block = tl.load(block_ids + (h.to(tl.int64) * T + t) * S + s)
        if (block >= 0) & (block <= place // BS):
            for start in range(0, BS, KEYS):
                inside = start + tl.arange(0, KEYS)
                local = block * BS + inside
                seen = (inside < BS) & (local <= place)
                keys = (first + local).to(tl.int64) * H + h
                key = tl.load(
                    k + keys[:, None] * D + dims[None, :], mask=seen[:, None] & (dims < D)[None, :], other=0.0
                )
                value = tl.load(
                    v + keys[:, None] * DV + columns[None, :], mask=seen[:, None] & (columns < DV)[None, :], other=0.0
                )
                bias = tl.load(key_bias + keys, mask=seen & biased, other=0.0)
                score = tl.dot(query, tl.trans(key)) * scale + (bias * LOG2E)[None, :]
                score = tl.where(seen[None, :], score, -float("inf"))
                now = tl.maximum(largest, tl.max(score, 1))
                kept = tl.where(now == -float("inf"), 0.0, now)
                weight = tl.exp2(score - kept[:, None])
                shrink = tl.exp2(largest - kept)
                total = total * shrink + tl.sum(weight, 1)
                sums = tl.dot(weight.to(query.dtype), value, sums * shrink[:, None])
                largest = now
    some = total > 0.0
    result = tl.where(some[:, None], sums / tl.where(some, total, 1.0)[:, None], 0.0)
    tl.store(
        out + rows[:, None] * DV + columns[None, :],
        result.to(query.dtype),
        mask=(heads < G)[:, None] & (columns < DV)[None, :],
    )
    logarithm = tl.where(some, (largest + tl.log2(tl.where(some, total, 1.0))) * LN2, -float("inf"))
    tl.store(lse + (h * G + heads).to(tl.int64) * T + t, logarithm, mask=heads < G)
