// /// kernel
// task = "moe_forward"
// requires = "E <= 512 and TOPK <= 32"    # logits of 32 tokens in shared memory; a lane a choice
// tags = ["tensor_core", "shared_tile", "pipelined", "async_copy", "swizzled", "vectorized", "coalesced", "balanced"]
//
// [tune]
// BM = [128, 256, 64]                     # entries of one expert a block multiplies where experts have many
// BN = [256, 128]                         # rows of w1 or w2 it multiplies them with, if their number is a multiple
// RT = [2, 1]                             # 16-token tiles that a block routes
// SN = [128, 64]                          # the same where experts have few entries; BM is 16 there
// STAGES = [3, 4, 2]                      # tiles in flight or in use
// where = "(BM + BN) * STAGES <= 1280 and BM * BN <= 32768"  # shared memory of the smallest target; registers
//
// [let]
// ENTRIES = "T * TOPK"
// FEW = "ENTRIES < 8 * E"
// ROWS = "2 * I"
// DEEP_UP = "min(STAGES, cdiv(H, 64))"    # tiles there are
// DEEP_DOWN = "min(STAGES, cdiv(I, 64))"
//
// [[buffer]]
// name = "ids"                            # experts of a token, the largest logit first
// shape = ["T", "TOPK"]
// dtype = "int32"
//
// [[buffer]]
// name = "share"                          # their weights
// shape = ["T", "TOPK"]
// dtype = "float32"
//
// [[buffer]]
// name = "offsets"                        # expert e has order[offsets[e]] to order[offsets[e + 1] - 1]
// shape = ["E + 1"]
// dtype = "int32"
//
// [[buffer]]
// name = "order"                          # entries t * TOPK + k by expert, else in order
// shape = ["ENTRIES"]
// dtype = "int32"
//
// [[buffer]]
// name = "hidden"                         # in that order
// shape = ["ENTRIES", "I"]
// dtype = "bfloat16"
//
// [[buffer]]
// name = "part"                           # what each choice of a token gives, by entry
// shape = ["ENTRIES", "H"]
// dtype = "bfloat16"
//
// [[launch]]
// kernel = "route<RT>"
// grid = "cdiv(T, 16 * RT)"
// block = 256
// shared = "4 * 16 * RT * (8 * 72 + E)"
//
// [[launch]]
// kernel = "group"
// grid = "E"
// block = 1024
//
// [[launch]]
// kernel = "up<16, SN, 16, 32>"
// when = "FEW"
// grid = ["cdiv(ROWS, SN)", "(ENTRIES + 15 * min(E, ENTRIES)) // 16"]
// block = "SN"
// shared = "DEEP_UP * (16 + SN) * 128"
//
// [[launch]]
// kernel = "up<BM, 128, 64, 64>"
// when = "not FEW and ROWS % BN != 0"
// grid = ["cdiv(ROWS, 128)", "(ENTRIES + (BM - 1) * min(E, ENTRIES)) // BM"]
// block = "BM"
// shared = "DEEP_UP * (BM + 128) * 128"
//
// [[launch]]
// kernel = "up<BM, BN, 64, 64>"
// when = "not FEW and ROWS % BN == 0"
// grid = ["ROWS // BN", "(ENTRIES + (BM - 1) * min(E, ENTRIES)) // BM"]
// block = "BM * BN // 128"
// shared = "DEEP_UP * (BM + BN) * 128"
//
// [[launch]]
// kernel = "down<16, SN, 16, 32>"
// when = "FEW"
// grid = ["cdiv(H, SN)", "(ENTRIES + 15 * min(E, ENTRIES)) // 16"]
// block = "SN"
// shared = "DEEP_DOWN * (16 + SN) * 128"
//
// [[launch]]
// kernel = "down<BM, 128, 64, 64>"
// when = "not FEW and H % BN != 0"
// grid = ["cdiv(H, 128)", "(ENTRIES + (BM - 1) * min(E, ENTRIES)) // BM"]
// block = "BM"
// shared = "DEEP_DOWN * (BM + 128) * 128"
//
// [[launch]]
// kernel = "down<BM, BN, 64, 64>"
// when = "not FEW and H % BN == 0"
// grid = ["H // BN", "(ENTRIES + (BM - 1) * min(E, ENTRIES)) // BM"]
// block = "BM * BN // 128"
// shared = "DEEP_DOWN * (BM + BN) * 128"
//
// [[launch]]
// kernel = "combine"
// grid = "cdiv(T * (H // 8), 256)"
// block = 256
// ///

// route    16 * RT tokens a block: logits by mma, its eight warps take turns along H; then a warp a token picks
// group    a block an expert: its entries (token, choice), in order, and where they begin
// up       hidden = silu(gate) * up for tiles of BM entries of one expert
// down     part = w2 * hidden, each row to its entry's place
// combine  y = sum of share * part over a token's choices, always in one order
//
// Grouped products are batched statically. The grid has as many rows of blocks as tiles there can be at most; block row
// n is the n-th tile of the list that the experts' counts imply, found by one warp scan, and what is left over returns:
//
//      entries of expert    0: 300          1: 0     2: 40       3: 129            (BM = 128)
//      tiles                [128][128][44]           [40]        [128][1]
//      block row             0    1    2              3           4    5   | 6 7: nothing      an empty expert: no block
//
// A tile's product goes through STAGES shared buffers that cp.async fills ahead; rows of 64 k are 128 bytes, eight
// 16-byte chunks that lie permuted by their row's number, so that neither cp.async nor ldmatrix meets a bank twice:
//
//      row r:   chunk c at c ^ (r % 8)            step n:  wait for n | barrier | fetch n + STAGES - 1 | multiply n
//
// An mma's columns 2t and 2t + 1 of a tile of 8 are lane t's. Of each 32 weight rows, lane t's eight neighbours 8t..8t+7
// are dealt to those places of four tiles. So a lane ends with eight neighbouring results of a row, gates and ups side
// by side, which makes four hidden values or one 16-byte store:
//
//      shared row   8 * tile + 2 * t + s    holds weight row    8 * t + 2 * tile + s

constexpr int DEPTH = 64;            // k of one tile
constexpr int CHUNKS = DEPTH / 8;    // 16-byte chunks of its rows
constexpr int ROUTERS = 8;           // warps that route
constexpr int PITCH = 72;            // floats; rows of 8 lanes fall into different banks
constexpr int BATCH = 16;            // entries of a lane in flight
constexpr unsigned ALL = 0xFFFFFFFFu;

static_assert(sizeof(x_t) == 2 && sizeof(w1_t) == 2 && sizeof(w2_t) == 2, "activations and weights are bfloat16");
static_assert(STAGES >= 2, "one tile is fetched while another is used");

__device__ void mma(float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1)
{
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ void load_matrices(unsigned (&r)[4], unsigned address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
}

// 16 bytes of shared memory: `size` (16 or 0) from global memory, else zeros.
__device__ void fetch(unsigned to, const void* from, int size)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(size) : "memory");
}

__device__ unsigned two(float low, float high)
{
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const unsigned*>(&both);
}

// ---- routing

// Logits of the block's tokens into logits[16 * TILES][E]. Lane t of a group takes eight neighbouring k of each row for
// two mma: a sum has no order of k, as long as both factors agree. Rows past the last are copies of it, so that all loads
// start at once.
template <int TILES>
__device__ void score(const x_t* __restrict__ x, const router_t* __restrict__ router, float* partial, float* logits,
                      int T, int H, int E)
{
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, t0 = blockIdx.x * 16 * TILES;
    for (int e0 = 0; e0 < E; e0 += 64) {
        float sum[TILES][8][4] = {};
#pragma unroll 1
        for (int k0 = warp * 32; k0 < H; k0 += 32 * ROUTERS) {
            const int k = min(k0 + 8 * t, H - 8);
            const unsigned inside = k0 + 8 * t < H ? 0xFFFFFFFFu : 0u;
            uint4 a[2 * TILES], b[8];
#pragma unroll
            for (int i = 0; i < 2 * TILES; i++) {
                a[i] = *reinterpret_cast<const uint4*>(x + (size_t)min(t0 + 8 * i + g, T - 1) * H + k);
                a[i] = make_uint4(a[i].x & inside, a[i].y & inside, a[i].z & inside, a[i].w & inside);
            }
#pragma unroll
            for (int j = 0; j < 8; j++)
                b[j] = *reinterpret_cast<const uint4*>(router + (size_t)min(e0 + 8 * j + g, E - 1) * H + k);
#pragma unroll
            for (int j = 0; j < 8; j++) {
                if (e0 + 8 * j >= E) continue;
#pragma unroll
                for (int i = 0; i < TILES; i++) {
                    const uint4 &upper = a[2 * i], &lower = a[2 * i + 1];
                    mma(sum[i][j], upper.x, lower.x, upper.y, lower.y, b[j].x, b[j].y);
                    mma(sum[i][j], upper.z, lower.z, upper.w, lower.w, b[j].z, b[j].w);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < TILES; i++)
#pragma unroll
            for (int j = 0; j < 8; j++) {
                float* own = partial + (warp * 16 * TILES + 16 * i + g) * PITCH + 8 * j + 2 * t;
                *reinterpret_cast<float2*>(own) = make_float2(sum[i][j][0], sum[i][j][1]);
                *reinterpret_cast<float2*>(own + 8 * PITCH) = make_float2(sum[i][j][2], sum[i][j][3]);
            }
        __syncthreads();
        for (int i = threadIdx.x; i < 16 * TILES * 64; i += 32 * ROUTERS) {
            const int token = i / 64, e = i % 64;
            if (e0 + e >= E) continue;
            float all = 0.f;
#pragma unroll
            for (int w = 0; w < ROUTERS; w++) all += partial[(w * 16 * TILES + token) * PITCH + e];
            logits[token * E + e0 + e] = all;
        }
        __syncthreads();
    }
}

// Larger floats have larger keys; 0 is below all of them.
__device__ unsigned key(float value)
{
    const unsigned bits = __float_as_uint(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ float value_of(unsigned key) { return __uint_as_float(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key); }

// The TOPK largest logits of a token, one a round; of equal ones the lower expert. Lane k keeps what round k finds.
__device__ void pick(float* logits, int* __restrict__ ids, float* __restrict__ share, int E, int TOPK)
{
    const int lane = threadIdx.x % 32;
    unsigned* keys = reinterpret_cast<unsigned*>(logits);
    for (int e = lane; e < E; e += 32) keys[e] = key(logits[e]);
    float first = 0.f, weight = 0.f;
    int chosen = 0;
    for (int k = 0; k < TOPK; k++) {
        unsigned best = 0;
        int at = lane;
        for (int e = lane; e < E; e += 32) {
            if (keys[e] > best) {
                best = keys[e];
                at = e;
            }
        }
        const unsigned largest = __reduce_max_sync(ALL, best);
        const int expert = __reduce_min_sync(ALL, best == largest ? at : E - 1);
        if (k == 0) first = value_of(largest);
        if (lane == k) {
            chosen = expert;
            weight = __expf(value_of(largest) - first);
        }
        if (lane == expert % 32) keys[expert] = 0;
    }
    float total = weight;
#pragma unroll
    for (int step = 16; step; step /= 2) total += __shfl_xor_sync(ALL, total, step);
    if (lane < TOPK) {
        ids[lane] = chosen;
        share[lane] = weight / total;
    }
}

template <int TILES>
__global__ void __launch_bounds__(32 * ROUTERS)
route(const x_t* __restrict__ x, const router_t* __restrict__ router, int* __restrict__ ids, float* __restrict__ share,
      int T, int H, int E, int TOPK)
{
    extern __shared__ __align__(16) float floats[];
    float* logits = floats + ROUTERS * 16 * TILES * PITCH;
    score<TILES>(x, router, floats, logits, T, H, E);
    const int t0 = blockIdx.x * 16 * TILES;
    for (int i = threadIdx.x / 32; i < 16 * TILES && t0 + i < T; i += ROUTERS) {
        const size_t entry = (size_t)(t0 + i) * TOPK;
        pick(logits + i * E, ids + entry, share + entry, E, TOPK);
    }
}

// ---- grouping

// BATCH entries of each lane, 32 neighbours a time, loaded at once; -1 past the last.
__device__ void load_ids(const int* __restrict__ ids, int base, int end, int (&found)[BATCH])
{
#pragma unroll
    for (int n = 0; n < BATCH; n++) {
        const int i = base + 32 * n + threadIdx.x % 32, id = ids[min(i, end - 1)];
        found[n] = i < end ? id : -1;
    }
}

// A warp has neighbouring entries: it counts its expert's and those of lower experts, then, knowing what the warps
// before it found, numbers its own.
__global__ void __launch_bounds__(1024)
group(const int* __restrict__ ids, int* __restrict__ offsets, int* __restrict__ order, int ENTRIES, int E)
{
    constexpr int WARPS = 32;
    __shared__ int own[WARPS], lower[WARPS];
    const int expert = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int span = (ENTRIES + 32 * WARPS - 1) / (32 * WARPS) * 32;
    const int begin = warp * span, end = min(ENTRIES, begin + span);
    int mine = 0, below = 0, found[BATCH];
    for (int base = begin; base < end; base += 32 * BATCH) {
        load_ids(ids, base, end, found);
#pragma unroll
        for (int n = 0; n < BATCH; n++) {
            mine += found[n] == expert;
            below += found[n] >= 0 && found[n] < expert;
        }
    }
    mine = __reduce_add_sync(ALL, mine);
    below = __reduce_add_sync(ALL, below);
    if (lane == 0) {
        own[warp] = mine;
        lower[warp] = below;
    }
    __syncthreads();
    const int first = __reduce_add_sync(ALL, lower[lane]);
    int place = first + __reduce_add_sync(ALL, lane < warp ? own[lane] : 0);
    if (threadIdx.x == 0) {
        offsets[expert] = first;
        if (expert == E - 1) offsets[E] = ENTRIES;
    }
    for (int base = begin; base < end; base += 32 * BATCH) {
        load_ids(ids, base, end, found);
#pragma unroll
        for (int n = 0; n < BATCH; n++) {
            const unsigned all = __ballot_sync(ALL, found[n] == expert);
            if (found[n] == expert) order[place + __popc(all & ((1u << lane) - 1))] = base + 32 * n + lane;
            place += __popc(all);
        }
    }
}

// ---- grouped products

// One tile of the list: `rows` entries of one expert from place `first` in `order` on; none for a surplus block.
struct Tile {
    int expert, first, rows;
};

template <int ROWS>
__device__ Tile find_tile(const int* __restrict__ offsets, int number, int E)
{
    const int lane = threadIdx.x % 32;
    for (int base = 0; base < E; base += 32) {
        const int e = base + lane, begin = e < E ? offsets[e] : 0, count = e < E ? offsets[e + 1] - begin : 0;
        const int tiles = (count + ROWS - 1) / ROWS;
        int upto = tiles;
#pragma unroll
        for (int step = 1; step < 32; step *= 2) {
            const int other = __shfl_up_sync(ALL, upto, step);
            if (lane >= step) upto += other;
        }
        const unsigned past = __ballot_sync(ALL, number < upto);
        if (past) {
            const int source = __ffs(past) - 1, skipped = (number - __shfl_sync(ALL, upto - tiles, source)) * ROWS;
            const int left = __shfl_sync(ALL, count, source) - skipped;
            return {base + source, __shfl_sync(ALL, begin, source) + skipped, min(left, ROWS)};
        }
        number -= __shfl_sync(ALL, upto, 31);
    }
    return {0, 0, 0};
}

// How ROWS x COLS results are shared out: a warp has ROWS_W x COLS_W of them.
template <int ROWS, int COLS, int ROWS_W, int COLS_W>
struct Shape {
    static constexpr int WARPS_M = ROWS / ROWS_W, WARPS_N = COLS / COLS_W, THREADS = 32 * WARPS_M * WARPS_N;
    static constexpr int MT = ROWS_W / 16, NT = COLS_W / 8;
    static constexpr int STRIDE = THREADS / CHUNKS;  // rows that all threads fetch at once
    static constexpr int A_FETCHES = (ROWS + STRIDE - 1) / STRIDE, B_FETCHES = COLS / STRIDE;
    static constexpr int A_BYTES = ROWS * 2 * DEPTH, STAGE_BYTES = (ROWS + COLS) * 2 * DEPTH;
    static_assert(ROWS % ROWS_W == 0 && COLS % COLS_W == 0, "whole warps");
    static_assert(ROWS_W % 16 == 0 && COLS_W % 32 == 0, "a warp's results are dealt out in 16 x 32");
    static_assert(COLS % STRIDE == 0 && (ROWS % STRIDE == 0 || STRIDE % ROWS == 0), "fetches are whole");
};

// Which weight row of a tile lies in shared row `place`.
__device__ constexpr int dealt(int place) { return place / 32 * 32 + place % 8 / 2 * 8 + place % 32 / 8 * 2 + place % 2; }

// sum = A * B^T. a: this thread's rows of A, of which the tile has `rows`; b: the tile's first weight row of `cols` there
// are. Weights past those are copies of the last, multiplied and never stored, so that what runs does not hang on
// how ragged a tile is. Entries past the last, and k past K, are zeros. `live` tiles of 16 rows of this warp hold anything.
template <class S>
__device__ void multiply(const __nv_bfloat16* const (&a)[S::A_FETCHES], int rows, const __nv_bfloat16* __restrict__ b,
                         int cols, int K, int live, float (&sum)[S::MT][S::NT][4])
{
    extern __shared__ __align__(128) unsigned char bytes[];
    const unsigned base = (unsigned)__cvta_generic_to_shared(bytes);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int row0 = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS, steps = (K + DEPTH - 1) / DEPTH;

    const auto load = [&](int step) {
        const unsigned to = base + step % STAGES * S::STAGE_BYTES;
        const int wanted = step * DEPTH + 8 * chunk, k = min(wanted, K - 8), size = wanted < K ? 16 : 0;
#pragma unroll
        for (int i = 0; i < S::A_FETCHES; i++) {
            const int row = row0 + i * S::STRIDE;
            if (S::A_FETCHES > 1 || row < S::A_BYTES / (2 * DEPTH))
                fetch(to + row * 128 + ((chunk ^ row % 8) << 4), a[i] + k, row < rows ? size : 0);
        }
#pragma unroll
        for (int i = 0; i < S::B_FETCHES; i++) {
            const int row = row0 + i * S::STRIDE, weights = min(dealt(row), cols - 1);
            fetch(to + S::A_BYTES + row * 128 + ((chunk ^ row % 8) << 4), b + (size_t)weights * K + k, size);
        }
    };
    const auto commit = [] { asm volatile("cp.async.commit_group;" ::: "memory"); };

#pragma unroll
    for (int step = 0; step < STAGES - 1; step++) {
        if (step < steps) load(step);
        commit();
    }
    // Lanes 0 to 15 of ldmatrix name the rows of A, the upper half the same rows eight k on; of B each eight lanes name
    // eight rows, every other eight of them eight k on.
    const int a_row = warp / S::WARPS_N * 16 * S::MT + lane % 16, a_chunk = lane / 16;
    const int b_row = warp % S::WARPS_N * 8 * S::NT + lane / 16 * 8 + lane % 8, b_chunk = lane / 8 % 2;
    for (int step = 0; step < steps; step++) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
        __syncthreads();
        if (step + STAGES - 1 < steps) load(step + STAGES - 1);
        commit();
        const unsigned from = base + step % STAGES * S::STAGE_BYTES;
#pragma unroll
        for (int k = 0; k < DEPTH / 16; k++) {
            unsigned bs[S::NT / 2][4];
#pragma unroll
            for (int j = 0; j < S::NT / 2; j++)
                load_matrices(bs[j], from + S::A_BYTES + (b_row + 16 * j) * 128 + (((2 * k + b_chunk) ^ b_row % 8) << 4));
#pragma unroll
            for (int i = 0; i < S::MT; i++) {
                if (i >= live) break;
                unsigned as[4];
                load_matrices(as, from + (a_row + 16 * i) * 128 + (((2 * k + a_chunk) ^ a_row % 8) << 4));
#pragma unroll
                for (int j = 0; j < S::NT; j++)
                    mma(sum[i][j], as[0], as[1], as[2], as[3], bs[j / 2][j % 2 * 2], bs[j / 2][j % 2 * 2 + 1]);
            }
        }
    }
}

__device__ float gated(const float* pair) { return __fdividef(pair[0], 1.f + __expf(-pair[0])) * pair[1]; }

template <int ROWS, int COLS, int ROWS_W, int COLS_W>
__global__ void __launch_bounds__(Shape<ROWS, COLS, ROWS_W, COLS_W>::THREADS)
up(const x_t* __restrict__ x, const w1_t* __restrict__ w1, const int* __restrict__ offsets,
   const int* __restrict__ order, hidden_t* __restrict__ hidden, int H, int I, int E, int TOPK)
{
    using S = Shape<ROWS, COLS, ROWS_W, COLS_W>;
    const Tile tile = find_tile<ROWS>(offsets, blockIdx.y, E);
    if (!tile.rows) return;
    const __nv_bfloat16* a[S::A_FETCHES];
#pragma unroll
    for (int i = 0; i < S::A_FETCHES; i++) {
        const int row = min(threadIdx.x / CHUNKS + i * S::STRIDE, tile.rows - 1);
        a[i] = x + (size_t)(order[tile.first + row] / TOPK) * H;
    }
    const int n0 = blockIdx.x * COLS, warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const int m_warp = warp / S::WARPS_N * ROWS_W, n_warp = warp % S::WARPS_N * COLS_W;
    float sum[S::MT][S::NT][4] = {};
    const w1_t* b = w1 + ((size_t)tile.expert * 2 * I + n0) * H;
    multiply<S>(a, tile.rows, b, 2 * I - n0, H, (tile.rows - m_warp + 15) / 16, sum);
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = m_warp + 16 * i + 8 * half + g;
            if (row >= tile.rows) continue;
            hidden_t* to = hidden + (size_t)(tile.first + row) * I;
#pragma unroll
            for (int j = 0; j < S::NT; j += 4) {
                const int column = (n0 + n_warp + 8 * j) / 2 + 4 * t;
                const unsigned low = two(gated(&sum[i][j][2 * half]), gated(&sum[i][j + 1][2 * half]));
                const unsigned high = two(gated(&sum[i][j + 2][2 * half]), gated(&sum[i][j + 3][2 * half]));
                if (column < I) *reinterpret_cast<uint2*>(to + column) = make_uint2(low, high);
            }
        }
}

template <int ROWS, int COLS, int ROWS_W, int COLS_W>
__global__ void __launch_bounds__(Shape<ROWS, COLS, ROWS_W, COLS_W>::THREADS)
down(const hidden_t* __restrict__ hidden, const w2_t* __restrict__ w2, const int* __restrict__ offsets,
     const int* __restrict__ order, part_t* __restrict__ part, int H, int I, int E)
{
    using S = Shape<ROWS, COLS, ROWS_W, COLS_W>;
    const Tile tile = find_tile<ROWS>(offsets, blockIdx.y, E);
    if (!tile.rows) return;
    const __nv_bfloat16* a[S::A_FETCHES];
#pragma unroll
    for (int i = 0; i < S::A_FETCHES; i++) {
        const int row = min(threadIdx.x / CHUNKS + i * S::STRIDE, tile.rows - 1);
        a[i] = hidden + (size_t)(tile.first + row) * I;
    }
    const int n0 = blockIdx.x * COLS, warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const int m_warp = warp / S::WARPS_N * ROWS_W, n_warp = warp % S::WARPS_N * COLS_W;
    float sum[S::MT][S::NT][4] = {};
    const w2_t* b = w2 + ((size_t)tile.expert * H + n0) * I;
    multiply<S>(a, tile.rows, b, H - n0, I, (tile.rows - m_warp + 15) / 16, sum);
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = m_warp + 16 * i + 8 * half + g;
            if (row >= tile.rows) continue;
            part_t* to = part + (size_t)order[tile.first + row] * H;
#pragma unroll
            for (int j = 0; j < S::NT; j += 4) {
                const int column = n0 + n_warp + 8 * j + 8 * t, c = 2 * half;
                const uint4 packed = make_uint4(two(sum[i][j][c], sum[i][j][c + 1]), two(sum[i][j + 1][c], sum[i][j + 1][c + 1]),
                                                two(sum[i][j + 2][c], sum[i][j + 2][c + 1]),
                                                two(sum[i][j + 3][c], sum[i][j + 3][c + 1]));
                if (column < H) *reinterpret_cast<uint4*>(to + column) = packed;
            }
        }
}

// A thread makes eight neighbouring elements of y.
__global__ void combine(const part_t* __restrict__ part, const float* __restrict__ share, y_t* __restrict__ y, int T,
                        int H, int TOPK)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x, eights = H / 8, t = i / eights, h = i % eights * 8;
    if (t >= T) return;
    float sum[8] = {};
#pragma unroll 8
    for (int k = 0; k < TOPK; k++) {
        const size_t entry = (size_t)t * TOPK + k;
        const float weight = share[entry];
        const uint4 v = *reinterpret_cast<const uint4*>(part + entry * H + h);
        const unsigned words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int j = 0; j < 4; j++) {
            sum[2 * j] += weight * __uint_as_float(words[j] << 16);
            sum[2 * j + 1] += weight * __uint_as_float(words[j] & 0xFFFF0000u);
        }
    }
    *reinterpret_cast<uint4*>(y + (size_t)t * H + h) =
        make_uint4(two(sum[0], sum[1]), two(sum[2], sum[3]), two(sum[4], sum[5]), two(sum[6], sum[7]));
}
