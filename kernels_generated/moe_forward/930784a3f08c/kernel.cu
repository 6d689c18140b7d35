// /// kernel
// task = "moe_forward"
// requires = "E <= 512 and TOPK <= 32"    # logits of 32 tokens in shared memory; a lane a choice
// tags = ["tensor_core", "register_blocked", "pipelined", "async_copy", "swizzled", "vectorized", "persistent", "balanced"]
//
// [tune]
// STAGES = [3, 2]                         # buffers of 64 k in flight or in use, 56 KiB each: an A100 has room for 2
// UP = [64, 128, 32]                      # rows of w1 a block streams where experts have few entries
// SPLIT = [4, 8, 2]                       # warps that share its k
// where = "SPLIT * UP <= 512"             # their sums meet in 48 KiB
//
// [let]
// ENTRIES = "T * TOPK"
// FEW = "ENTRIES < 8 * E and T <= 96"     # a token row of sums for each of 16 warps fits in shared memory
// ROWS = "2 * I"
// TOKENS = "16 * (2 - FEW)"               # that a block routes
// GROUPS = "cdiv(T, TOKENS)"
// WIDTH = "max(32, pow2ceil(E))"
// TILE_BYTES = "STAGES * (192 + 256) * 128"
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
// name = "counts"                         # entries that a routed group of tokens has for an expert
// shape = ["GROUPS", "E"]
// dtype = "int32"
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
// name = "found"                          # few: how many entries an expert has, and which
// shape = ["E", "1 + FEW * ENTRIES"]
// dtype = "int32"
//
// [[buffer]]
// name = "hidden"                         # many: in that order; few: by entry
// shape = ["ENTRIES", "I"]
// dtype = "bfloat16"
//
// [[buffer]]
// name = "part"                           # many: what each choice of a token gives, by entry
// shape = ["1 + (1 - FEW) * ENTRIES", "H"]
// dtype = "bfloat16"
//
// [[launch]]
// kernel = "route<1>"
// when = "FEW"
// grid = "GROUPS"
// block = 512
// shared = "4 * (8 * 16 * 72 + 16 * E + E)"
//
// [[launch]]
// kernel = "route<2>"
// when = "not FEW"
// grid = "GROUPS"
// block = 512
// shared = "4 * (8 * 32 * 72 + 32 * E + E)"
//
// [[launch]]
// kernel = "stream_up<UP, SPLIT>"
// when = "FEW"
// grid = ["cdiv(ROWS, UP)", "E"]
// block = "SPLIT * UP"
// shared = "4 * max(ENTRIES, 1)"
//
// [[launch]]
// kernel = "stream_down"
// when = "FEW"
// grid = "cdiv(H, 16)"
// block = 512
// shared = "4 * 16 * T * 17"
//
// [[launch]]
// kernel = "place"
// when = "not FEW"
// grid = "GROUPS"
// block = 512
// shared = "4 * TOPK * E"
//
// [[launch]]
// kernel = "up"
// when = "not FEW"
// grid = "SMS"
// block = 256
// shared = "TILE_BYTES"
//
// [[launch]]
// kernel = "down"
// when = "not FEW"
// grid = "SMS"
// block = 256
// shared = "TILE_BYTES"
//
// [[launch]]
// kernel = "combine"
// when = "not FEW"
// grid = "cdiv(T * (H // 8), 256)"
// block = 256
// ///

// Two plans. Where experts have many entries (token, choice):
//
//   route     32 tokens a block: logits by mma, its sixteen warps share experts and H; then a warp a token picks
//   place     the same blocks: where each entry stands in the list that is sorted by expert
//   up        hidden = silu(gate) * up        one persistent block a multiprocessor, see below
//   down      part = w2 * hidden, each row to its entry's place, likewise
//   combine   y = sum of share * part over a token's choices, always in one order
//
// Where they have few, weights are what costs, and each of them is streamed once from global memory into registers:
//
//   route        16 tokens a block
//   stream_up    a block an expert and UP rows of w1; its warps share rows and k and add up in shared memory
//   stream_down  a block 16 columns of y: its warps share the experts; each adds share * (w2 * hidden) to sums of its
//                own, a row a token, and one sum over the warps ends it: no atomics, no partial results, no combine
//
// The grouped products share their work out evenly. An expert's rows are cut into tiles of at most 192, as even as
// sixteens allow; a tile's weight rows are cut into units of 64. All units stand in one line, each as long as its tile
// has sixteens of rows and OVERHEAD more, and block b of N takes those that begin in the b-th N-th of the line,
// four, two or one at a time:
//
//      expert 0, 300 entries        expert 2, 40    expert 3, 129                (expert 1 has none)
//      [160 rows    ][140         ] [48           ] [144         ]
//      | | | | | | | | | | | | | | | | | | | | | | | | | | | | | |               units of 64 weight rows
//      ^-- block 0 --^-- block 1 --^-- block 2 --^-- block 3 --^                 a cut falls anywhere between units
//
// So no block is idle for long while others have tiles left, whatever the routing. A product of up to 192 x 256 goes
// through STAGES shared buffers that cp.async fills ahead. Eight warps, two by four, hold 96 x 64 sums each, the sixteens
// of rows dealt to the two in turn, so that a low tile occupies both. The next product's first buffers are on their way
// while this one's results are stored. Rows of 64 k are 128 bytes, eight 16-byte chunks that lie permuted by their row's
// number, so that neither cp.async nor ldmatrix meets a bank twice:
//
//      row r:   chunk c at c ^ (r % 8)            step n:  wait for n | barrier | fetch n + STAGES - 1 | multiply n
//
// Of each unit a warp has 16 weight rows. An mma's columns 2t and 2t + 1 of a tile of 8 are lane t's; of the 16, lane t's
// four neighbours 4t..4t+3 are dealt to those places of two tiles. So a lane ends with four neighbouring results of a
// row, gates and ups side by side, which make two hidden values or one 8-byte store:
//
//      shared row   8 * tile + 2 * t + s    holds weight row    4 * t + 2 * tile + s

constexpr int BM = 192, BN = 256;    // of the largest product
constexpr int UNIT = 64;             // weight rows
constexpr int DEPTH = 64;            // k of one buffer
constexpr int CHUNKS = DEPTH / 8;    // 16-byte chunks of its rows
constexpr int MT = 6, NT = 8;        // mma tiles of a warp
constexpr int OVERHEAD = 3;          // sixteens of rows that a unit's other work is worth
constexpr int STAGE_BYTES = (BM + BN) * 2 * DEPTH;
constexpr int ROUTERS = 16;          // warps that route
constexpr int PITCH = 72;            // floats; rows of 8 lanes fall into different banks
constexpr unsigned ALL = 0xFFFFFFFFu;

static_assert(sizeof(x_t) == 2 && sizeof(w1_t) == 2 && sizeof(w2_t) == 2, "activations and weights are bfloat16");
static_assert(STAGES >= 2, "one buffer is fetched while another is used");
static_assert(BM == 2 * 16 * MT && BN == 4 * 8 * NT && BN % UNIT == 0, "two by four warps cover a product");
static_assert(UP % 32 == 0 && SPLIT * UP <= 512, "a warp streams 32 weight rows; sums of SPLIT warps fit in 48 KiB");

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

__device__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

__device__ unsigned two(float low, float high)
{
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const unsigned*>(&both);
}

__device__ float gated(float gate, float up) { return __fdividef(gate, 1.f + __expf(-gate)) * up; }

// ---- routing

// Logits of the block's tokens into logits[16 * TILES][E]. Lane t of a group takes eight neighbouring k of each row for
// two mma: a sum has no order of k, as long as both factors agree. Rows past the last are copies of it, so that all loads
// start at once. Of two warps eight apart the upper adds to the lower's sums; those are added up by all.
template <int TILES>
__device__ void score(const x_t* __restrict__ x, const router_t* __restrict__ router, float* partial, float* logits,
                      int T, int H, int E)
{
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, t0 = blockIdx.x * 16 * TILES;
    const int sides = E > 64 ? 2 : 1, parts = ROUTERS / sides;
    float* own = partial + (warp % 8 * 16 * TILES + g) * PITCH + 2 * t;
    for (int e0 = 0; e0 < E; e0 += 64 * sides) {
        const int first = e0 + 64 * (warp % sides);
        float sum[TILES][8][4] = {};
#pragma unroll 1
        for (int k0 = warp / sides * 32; k0 < H; k0 += 32 * parts) {
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
                b[j] = *reinterpret_cast<const uint4*>(router + (size_t)min(first + 8 * j + g, E - 1) * H + k);
#pragma unroll
            for (int j = 0; j < 8; j++) {
                if (first + 8 * j >= E) continue;
#pragma unroll
                for (int i = 0; i < TILES; i++) {
                    const uint4 &upper = a[2 * i], &lower = a[2 * i + 1];
                    mma(sum[i][j], upper.x, lower.x, upper.y, lower.y, b[j].x, b[j].y);
                    mma(sum[i][j], upper.z, lower.z, upper.w, lower.w, b[j].z, b[j].w);
                }
            }
        }
#pragma unroll
        for (int turn = 1; turn >= 0; turn--) {
            if (warp / 8 == turn) {
#pragma unroll
                for (int i = 0; i < TILES; i++)
#pragma unroll
                    for (int j = 0; j < 8; j++)
#pragma unroll
                        for (int half = 0; half < 2; half++) {
                            float2* to = reinterpret_cast<float2*>(own + (16 * i + 8 * half) * PITCH + 8 * j);
                            float2 both = make_float2(sum[i][j][2 * half], sum[i][j][2 * half + 1]);
                            if (turn == 0) both = make_float2(both.x + to->x, both.y + to->y);
                            *to = both;
                        }
            }
            __syncthreads();
        }
        for (int i = threadIdx.x; i < 16 * TILES * 64 * sides; i += 32 * ROUTERS) {
            const int token = i / 64 % (16 * TILES), side = i / (64 * 16 * TILES), e = e0 + 64 * side + i % 64;
            if (e >= E) continue;
            float all = 0.f;
            for (int w = side; w < 8; w += sides) all += partial[(w * 16 * TILES + token) * PITCH + i % 64];
            logits[token * E + e] = all;
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
__device__ void pick(float* logits, int* counted, int* __restrict__ ids, float* __restrict__ share, int E, int TOPK)
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
        atomicAdd(counted + chosen, 1);
    }
}

template <int TILES>
__global__ void __launch_bounds__(32 * ROUTERS)
route(const x_t* __restrict__ x, const router_t* __restrict__ router, int* __restrict__ ids, float* __restrict__ share,
      int* __restrict__ counts, int T, int H, int E, int TOPK)
{
    extern __shared__ __align__(16) float floats[];
    float* logits = floats + 8 * 16 * TILES * PITCH;
    int* counted = reinterpret_cast<int*>(logits + 16 * TILES * E);
    for (int e = threadIdx.x; e < E; e += blockDim.x) counted[e] = 0;
    score<TILES>(x, router, floats, logits, T, H, E);
    const int t0 = blockIdx.x * 16 * TILES;
    for (int i = threadIdx.x / 32; i < 16 * TILES && t0 + i < T; i += ROUTERS) {
        const size_t entry = (size_t)(t0 + i) * TOPK;
        pick(logits + i * E, counted, ids + entry, share + entry, E, TOPK);
    }
    __syncthreads();
    for (int e = threadIdx.x; e < E; e += blockDim.x) counts[(size_t)blockIdx.x * E + e] = counted[e];
}

// ---- few entries an expert

// K of 32 neighbouring weight rows times up to 8 * N entries; lane (g, t) loads 16 bytes of rows g, 8 + g, 16 + g, 24 + g
// and of entry g. Weights pass by L1, entries stay in it.
template <int N, int WARPS>
__device__ void stream(const __nv_bfloat16* const (&rows)[4], const __nv_bfloat16* const (&entries)[N], int part, int K,
                       float (&sum)[2][N][4])
{
    const int t = threadIdx.x % 4;
#pragma unroll 2
    for (int k0 = 32 * part; k0 < K; k0 += 32 * WARPS) {
        const int k = min(k0 + 8 * t, K - 8);
        const unsigned inside = k0 + 8 * t < K ? 0xFFFFFFFFu : 0u;
        uint4 a[4], b[N];
#pragma unroll
        for (int i = 0; i < 4; i++) a[i] = __ldcg(reinterpret_cast<const uint4*>(rows[i] + k));
#pragma unroll
        for (int j = 0; j < N; j++) {
            b[j] = *reinterpret_cast<const uint4*>(entries[j] + k);
            b[j] = make_uint4(b[j].x & inside, b[j].y & inside, b[j].z & inside, b[j].w & inside);
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < N; j++) {
                mma(sum[i][j], a[2 * i].x, a[2 * i + 1].x, a[2 * i].y, a[2 * i + 1].y, b[j].x, b[j].y);
                mma(sum[i][j], a[2 * i].z, a[2 * i + 1].z, a[2 * i].w, a[2 * i + 1].w, b[j].z, b[j].w);
            }
    }
}

// Up to 8 * N entries of the block's expert from `list` on, through its ROWS_B rows of w1 from n0 on, into hidden.
template <int N, int ROWS_B, int WARPS>
__device__ void stream_entries(const x_t* __restrict__ x, const w1_t* __restrict__ w1, const int* list, int entries,
                               float* slots, hidden_t* __restrict__ hidden, int n0, int H, int I, int TOPK)
{
    constexpr int WIDE = ROWS_B + 4;  // floats of a slot's row: one entry's sums
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const int part = warp % WARPS, m0 = warp / WARPS * 32;
    const w1_t* rows[4];
    const x_t* tokens[N];
#pragma unroll
    for (int i = 0; i < 4; i++) rows[i] = w1 + (size_t)min(n0 + m0 + 8 * i + g, 2 * I - 1) * H;
#pragma unroll
    for (int j = 0; j < N; j++) tokens[j] = x + (size_t)(list[min(8 * j + g, entries - 1)] / TOPK) * H;
    float sum[2][N][4] = {};
    stream<N, WARPS>(rows, tokens, part, H, sum);
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < N; j++)
#pragma unroll
            for (int c = 0; c < 4; c++)
                slots[(part * 8 * N + 8 * j + 2 * t + c % 2) * WIDE + m0 + 16 * i + c / 2 * 8 + g] = sum[i][j][c];
    __syncthreads();
    for (int i = threadIdx.x; i < 8 * N * (ROWS_B / 2); i += blockDim.x) {
        const int entry = i / (ROWS_B / 2), unit = i % (ROWS_B / 2);
        if (entry >= entries || n0 / 2 + unit >= I) continue;
        float2 both = make_float2(0.f, 0.f);
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            const float2 more = *reinterpret_cast<const float2*>(slots + (w * 8 * N + entry) * WIDE + 2 * unit);
            both = make_float2(both.x + more.x, both.y + more.y);
        }
        hidden[(size_t)list[entry] * I + n0 / 2 + unit] = __float2bfloat16(gated(both.x, both.y));
    }
    __syncthreads();
}

template <int ROWS_B, int WARPS>
__global__ void __launch_bounds__(ROWS_B * WARPS)
stream_up(const x_t* __restrict__ x, const w1_t* __restrict__ w1, const int* __restrict__ ids, int* __restrict__ found,
          hidden_t* __restrict__ hidden, int H, int I, int TOPK, int ENTRIES)
{
    constexpr int MOST = 16;  // entries at a time
    __shared__ __align__(16) float slots[WARPS * MOST * (ROWS_B + 4)];
    extern __shared__ int list[];
    __shared__ int total;
    const int expert = blockIdx.y, lane = threadIdx.x % 32;
    if (threadIdx.x < 32) {
        int many = 0;
#pragma unroll 4
        for (int base = 0; base < ENTRIES; base += 32) {
            const int entry = base + lane;
            const bool mine = ids[min(entry, ENTRIES - 1)] == expert && entry < ENTRIES;
            const unsigned all = __ballot_sync(ALL, mine);
            if (mine) list[many + __popc(all & ((1u << lane) - 1))] = entry;
            many += __popc(all);
        }
        total = many;
    }
    __syncthreads();
    const int entries = total, n0 = blockIdx.x * ROWS_B;
    if (blockIdx.x == 0) {
        int* mine = found + (size_t)expert * (1 + ENTRIES);
        for (int i = threadIdx.x; i <= entries; i += blockDim.x) mine[i] = i ? list[i - 1] : entries;
    }
    const w1_t* weights = w1 + (size_t)expert * 2 * I * H;
    for (int first = 0; first < entries; first += MOST) {
        if (entries - first <= 8)
            stream_entries<1, ROWS_B, WARPS>(x, weights, list + first, entries - first, slots, hidden, n0, H, I, TOPK);
        else
            stream_entries<2, ROWS_B, WARPS>(x, weights, list + first, entries - first, slots, hidden, n0, H, I, TOPK);
    }
}

// A warp's sums of 16 columns of y for every token.
__global__ void __launch_bounds__(512)
stream_down(const hidden_t* __restrict__ hidden, const w2_t* __restrict__ w2, const int* __restrict__ found,
            const float* __restrict__ share, y_t* __restrict__ y, int T, int H, int I, int E, int TOPK, int ENTRIES)
{
    constexpr int WARPS = 16, COLUMNS = 16, WIDE = 17, DEEP = 4;
    extern __shared__ float sums[];
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, h0 = blockIdx.x * COLUMNS;
    float* own = sums + warp * T * WIDE;
    for (int i = threadIdx.x % 32; i < T * WIDE; i += 32) own[i] = 0.f;
    __syncwarp();
    for (int e = warp; e < E; e += WARPS) {
        const int* list = found + (size_t)e * (1 + ENTRIES) + 1;
        const int entries = list[-1];
        const w2_t* upper = w2 + ((size_t)e * H + min(h0 + g, H - 1)) * I;
        const w2_t* lower = w2 + ((size_t)e * H + min(h0 + 8 + g, H - 1)) * I;
        for (int first = 0; first < entries; first += 8) {
            const hidden_t* values = hidden + (size_t)list[min(first + g, entries - 1)] * I;
            float sum[4] = {};
            for (int k0 = 0; k0 < I; k0 += 32 * DEEP) {
                uint4 a[DEEP], b[DEEP], v[DEEP];
#pragma unroll
                for (int d = 0; d < DEEP; d++) {
                    const int k = min(k0 + 32 * d + 8 * t, I - 8);
                    a[d] = *reinterpret_cast<const uint4*>(upper + k);
                    b[d] = *reinterpret_cast<const uint4*>(lower + k);
                    v[d] = *reinterpret_cast<const uint4*>(values + k);
                }
#pragma unroll
                for (int d = 0; d < DEEP; d++) {
                    const unsigned inside = k0 + 32 * d + 8 * t < I ? 0xFFFFFFFFu : 0u;
                    mma(sum, a[d].x, b[d].x, a[d].y, b[d].y, v[d].x & inside, v[d].y & inside);
                    mma(sum, a[d].z, b[d].z, a[d].w, b[d].w, v[d].z & inside, v[d].w & inside);
                }
            }
#pragma unroll
            for (int c = 0; c < 2; c++) {
                const int place = first + 2 * t + c;
                if (place >= entries) continue;
                const int entry = list[place];
                const float weight = share[entry];
                float* row = own + entry / TOPK * WIDE + g;
                row[0] += weight * sum[c];
                row[8] += weight * sum[2 + c];
            }
            __syncwarp();
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < T * (COLUMNS / 2); i += blockDim.x) {
        const int token = i / (COLUMNS / 2), column = i % (COLUMNS / 2) * 2;
        if (h0 + column >= H) continue;
        float low = 0.f, high = 0.f;
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            const float* row = sums + (w * T + token) * WIDE + column;
            low += row[0];
            high += row[1];
        }
        *reinterpret_cast<unsigned*>(y + (size_t)token * H + h0 + column) = two(low, high);
    }
}

// ---- many entries an expert

// Of each expert: how many entries there are, and how many in groups before this block's; then where its own go, 32
// entries a warp: those of one expert in the same 32 find each other, and one thread an expert adds up over the 32s.
__global__ void __launch_bounds__(512)
place(const int* __restrict__ ids, const int* __restrict__ counts, int* __restrict__ offsets, int* __restrict__ order,
      int E, int WIDTH, int TOKENS, int TOPK, int ENTRIES, int GROUPS)
{
    constexpr int THREADS = 512, WARPS = THREADS / 32;
    __shared__ int total[THREADS], before[THREADS], warps[WARPS];
    extern __shared__ int own[];  // [TOPK][E]: an expert's entries among 32, then where the first of them goes
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int expert = threadIdx.x % WIDTH, parts = THREADS / WIDTH;
    for (int i = threadIdx.x; i < TOPK * E; i += THREADS) own[i] = 0;
    int all = 0, earlier = 0;
    if (expert < E) {
#pragma unroll 8
        for (int b = threadIdx.x / WIDTH; b < GROUPS; b += parts) {
            const int count = counts[(size_t)b * E + expert];
            all += count;
            earlier += b < blockIdx.x ? count : 0;
        }
    }
    total[threadIdx.x] = all;
    before[threadIdx.x] = earlier;
    __syncthreads();
    const int begin = blockIdx.x * TOKENS * TOPK, end = min(ENTRIES, begin + TOKENS * TOPK);
    int id[2], rank[2];
#pragma unroll
    for (int turn = 0; turn < 2; turn++) {
        const int entry = begin + 32 * (warp + turn * WARPS) + lane;
        id[turn] = entry < end ? ids[entry] : -1;
        const unsigned peers = __match_any_sync(ALL, id[turn]);
        rank[turn] = __popc(peers & ((1u << lane) - 1));
        if (id[turn] >= 0 && rank[turn] == 0) own[(warp + turn * WARPS) * E + id[turn]] = __popc(peers);
    }
    all = earlier = 0;
    if (threadIdx.x < WIDTH) {
        for (int part = 0; part < parts; part++) {
            all += total[part * WIDTH + threadIdx.x];
            earlier += before[part * WIDTH + threadIdx.x];
        }
    }
    int upto = all;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
        const int other = __shfl_up_sync(ALL, upto, step);
        if (lane >= step) upto += other;
    }
    if (lane == 31) warps[warp] = upto;
    __syncthreads();
    const int first = upto - all + __reduce_add_sync(ALL, lane < warp ? warps[lane % WARPS] : 0);
    if (blockIdx.x == 0 && threadIdx.x < E) offsets[threadIdx.x] = first;
    if (blockIdx.x == 0 && threadIdx.x == 0) offsets[E] = ENTRIES;
    if (threadIdx.x < E) {
        int to = first + earlier;
        for (int i = threadIdx.x; i < TOPK * E; i += E) {
            const int count = own[i];
            own[i] = to;
            to += count;
        }
    }
    __syncthreads();
#pragma unroll
    for (int turn = 0; turn < 2; turn++) {
        const int number = warp + turn * WARPS;
        if (id[turn] >= 0) order[own[number * E + id[turn]] + rank[turn]] = begin + 32 * number + lane;
    }
}

// What a block multiplies next: `rows` entries from place `first` in `order` on with weight rows n0 .. n0 + 64 * units;
// no units: nothing.
struct Product {
    int expert, first, rows, n0, units;
};

// The block's part of the line of units, see above. A warp walks alike; its first lane keeps the place in shared memory.
struct Walk {
    int E, across, expert, begin, sixteens, tiles, height, tile, unit, at, end;

    static __device__ int length(int sixteens) { return sixteens + OVERHEAD * ((sixteens + BM / 16 - 1) / (BM / 16)); }

    // Across: units of a tile. Sets out at the first unit that begins in the block's part.
    __device__ void set_out(const int* offsets, int experts, int units)
    {
        E = experts;
        across = units;
        const int lane = threadIdx.x % 32;
        int all = 0;
        for (int e = lane; e < E; e += 32) all += length((offsets[e + 1] - offsets[e] + 15) / 16);
        const long long line = (long long)__reduce_add_sync(ALL, all) * across;
        const int start = (int)(line * blockIdx.x / gridDim.x);
        end = (int)(line * (blockIdx.x + 1) / gridDim.x);
        at = end;
        int skipped = 0;
        for (int base = 0; base < E; base += 32) {
            const int e = base + lane, own = e < E ? length((offsets[e + 1] - offsets[e] + 15) / 16) * across : 0;
            int upto = own;
#pragma unroll
            for (int step = 1; step < 32; step *= 2) {
                const int other = __shfl_up_sync(ALL, upto, step);
                if (lane >= step) upto += other;
            }
            const unsigned past = __ballot_sync(ALL, start < skipped + upto);
            if (past) {
                const int source = __ffs(past) - 1;
                enter(offsets, base + source);
                const int passed = start - skipped - __shfl_sync(ALL, upto - own, source);
                const int one = across * (height + OVERHEAD);
                tile = min(passed / one, tiles - 1);
                unit = (passed - tile * one + now() - 1) / now();
                at = start - passed + tile * one + unit * now();
                if (unit == across) next_tile(offsets);
                return;
            }
            skipped += __shfl_sync(ALL, upto, 31);
        }
    }

    __device__ void enter(const int* offsets, int e)
    {
        expert = e;
        begin = offsets[e];
        sixteens = (offsets[e + 1] - begin + 15) / 16;
        tiles = (sixteens + BM / 16 - 1) / (BM / 16);
        height = (sixteens + tiles - 1) / max(tiles, 1);
        tile = unit = 0;
    }

    // Length of one of the tile's units: sixteens of its rows, and what a unit costs besides.
    __device__ int now() const { return min(height, sixteens - tile * height) + OVERHEAD; }

    __device__ void next_tile(const int* offsets)
    {
        unit = 0;
        if (++tile < tiles || at >= end) return;
        do enter(offsets, expert + 1);
        while (!sixteens);
    }

    __device__ Product take(const int* offsets)
    {
        if (at >= end) return {0, 0, 0, 0, 0};
        const int wanted = min(across - unit, (end - at + now() - 1) / now());
        const int most = min(wanted, 4), units = most - (most == 3), row = 16 * tile * height;
        const int rows = min(16 * height, offsets[expert + 1] - begin - row);
        const Product product = {expert, begin + row, rows, unit * UNIT, units};
        at += units * now();
        unit += units;
        if (unit == across) next_tile(offsets);
        return product;
    }
};

// Which weight row of a product lies in shared row `place`.
__device__ constexpr int dealt(int place) { return place / 16 * 16 + place % 8 / 2 * 4 + place % 16 / 8 * 2 + place % 2; }

// One buffer: entries past the product's last and k past K are zeros; weight rows past the last are copies of it,
// multiplied and never stored, so that what runs does not hang on how ragged a product is. `rows`: where an entry's
// K values are, in eights. Of N times 32 weight rows `wanted_tiles` times 32 are wanted.
template <int N>
__device__ void load_stage(unsigned to, const __nv_bfloat16* __restrict__ a, const __nv_bfloat16* __restrict__ b,
                           const int* rows, int last_row, int last_weight, int wanted_tiles, int step, int K)
{
    const int row0 = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
    const int wanted = step * DEPTH + 8 * chunk, k = min(wanted, K - 8), size = wanted < K ? 16 : 0;
    const unsigned own = to + row0 * 128 + ((chunk ^ row0 % 8) << 4);
    a += k;
    b += k;
#pragma unroll
    for (int i = 0; i < BM / 32; i++)
        fetch(own + 32 * i * 128, a + (long long)rows[row0 + 32 * i] * 8, row0 + 32 * i <= last_row ? size : 0);
#pragma unroll
    for (int i = 0; i < N; i++)
        fetch(own + (BM + 32 * i) * 128, b + (long long)min(dealt(row0) + 32 * i, last_weight) * K, i < wanted_tiles ? size : 0);
}

// One buffer's part of the sums; the first `live` sixteens of this warp's rows hold anything. The next sixteen is on its
// way while one is multiplied.
template <int N>
__device__ void multiply_stage(unsigned from, int live, float (&sum)[MT][NT][4])
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    // Lanes 0 to 15 of ldmatrix name the rows of A, the upper half the same rows eight k on; of B each eight lanes name
    // eight rows, every other eight of them eight k on.
    const int a_row = warp / 4 * 16 + lane % 16, a_chunk = lane / 16;
    const int b_row = BM + warp % 4 * 16 + lane / 16 * 8 + lane % 8, b_chunk = lane / 8 % 2;
#pragma unroll
    for (int k = 0; k < DEPTH / 16; k++) {
        unsigned as[2][4], bs[N / 2][4];
        const unsigned a = from + a_row * 128 + (((2 * k + a_chunk) ^ a_row % 8) << 4);
        const unsigned b = from + b_row * 128 + (((2 * k + b_chunk) ^ b_row % 8) << 4);
        load_matrices(as[0], a);
#pragma unroll
        for (int j = 0; j < N / 2; j++) load_matrices(bs[j], b + UNIT * j * 128);
#pragma unroll
        for (int i = 0; i < MT; i++) {
            if (i + 1 < MT) load_matrices(as[(i + 1) % 2], a + 32 * (i + 1) * 128);
#pragma unroll
            for (int j = 0; j < N; j++) {
                const unsigned(&row)[4] = as[i % 2];
                mma(sum[i][j], row[0], row[1], row[2], row[3], bs[j / 2][j % 2 * 2], bs[j / 2][j % 2 * 2 + 1]);
            }
            if (i + 1 >= live) break;
        }
    }
}

// The sums of a product to out[places[row]]: of each unit a lane has four neighbouring results of a row, for `up` two
// hidden values.
template <bool GATED>
__device__ void store_product(__nv_bfloat16* __restrict__ out, const int* places, int rows, int n0, int units, int live,
                              const float (&sum)[MT][NT][4], int columns)
{
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    constexpr int PER = GATED ? 2 : 1;  // weight rows of a column of `out`
#pragma unroll
    for (int i = 0; i < MT; i++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = warp / 4 * 16 + 32 * i + 8 * half + g, c = 2 * half;
            if (row >= rows) continue;
            __nv_bfloat16* to = out + (long long)places[row] * columns;
#pragma unroll
            for (int u = 0; u < BN / UNIT; u++) {
                const int column = (n0 + UNIT * u + warp % 4 * 16 + 4 * t) / PER;
                if (u >= units || column >= columns) break;
                const float(&low)[4] = sum[i][2 * u], (&high)[4] = sum[i][2 * u + 1];
                if constexpr (GATED)
                    *reinterpret_cast<unsigned*>(to + column) = two(gated(low[c], low[c + 1]), gated(high[c], high[c + 1]));
                else
                    *reinterpret_cast<uint2*>(to + column) = make_uint2(two(low[c], low[c + 1]), two(high[c], high[c + 1]));
            }
        }
        if (i + 1 >= live) break;
    }
}

// What the block's warps share besides the buffers.
struct Desk {
    Walk walk;
    Product product[2];
    int rows[2][BM], places[2][BM];
};

// Everything that a grouped product is given: out[entry] = a[entry] * weights[expert]^T, N weight rows of K each.
struct Grouped {
    const __nv_bfloat16 *a, *weights;
    const int *offsets, *order;
    __nv_bfloat16* out;
    int N, K, TOPK;
};

// Where the rows of product `slot` come from and go to.
template <bool GATED>
__device__ void prepare(Desk& desk, const Grouped& given, int slot)
{
    const Product& product = desk.product[slot];
    if (threadIdx.x >= BM || !product.units) return;
    const int place = product.first + min((int)threadIdx.x, product.rows - 1), entry = given.order[place];
    desk.rows[slot][threadIdx.x] = (GATED ? entry / given.TOPK : place) * (given.K / 8);
    desk.places[slot][threadIdx.x] = GATED ? place : entry;
}

// N: mma tiles of a warp, two a unit.
template <int N>
__device__ void load(unsigned base, const Desk& desk, const Grouped& given, int slot, int step, int wanted_tiles = N)
{
    const Product& product = desk.product[slot];
    if (step * DEPTH < given.K)
        load_stage<N>(base + step % STAGES * STAGE_BYTES, given.a,
                      given.weights + ((long long)product.expert * given.N + product.n0) * given.K, desk.rows[slot],
                      product.rows - 1, given.N - 1 - product.n0, wanted_tiles, step, given.K);
    commit();
}

// The first buffers of product `slot`, in the same way whatever its size.
__device__ void set_out(unsigned base, const Desk& desk, const Grouped& given, int slot)
{
    if (!desk.product[slot].units) return;
#pragma unroll 1
    for (int step = 0; step < STAGES - 1; step++) load<NT>(base, desk, given, slot, step, 2 * desk.product[slot].units);
}

// Product `slot`, whose first buffers are on their way.
template <int N>
__device__ void multiply_product(unsigned base, const Desk& desk, const Grouped& given, int slot, int live,
                                 float (&sum)[MT][NT][4])
{
#pragma unroll 1
    for (int step = 0; step * DEPTH < given.K; step++) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
        __syncthreads();
        load<N>(base, desk, given, slot, step + STAGES - 1);
        multiply_stage<N>(base + step % STAGES * STAGE_BYTES, live, sum);
    }
}

// The block's products, one after another.
template <bool GATED>
__device__ void multiply(const Grouped& given, int E)
{
    extern __shared__ __align__(128) unsigned char bytes[];
    __shared__ Desk desk;
    const unsigned base = (unsigned)__cvta_generic_to_shared(bytes);
    if (threadIdx.x < 32) {
        Walk walk;
        walk.set_out(given.offsets, E, (given.N + UNIT - 1) / UNIT);
        const Product first = walk.take(given.offsets);
        if (threadIdx.x == 0) {
            desk.walk = walk;
            desk.product[0] = first;
        }
    }
    __syncthreads();
    prepare<GATED>(desk, given, 0);
    __syncthreads();
    set_out(base, desk, given, 0);
#pragma unroll 1
    for (int slot = 0; desk.product[slot].units; slot ^= 1) {
        const int rows = desk.product[slot].rows, units = desk.product[slot].units;
        const int live = max(1, ((rows + 15) / 16 - (int)threadIdx.x / 128 + 1) / 2);
        float sum[MT][NT][4] = {};
        if (units == 4)
            multiply_product<8>(base, desk, given, slot, live, sum);
        else if (units == 2)
            multiply_product<4>(base, desk, given, slot, live, sum);
        else
            multiply_product<2>(base, desk, given, slot, live, sum);
        if (threadIdx.x == 0) desk.product[slot ^ 1] = desk.walk.take(given.offsets);
        __syncthreads();
        prepare<GATED>(desk, given, slot ^ 1);
        __syncthreads();
        set_out(base, desk, given, slot ^ 1);
        store_product<GATED>(given.out, desk.places[slot], rows, desk.product[slot].n0, units, live, sum,
                             GATED ? given.N / 2 : given.N);
    }
}

__global__ void __launch_bounds__(256)
up(const x_t* __restrict__ x, const w1_t* __restrict__ w1, const int* __restrict__ offsets, const int* __restrict__ order,
   hidden_t* __restrict__ hidden, int H, int I, int E, int TOPK)
{
    multiply<true>({x, w1, offsets, order, hidden, 2 * I, H, TOPK}, E);
}

__global__ void __launch_bounds__(256)
down(const hidden_t* __restrict__ hidden, const w2_t* __restrict__ w2, const int* __restrict__ offsets,
     const int* __restrict__ order, part_t* __restrict__ part, int H, int I, int E, int TOPK)
{
    multiply<false>({hidden, w2, offsets, order, part, H, I, TOPK}, E);
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
