// /// kernel
// task = "nsa_block_topk"
// requires = "D % 8 == 0 and D <= 128 and 16 % G == 0 and S <= 32 and BLOCKS <= 1024 and (BLOCKS <= 128 or LONG_BYTES <= FREE)"
// tags = ["tensor_core", "register_blocking", "shared_tile", "async_copy", "vectorized", "reused"]
//
// [tune]
// WARPS = [8, 4, 16]                      # warps of a block where keys of a sequence fit into one tile
// TURNS = [4, 2, 8]                       # tiles of 16 rows that each of them takes, one after the other
//
// [let]
// BLOCKS = "T // BS"
// TOKENS = "16 // G"                      # tokens of 16 rows
// TILE = "WARPS * TURNS * TOKENS"         # tokens of a block
// LOG = "ilog2(G)"
// ROW = "align(BLOCKS + 1, 64) // 32 * 33"  # floats of a token's scores; block j stands at j + j / 32
// LONG_BYTES = "2 * TOKENS * ROW * 4"
// FREE = "160000 - 4 * 64 * 160"          # shared memory of the smallest target, less two chunks of keys
// LONG_WARPS = "max(1, min(12, FREE // LONG_BYTES))"
// LONG_TILE = "LONG_WARPS * 2 * TOKENS"
//
// [[launch]]
// kernel = "whole"
// when = "BLOCKS <= 128"
// grid = ["cdiv(T, TILE)", "H"]
// block = "32 * WARPS"
// shared = "256 * 160 + WARPS * TOKENS * 132 * 4"
//
// [[launch]]
// kernel = "twice"
// when = "BLOCKS > 128"
// grid = ["cdiv(T, LONG_TILE)", "H"]
// block = "32 * LONG_WARPS"
// shared = "4 * 64 * 160 + LONG_WARPS * LONG_BYTES"
// ///

// Scores are products of keys (rows of mma's A) and queries (columns of B): 16 columns are 16 / G tokens x G heads.
//
//   whole   up to 128 blocks a sequence: all its keys lie in shared memory, a warp keeps its 128 x 16 products in 64
//           registers a lane, so that softmax needs no second product; a block serves WARPS x TURNS tiles with one copy
//
//             keys -> shared, once     turn 0: Q -> registers | mma | max, exp, sum | heads summed | pick S
//                                      turn 1: ...
//
//   twice   more: keys pass by twice in chunks of 64, two buffers, cp.async; a warp has 32 columns, so that a fragment
//           of keys serves four products
//
//             first    products, largest score and sum of exponentials of every column, in registers
//             second   products, exp(S - largest) / sum, heads summed -> scores in shared memory; then pick S
//
// A sum over d may come in any order. So a lane takes 8 neighbouring elements of a query, and of a key, as 16 bytes:
// d = 32 s + 8 c + 0..7 stand for k slots (2c, 2c + 1), (2c + 8, 2c + 9) of two neighbouring mma. No ldmatrix is needed.
//
// Picking: a score and its block make one key, score bits above, block below; what the block takes away from the score
// is less than a ten-thousandth. Keys are distinct: the warp's largest names the block, and nothing is struck out.

constexpr unsigned ALL = 0xFFFFFFFFu;
constexpr float LOG2E = 1.4426950408889634f;
constexpr int DEPTH = 128, SLICES = DEPTH / 32;  // elements of a key, zeros behind the last
constexpr int KEY_PITCH = DEPTH + 32;  // two rows of a quarter-warp meet different banks

static_assert(sizeof(q_t) == 2 && sizeof(kc_t) == 2, "queries and keys are half precision");
static_assert(KEY_PITCH * 2 % 128 == 64, "neighbouring rows lie half of all banks apart");
static_assert(WARPS * TURNS <= 128, "a block's tile is of thousands of tokens at most");

__device__ void multiply(float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1,
                         __nv_bfloat16)
{
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ void multiply(float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1,
                         __half)
{
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ float power_of_two(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// The sequence that token t belongs to: the last that begins at or before it.
__device__ int sequence_of(const int* __restrict__ cu_seqlens, int t, int B)
{
    int low = 0, high = B - 1;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (cu_seqlens[middle] <= t) low = middle;
        else high = middle - 1;
    }
    return low;
}

// Copies keys begin to begin + COUNT - 1 of `count`; zeros behind the last.
template <int COUNT>
__device__ void copy_keys(kc_t* to, const kc_t* from, int begin, int count, int H, int D)
{
    constexpr int PARTS = DEPTH / 8;
    for (int i = threadIdx.x; i < COUNT * PARTS; i += blockDim.x) {
        const int key = i / PARTS, d = i % PARTS * 8;
        const bool there = begin + key < count && d < D;
        const unsigned place = (unsigned)__cvta_generic_to_shared(to + key * KEY_PITCH + d);
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(place),
                     "l"(from + (there ? (size_t)(begin + key) * H * D + d : 0)), "r"(there ? 16 : 0) : "memory");
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Complete blocks that a token scores; none where it is not of the sequence at hand.
__device__ int scored_by(int token, int t, int stop, int first, int BS)
{
    return token >= t && token < stop ? (token - first + 1) / BS : 0;
}

// This lane's part of the query of column `column` of 16 that begin at `token`.
__device__ void load_query(uint4 (&to)[SLICES], const q_t* __restrict__ q, int token, int column, int h, int H, int T,
                           int LOG, int D)
{
    const int t = min(token + (column >> LOG), T - 1), c8 = threadIdx.x % 4 * 8;
    const q_t* row = q + ((((size_t)t * H + h) << LOG) + (column & ((1 << LOG) - 1))) * D + c8;
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        to[s] = make_uint4(0, 0, 0, 0);
        if (32 * s + c8 < D) to[s] = *reinterpret_cast<const uint4*>(row + 32 * s);
    }
}

// 16 keys times 8 * TILES columns.
template <int TILES>
__device__ void products(float (&sums)[TILES][4], const kc_t* keys, const uint4 (&queries)[TILES][SLICES])
{
    const kc_t* row = keys + threadIdx.x % 32 / 4 * KEY_PITCH + threadIdx.x % 4 * 8;
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        const uint4 low = *reinterpret_cast<const uint4*>(row + 32 * s);
        const uint4 high = *reinterpret_cast<const uint4*>(row + 8 * KEY_PITCH + 32 * s);
#pragma unroll
        for (int n = 0; n < TILES; n++) {
            multiply(sums[n], low.x, high.x, low.y, high.y, queries[n][s].x, queries[n][s].y, q_t());
            multiply(sums[n], low.z, high.z, low.w, high.w, queries[n][s].z, queries[n][s].w, q_t());
        }
    }
}

__device__ int place_of(int block) { return block + block / 32; }

// Adds up the heads of every token of 16 columns, for 16 blocks from `block` on, and puts the sums into scores.
__device__ void put(const float (&w)[2][4], float* scores, int row, int block, int LOG)
{
    const int g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int at = place_of(block + 8 * r + g);
        if (LOG == 0) {
#pragma unroll
            for (int n = 0; n < 2; n++)
#pragma unroll
                for (int e = 0; e < 2; e++) scores[(8 * n + 2 * c + e) * row + at] = w[n][2 * r + e];
        } else if (LOG == 4) {
            float sum = (w[0][2 * r] + w[0][2 * r + 1]) + (w[1][2 * r] + w[1][2 * r + 1]);
            sum += __shfl_xor_sync(ALL, sum, 1);
            sum += __shfl_xor_sync(ALL, sum, 2);
            if (c == 0) scores[at] = sum;
        } else {
#pragma unroll
            for (int n = 0; n < 2; n++) {
                float sum = w[n][2 * r] + w[n][2 * r + 1];
                if (LOG >= 2) sum += __shfl_xor_sync(ALL, sum, 1);
                if (LOG >= 3) sum += __shfl_xor_sync(ALL, sum, 2);
                if ((2 * c & ((1 << LOG) - 1)) == 0) scores[((8 * n + 2 * c) >> LOG) * row + at] = sum;
            }
        }
    }
}

// A score that is not negative, and its block in the lowest bits.
__device__ unsigned key_of(float score, int block, unsigned bits)
{
    return (__float_as_uint(score) << 1 & ~bits) | block;
}

__device__ void order(unsigned& first, unsigned& second)
{
    const unsigned most = max(first, second), least = min(first, second);
    first = most;
    second = least;
}

// Blocks of one token of up to 128: 0, `own`, then by score. A lane has four, the best in front.
__device__ void pick_of_128(const float* scores, int own, int S, int* __restrict__ ids)
{
    const int lane = threadIdx.x % 32;
    unsigned keys[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int block = lane + 32 * i;
        keys[i] = block >= 1 && block < own ? key_of(scores[place_of(block)], block, 127u) : 0u;
    }
    order(keys[0], keys[1]);
    order(keys[2], keys[3]);
    order(keys[0], keys[2]);
    order(keys[1], keys[3]);
    order(keys[1], keys[2]);
    int mine = lane == 0 ? 0 : lane == 1 && own > 0 ? own : -1;
    const int rounds = min(S, own + 1);  // as many blocks as there are
#pragma unroll 2
    for (int round = 2; round < rounds; round++) {
        const unsigned most = __reduce_max_sync(ALL, keys[0]);
        if (lane == round) mine = most & 127u;
        if (keys[0] == most) {
            keys[0] = keys[1];
            keys[1] = keys[2];
            keys[2] = keys[3];
            keys[3] = 0;
        }
    }
    if (lane < S) ids[lane] = mine;
}

// The same of up to 1024: a lane knows the best of blocks lane, lane + 32, ...; all look for the next of those that lost it.
__device__ void pick_of_1024(const float* scores, int own, int S, int* __restrict__ ids)
{
    const int lane = threadIdx.x % 32;
    unsigned best = 0;
    for (int block = lane; block < own; block += 32)
        if (block >= 1) best = max(best, key_of(scores[place_of(block)], block, 1023u));
    int mine = lane == 0 ? 0 : lane == 1 && own > 0 ? own : -1;
    const int rounds = min(S, own + 1);  // as many blocks as there are
    for (int round = 2; round < rounds; round++) {
        const unsigned most = __reduce_max_sync(ALL, best);
        if (lane == round) mine = most & 1023u;
        const int owner = most & 31u, block = owner + 32 * lane;
        unsigned next = 0;
        if (block >= 1 && block < own) next = key_of(scores[place_of(block)], block, 1023u);
        next = __reduce_max_sync(ALL, next < most ? next : 0u);
        if (lane == owner) best = next;
    }
    if (lane < S) ids[lane] = mine;
}

__global__ void __launch_bounds__(32 * WARPS, 16 / WARPS)
whole(const q_t* __restrict__ q, const kc_t* __restrict__ kc, const int* __restrict__ cu_seqlens,
      const int* __restrict__ cu_blocks, int* __restrict__ block_ids, int T, int B, int H, int D, int BS, int S, int LOG,
      int TILE)
{
    extern __shared__ __align__(16) unsigned char bytes[];
    const int TOKENS = 16 >> LOG;
    kc_t* keys = reinterpret_cast<kc_t*>(bytes);
    float* scores = reinterpret_cast<float*>(bytes + 256 * KEY_PITCH) + threadIdx.x / 32 * TOKENS * 132;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, c = lane % 4;
    const int h = blockIdx.y, t0 = (gridDim.x - 1 - blockIdx.x) * TILE, t_end = min(T, t0 + TILE);  // the longest first
    const float scale = rsqrtf((float)D) * LOG2E;

    for (int t = t0; t < t_end;) {  // the sequences that meet in this tile
        const int b = sequence_of(cu_seqlens, t, B), first = cu_seqlens[b], stop = min(cu_seqlens[b + 1], t_end);
        copy_keys<128>(keys, kc + ((size_t)cu_blocks[b] * H + h) * D, 0, (stop - first) / BS, H, D);
        asm volatile("cp.async.wait_group 0;" ::: "memory");
        __syncthreads();
        for (int turn = 0; turn < TURNS; turn++) {
            const int token = t0 + (turn * WARPS + warp) * TOKENS;
            if (token >= stop || token + TOKENS <= t) continue;
            uint4 queries[2][SLICES];
#pragma unroll
            for (int n = 0; n < 2; n++) load_query(queries[n], q, token, 8 * n + g, h, H, T, LOG, D);
            // Blocks that this lane's columns score; what the first token and the last one of the warp score.
            int complete[2][2];
            const int scored = scored_by(token + lane, t, stop, first, BS);
#pragma unroll
            for (int n = 0; n < 2; n++)
#pragma unroll
                for (int e = 0; e < 2; e++) complete[n][e] = __shfl_sync(ALL, scored, (8 * n + 2 * c + e) >> LOG);
            const int most = __reduce_max_sync(ALL, lane < TOKENS ? scored : 0);
            const int least = __reduce_min_sync(ALL, lane < TOKENS ? scored : most);

            float s[8][2][4] = {}, largest[2][2] = {{-INFINITY, -INFINITY}, {-INFINITY, -INFINITY}}, total[2][2] = {};
#pragma unroll
            for (int j = 0; j < 8; j++) {
                if (16 * j >= most) break;
                products<2>(s[j], keys + 16 * j * KEY_PITCH, queries);
                if (16 * j + 16 > least) {
#pragma unroll
                    for (int n = 0; n < 2; n++)
#pragma unroll
                        for (int e = 0; e < 4; e++)
                            if (16 * j + g + 8 * (e / 2) >= complete[n][e % 2]) s[j][n][e] = -INFINITY;
                }
#pragma unroll
                for (int n = 0; n < 2; n++)
#pragma unroll
                    for (int e = 0; e < 4; e++) largest[n][e % 2] = fmaxf(largest[n][e % 2], s[j][n][e]);
            }
#pragma unroll
            for (int n = 0; n < 2; n++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
#pragma unroll
                    for (int step = 4; step < 32; step *= 2)
                        largest[n][e] = fmaxf(largest[n][e], __shfl_xor_sync(ALL, largest[n][e], step));
                    largest[n][e] = largest[n][e] == -INFINITY ? 0.f : largest[n][e] * scale;
                }
#pragma unroll
            for (int j = 0; j < 8; j++) {
                if (16 * j >= most) break;
#pragma unroll
                for (int n = 0; n < 2; n++)
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        s[j][n][e] = power_of_two(fmaf(s[j][n][e], scale, -largest[n][e % 2]));
                        total[n][e % 2] += s[j][n][e];
                    }
            }
#pragma unroll
            for (int n = 0; n < 2; n++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
#pragma unroll
                    for (int step = 4; step < 32; step *= 2) total[n][e] += __shfl_xor_sync(ALL, total[n][e], step);
                    total[n][e] = total[n][e] > 0.f ? 1.f / total[n][e] : 0.f;
                }
#pragma unroll
            for (int j = 0; j < 8; j++) {
                if (16 * j >= most) break;
#pragma unroll
                for (int n = 0; n < 2; n++)
#pragma unroll
                    for (int e = 0; e < 4; e++) s[j][n][e] *= total[n][e % 2];
                put(s[j], scores, 132, 16 * j, LOG);
            }
            __syncwarp();
            for (int i = 0; i < TOKENS; i++) {
                const int own = token + i;
                if (own >= t && own < stop)
                    pick_of_128(scores + i * 132, (own - first) / BS, S, block_ids + ((size_t)h * T + own) * S);
            }
            __syncwarp();
        }
        __syncthreads();
        t = stop;
    }
}

__global__ void __launch_bounds__(384)
twice(const q_t* __restrict__ q, const kc_t* __restrict__ kc, const int* __restrict__ cu_seqlens,
      const int* __restrict__ cu_blocks, int* __restrict__ block_ids, int T, int B, int H, int D, int BS, int S, int LOG,
      int ROW, int LONG_TILE)
{
    extern __shared__ __align__(16) unsigned char bytes[];
    const int TOKENS = 16 >> LOG;
    kc_t* keys = reinterpret_cast<kc_t*>(bytes);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, c = lane % 4;
    float* scores = reinterpret_cast<float*>(bytes + 256 * KEY_PITCH) + (size_t)warp * 2 * TOKENS * ROW;
    const int h = blockIdx.y, t0 = (gridDim.x - 1 - blockIdx.x) * LONG_TILE, t_end = min(T, t0 + LONG_TILE);
    const int token = t0 + warp * 2 * TOKENS;
    const float scale = rsqrtf((float)D) * LOG2E;
    uint4 queries[4][SLICES];
#pragma unroll
    for (int n = 0; n < 4; n++) load_query(queries[n], q, token, 8 * n + g, h, H, T, LOG, D);

    for (int t = t0; t < t_end;) {  // the sequences that meet in this tile
        const int b = sequence_of(cu_seqlens, t, B), first = cu_seqlens[b], stop = min(cu_seqlens[b + 1], t_end);
        const kc_t* from = kc + ((size_t)cu_blocks[b] * H + h) * D;
        const int count = (stop - first) / BS, chunks = count / 64 + 1;
        int complete[4][2];  // blocks that this lane's columns score
        const int scored = scored_by(token + lane, t, stop, first, BS);
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) complete[n][e] = __shfl_sync(ALL, scored, (8 * n + 2 * c + e) >> LOG);
        const int most = __reduce_max_sync(ALL, lane < 2 * TOKENS ? scored : 0);
        const int least = __reduce_min_sync(ALL, lane < 2 * TOKENS ? scored : most);
        float largest[4][2], share[4][2];
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) largest[n][e] = -INFINITY, share[n][e] = 0.f;

        // Products of the 32 keys from block `begin` on; what a column does not score is -inf.
        const auto products_of = [&](int begin, float (&s)[2][4][4]) {
#pragma unroll
            for (int j = 0; j < 2; j++) products<4>(s[j], keys + (begin % 128 + 16 * j) * KEY_PITCH, queries);
            if (begin + 32 <= least) return;
#pragma unroll
            for (int j = 0; j < 2; j++)
#pragma unroll
                for (int n = 0; n < 4; n++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        if (begin + 16 * j + g + 8 * (e / 2) >= complete[n][e % 2]) s[j][n][e] = -INFINITY;
        };

        copy_keys<64>(keys, from, 0, count, H, D);
        int chunk = 0;
        do {  // once at least
            copy_keys<64>(keys + (chunk + 1) % 2 * 64 * KEY_PITCH, from, 64 * (chunk + 1), count, H, D);
            asm volatile("cp.async.wait_group 1;" ::: "memory");
            __syncthreads();
            for (int begin = 64 * chunk; begin < min(64 * chunk + 64, most); begin += 32) {
                float s[2][4][4] = {};
                products_of(begin, s);
#pragma unroll
                for (int n = 0; n < 4; n++)
#pragma unroll
                    for (int e = 0; e < 2; e++) {
                        float now = largest[n][e];
#pragma unroll
                        for (int j = 0; j < 2; j++) now = fmaxf(now, fmaxf(s[j][n][e], s[j][n][e + 2]));
                        const float kept = now == -INFINITY ? 0.f : now * scale;
                        float sum = share[n][e] * power_of_two(fmaf(largest[n][e], scale, -kept));
#pragma unroll
                        for (int j = 0; j < 2; j++)
                            sum += power_of_two(fmaf(s[j][n][e], scale, -kept)) +
                                   power_of_two(fmaf(s[j][n][e + 2], scale, -kept));
                        largest[n][e] = now;
                        share[n][e] = sum;
                    }
            }
            __syncthreads();
        } while (++chunk < chunks);
        asm volatile("cp.async.wait_group 0;" ::: "memory");
        __syncthreads();
        copy_keys<64>(keys, from, 0, count, H, D);
        // Each lane has seen an eighth of a column's blocks.
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float all = largest[n][e];
#pragma unroll
                for (int step = 4; step < 32; step *= 2) all = fmaxf(all, __shfl_xor_sync(ALL, all, step));
                all = all == -INFINITY ? 0.f : all * scale;
                float sum = share[n][e] * power_of_two(fmaf(largest[n][e], scale, -all));
#pragma unroll
                for (int step = 4; step < 32; step *= 2) sum += __shfl_xor_sync(ALL, sum, step);
                largest[n][e] = all;
                share[n][e] = sum > 0.f ? 1.f / sum : 0.f;
            }
        chunk = 0;
        do {
            copy_keys<64>(keys + (chunk + 1) % 2 * 64 * KEY_PITCH, from, 64 * (chunk + 1), count, H, D);
            asm volatile("cp.async.wait_group 1;" ::: "memory");
            __syncthreads();
            for (int begin = 64 * chunk; begin < min(64 * chunk + 64, most); begin += 32) {
                float s[2][4][4] = {};
                products_of(begin, s);
#pragma unroll
                for (int j = 0; j < 2; j++)
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        float w[2][4];
#pragma unroll
                        for (int n = 0; n < 2; n++)
#pragma unroll
                            for (int e = 0; e < 4; e++)
                                w[n][e] = power_of_two(fmaf(s[j][2 * half + n][e], scale, -largest[2 * half + n][e % 2])) *
                                          share[2 * half + n][e % 2];
                        put(w, scores + half * TOKENS * ROW, ROW, begin + 16 * j, LOG);
                    }
            }
            __syncthreads();
        } while (++chunk < chunks);
        asm volatile("cp.async.wait_group 0;" ::: "memory");
        for (int i = 0; i < 2 * TOKENS; i++) {
            const int own = token + i;
            if (own >= t && own < stop)
                pick_of_1024(scores + i * ROW, (own - first) / BS, S, block_ids + ((size_t)h * T + own) * S);
        }
        __syncthreads();
        t = stop;
    }
}
