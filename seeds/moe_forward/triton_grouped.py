# /// kernel
# task = "moe_forward"
# requires = "E <= 512 and TOPK <= 32"
# tags = ["triton", "tensor_core", "shared_tile", "pipelined"]
#
# [tune]
# BM = [64, 128]              # entries of one expert a program multiplies where experts have many, else 16
# BN = [64, 128]              # hidden units, or elements of y
# BK = [64, 32]
# num_warps = [4, 8]
# num_stages = [3, 2]
#
# [let]
# ENTRIES = "T * TOPK"
# MANY = "ENTRIES >= 8 * E"
# TILE = "BM * MANY + 16 * (not MANY)"
# TILES = "(ENTRIES + (TILE - 1) * min(E, ENTRIES)) // TILE"
# EXPERTS = "max(16, pow2ceil(E))"
#
# [[buffer]]
# name = "ids"                # experts of a token, the largest logit first
# shape = ["T", "TOPK"]
# dtype = "int32"
#
# [[buffer]]
# name = "share"              # their weights
# shape = ["T", "TOPK"]
# dtype = "float32"
#
# [[buffer]]
# name = "offsets"            # expert e has order[offsets[e]] to order[offsets[e + 1] - 1]
# shape = ["E + 1"]
# dtype = "int32"
#
# [[buffer]]
# name = "order"              # entries t * TOPK + k by expert, else in order
# shape = ["ENTRIES"]
# dtype = "int32"
#
# [[buffer]]
# name = "hidden"             # in that order
# shape = ["ENTRIES", "I"]
# dtype = "bfloat16"
#
# [[buffer]]
# name = "part"               # what each choice of a token gives, by entry
# shape = ["ENTRIES", "H"]
# dtype = "bfloat16"
#
# [[launch]]
# kernel = "route"
# grid = "cdiv(T, 16)"
# constexpr = { EP = "EXPERTS" }
#
# [[launch]]
# kernel = "group"
# grid = "E"
#
# [[launch]]
# kernel = "up"
# grid = ["cdiv(I, BN)", "TILES"]
# constexpr = { EP = "EXPERTS", ROWS = "TILE" }
#
# [[launch]]
# kernel = "down"
# grid = ["cdiv(H, BN)", "TILES"]
# constexpr = { EP = "EXPERTS", ROWS = "TILE" }
#
# [[launch]]
# kernel = "combine"
# grid = ["cdiv(H, 128)", "cdiv(T, 8)"]
# ///

# route    16 tokens a program: logits, then TOPK rounds of the largest; of equal ones the lower expert
# group    a program an expert: its entries (token, choice), in order, and where they begin
# up       hidden = silu(gate) * up for a tile of entries of one expert, whose rows of x are gathered
# down     part = w2 * hidden, each row to its entry's place
# combine  y = sum of share * part over a token's choices, always in one order
#
# The grid has as many rows of programs as tiles there can be at most. Program row n is the n-th tile of the list that
# the experts' counts imply, found by one scan; what is left over does nothing:
#
#      entries of expert    0: 150          1: 0     2: 40       3: 65             (64 a tile)
#      tiles                [64][64][22]             [40]        [64][1]
#      program row           0   1   2                3           4   5   | 6 7: nothing
import triton
import triton.language as tl


@triton.jit
def route(x, router, ids, share, T, H, E, TOPK, EP: tl.constexpr, BK: tl.constexpr):
    rows = tl.program_id(0) * 16 + tl.arange(0, 16)
    experts = tl.arange(0, EP)
    logits = tl.zeros((16, EP), tl.float32)
    for start in range(0, H, BK):
        ks = start + tl.arange(0, BK)
        tokens = tl.load(x + rows[:, None] * H + ks[None, :], mask=(rows < T)[:, None] & (ks < H)[None, :], other=0.0)
        weights = tl.load(
            router + experts[:, None] * H + ks[None, :], mask=(experts < E)[:, None] & (ks < H)[None, :], other=0.0
        )
        logits = tl.dot(tokens, tl.trans(weights), logits)
    logits = tl.where((experts < E)[None, :], logits, -float("inf"))
    choices = tl.arange(0, 32)
    found = tl.zeros((16, 32), tl.int32)
    best = tl.full((16, 32), -float("inf"), tl.float32)
    for k in range(TOPK):
        value = tl.max(logits, 1)
        expert = tl.argmax(logits, 1)
        found = tl.where((choices == k)[None, :], expert[:, None], found)
        best = tl.where((choices == k)[None, :], value[:, None], best)
        logits = tl.where(experts[None, :] == expert[:, None], -float("inf"), logits)
    weight = tl.exp(best - tl.max(best, 1)[:, None])
    weight = weight / tl.sum(weight, 1)[:, None]
    places = rows[:, None] * TOPK + choices[None, :]
    inside = (rows < T)[:, None] & (choices < TOPK)[None, :]
    tl.store(ids + places, found, mask=inside)
    tl.store(share + places, weight, mask=inside)


@triton.jit
def group(ids, offsets, order, ENTRIES, E):
    expert = tl.program_id(0)
    mine = 0
    below = 0
    for start in range(0, ENTRIES, 1024):
        entries = start + tl.arange(0, 1024)
        chosen = tl.load(ids + entries, mask=entries < ENTRIES, other=E)
        below += tl.sum((chosen < expert).to(tl.int32), 0)
    tl.store(offsets + expert, below)
    for start in range(0, ENTRIES, 1024):
        entries = start + tl.arange(0, 1024)
        own = (tl.load(ids + entries, mask=entries < ENTRIES, other=E) == expert).to(tl.int32)
        place = below + mine + tl.cumsum(own, 0) - 1
        tl.store(order + place, entries, mask=own == 1)
        mine += tl.sum(own, 0)
    if expert == E - 1:
        tl.store(offsets + E, ENTRIES)


@triton.jit
def find_tile(offsets, E, EP: tl.constexpr, ROWS: tl.constexpr):
    """Expert of this program's tile, its first place in `order` and the end of the expert; E where there is none."""
    number = tl.program_id(1)
    experts = tl.arange(0, EP)
    begin = tl.load(offsets + experts, mask=experts < E, other=0)
    end = tl.load(offsets + experts + 1, mask=experts < E, other=0)
    tiles = (end - begin + ROWS - 1) // ROWS
    upto = tl.cumsum(tiles, 0)
    expert = tl.sum(((upto <= number) & (experts < E)).to(tl.int32), 0)
    this = experts == expert
    first = tl.sum(tl.where(this, begin + (number - upto + tiles) * ROWS, 0), 0)
    return expert, first, tl.sum(tl.where(this, end, 0), 0)


@triton.jit
def up(
    x, w1, offsets, order, hidden, H, I, E, TOPK,
    EP: tl.constexpr, ROWS: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    expert, first, end = find_tile(offsets, E, EP, ROWS)
    if expert < E:
        places = first + tl.arange(0, ROWS)
        units = tl.program_id(0) * BN + tl.arange(0, BN)
        tokens = tl.load(order + places, mask=places < end, other=0) // TOPK
        left = x + tokens.to(tl.int64)[:, None] * H
        right = w1 + (expert.to(tl.int64) * 2 * I + 2 * units)[:, None] * H
        gate = tl.zeros((ROWS, BN), tl.float32)
        both = tl.zeros((ROWS, BN), tl.float32)
        for start in range(0, H, BK):
            ks = start + tl.arange(0, BK)
            a = tl.load(left + ks[None, :], mask=(places < end)[:, None] & (ks < H)[None, :], other=0.0)
            inside = (units < I)[:, None] & (ks < H)[None, :]
            gate = tl.dot(a, tl.trans(tl.load(right + ks[None, :], mask=inside, other=0.0)), gate)
            both = tl.dot(a, tl.trans(tl.load(right + H + ks[None, :], mask=inside, other=0.0)), both)
        value = gate * tl.sigmoid(gate) * both
        mask = (places < end)[:, None] & (units < I)[None, :]
        tl.store(hidden + places.to(tl.int64)[:, None] * I + units[None, :], value.to(tl.bfloat16), mask=mask)


@triton.jit
def down(
    hidden, w2, offsets, order, part, H, I, E,
    EP: tl.constexpr, ROWS: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    expert, first, end = find_tile(offsets, E, EP, ROWS)
    if expert < E:
        places = first + tl.arange(0, ROWS)
        cols = tl.program_id(0) * BN + tl.arange(0, BN)
        left = hidden + places.to(tl.int64)[:, None] * I
        right = w2 + (expert.to(tl.int64) * H + cols)[:, None] * I
        total = tl.zeros((ROWS, BN), tl.float32)
        for start in range(0, I, BK):
            ks = start + tl.arange(0, BK)
            a = tl.load(left + ks[None, :], mask=(places < end)[:, None] & (ks < I)[None, :], other=0.0)
            b = tl.load(right + ks[None, :], mask=(cols < H)[:, None] & (ks < I)[None, :], other=0.0)
            total = tl.dot(a, tl.trans(b), total)
        entries = tl.load(order + places, mask=places < end, other=0).to(tl.int64)
        mask = (places < end)[:, None] & (cols < H)[None, :]
        tl.store(part + entries[:, None] * H + cols[None, :], total.to(tl.bfloat16), mask=mask)


@triton.jit
def combine(part, share, y, T, H, TOPK):
    rows = tl.program_id(1) * 8 + tl.arange(0, 8)
    cols = tl.program_id(0) * 128 + tl.arange(0, 128)
    mask = (rows < T)[:, None] & (cols < H)[None, :]
    total = tl.zeros((8, 128), tl.float32)
    for k in range(TOPK):
        entries = rows * TOPK + k
        weight = tl.load(share + entries, mask=rows < T, other=0.0)
        value = tl.load(part + entries.to(tl.int64)[:, None] * H + cols[None, :], mask=mask, other=0.0)
        total += weight[:, None] * value.to(tl.float32)
    tl.store(y + rows[:, None] * H + cols[None, :], total.to(tl.bfloat16), mask=mask)
