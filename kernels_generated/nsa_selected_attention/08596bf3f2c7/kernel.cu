// /// kernel
// task = "nsa_selected_attention"
// requires = "D % 16 == 0 and DV % 16 == 0 and D <= 128 and DV <= 128 and TILE * S <= 8192 and T // BS <= 65536"
// constants = ["G", "D", "DV", "BS", "S"]   # tile shapes, hence registers, hang on all of them
// tags = ["tensor_core", "online_softmax", "block_gather", "shared_tile", "pipelined", "async_copy", "reused"]
//
// [tune]
// WARPS = [16, 8, 4]                      # warps of a block; 16 rows (tokens x heads of a group) each
// STAGES = [2, 3]                         # chunks of keys on their way or in use
// where = "WARPS * STAGES <= 32"          # shared memory of the smallest target
//
// [let]
// TOKENS = "max(1, 16 // G)"              # tokens of a warp
// TILE = "WARPS * TOKENS"                 # tokens of a block
// HEAD_TILES = "cdiv(G, 16)"              # blocks that share out a larger group
// KEYS = "min(64, align(BS, 16))"         # keys of a chunk
// STAGE_BYTES = "KEYS * (2 * (D + 8) + 2 * (DV + 8) + 4)"
// WORDS = "T // BS // 32 + 2"             # a bit for every block of the longest sequence, two words at least
// REACHES = "TILE // BS + 2"              # blocks that a tile's own tokens lie in
// LISTED = "min(TILE * S, T // BS + 1)"   # most blocks that a tile can select
//
// [[launch]]
// kernel = "attend"
// grid = ["cdiv(T, TILE)", "H * HEAD_TILES"]
// block = "32 * WARPS"
// shared = "STAGES * STAGE_BYTES + WARPS * 32 * D + 4 * (TILE * S + WORDS + REACHES + LISTED + 1)"
// ///

// A block has TILE neighbouring tokens and the query heads of one key head. It walks once over the key blocks that any of
// its tokens selected, in ascending order; a warp multiplies only those that one of its own tokens selected.
//
//                     rows of a warp: 16 / G tokens x G heads of the group, one m16 tile
//                         G = 16              G = 4               G = 1
//                    row 0  t0 head 0     t0 head 0..3         t0
//                           ...           t1 head 0..3         ...
//                    row 15 t0 head 15    t3 head 0..3         t15
//
//    selected:   warp 0   [ 0 ]       [ 7 ]       [ 31 ]           chunks of up to 64 keys; the union of all
//                warp 1   [ 0 ]  [ 4 ]            [ 31 ]           warps' blocks is loaded, each once a block
//                union    [ 0 ]  [ 4 ] [ 7 ]      [ 31 ]
//
//    step        0           1           2           3
//    K, V       [copy 1]    [copy 2]    [copy 3]    ...      cp.async, STAGES - 1 chunks ahead
//    wait        for 0       for 1       for 2               cp.async.wait_group, and one barrier a chunk
//    warp 0     [0]          -          [7]         [31]     S = Q K^T, online softmax, O += P V: all in registers
//    warp 1     [0]         [4]          -          [31]
//
// The union is a bitmap in shared memory that the tokens' ids set, then a list; holes and blocks after a token set nothing.
// Which of a warp's tokens selected the block at hand comes from comparing their ids, 32 lanes at a time: one limit a row, of how
// many keys of the chunk it may see. A chunk that all rows see whole skips the masks. Sequences that meet in a tile are
// walked one after the other.
//
// Keys that no token of the tile may see are not loaded but zero: a NaN behind the causal edge cannot reach O through a
// weight of 0. Scores stay in units of q . k; the scale, and log2(e), enter with the exponential. Q waits in shared memory in
// the order of fragments, so that a lane gets its share of 16 d in one 16-byte load; O, S and P never leave registers.

constexpr unsigned ALL = 0xFFFFFFFFu;
constexpr int CHUNKS = (BS + KEYS - 1) / KEYS;  // of one selected block
constexpr int K_PITCH = D + 8, V_PITCH = DV + 8;  // elements; rows of ldmatrix 16 bytes apart modulo 128
constexpr int THREADS = 32 * WARPS;
constexpr float LOG2E = 1.4426950408889634f, LN2 = 0.6931471805599453f;

static_assert(sizeof(q_t) == 2 && sizeof(k_t) == 2 && sizeof(v_t) == 2, "tensors are half precision");
static_assert(D % 16 == 0 && DV % 16 == 0, "mma takes 16 of the inner dimension at a time");
static_assert(KEYS % 16 == 0 && KEYS <= 64, "the weights of a chunk are whole fragments and fit in registers");
static_assert(TOKENS * G <= 16 || TOKENS == 1, "the rows of a warp are one m16 tile");
static_assert(TOKENS <= 32, "a bit a token");

__device__ void multiply(float (&c)[4], const uint4& a, unsigned b0, unsigned b1, __nv_bfloat16)
{
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}

__device__ void multiply(float (&c)[4], const uint4& a, unsigned b0, unsigned b1, __half)
{
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}

__device__ unsigned two(float low, float high, __nv_bfloat16)
{
    unsigned word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

__device__ unsigned two(float low, float high, __half)
{
    unsigned word;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

__device__ void load_matrices(unsigned (&to)[4], unsigned from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(from) : "memory");
}

__device__ void load_transposed(unsigned (&to)[4], unsigned from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(from) : "memory");
}

// Asynchronous copies of 16 and 4 bytes; zeros where there is nothing to copy.
__device__ void copy16(unsigned to, const void* from, bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}

__device__ void copy4(unsigned to, const void* from, bool there)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(there ? 4 : 0) : "memory");
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

__global__ void __launch_bounds__(THREADS, 16 / WARPS)
attend(const q_t* __restrict__ q, const k_t* __restrict__ k, const v_t* __restrict__ v,
       const int* __restrict__ block_ids, const int* __restrict__ cu_seqlens, const float* __restrict__ key_bias,
       out_t* __restrict__ out, float* __restrict__ lse, int T, int B, int H, int WORDS,
       int REACHES)
{
    extern __shared__ __align__(16) unsigned char bytes[];
    uint4* queries = reinterpret_cast<uint4*>(bytes + STAGES * STAGE_BYTES) + threadIdx.x / 32 * D * 2;
    int* ids = reinterpret_cast<int*>(bytes + STAGES * STAGE_BYTES + WARPS * 32 * D);
    unsigned* bits = reinterpret_cast<unsigned*>(ids + TILE * S);
    int* reach = reinterpret_cast<int*>(bits + WORDS);
    int* count = reach + REACHES;
    int* list = count + 1;
    const unsigned base = (unsigned)__cvta_generic_to_shared(bytes);

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, c2 = lane % 4 * 2;
    const int h = blockIdx.y / HEAD_TILES, head0 = blockIdx.y % HEAD_TILES * 16;
    const int t0 = (gridDim.x - 1 - blockIdx.x) * TILE, t_end = min(T, t0 + TILE);  // the longest rows first
    const int own[2] = {g / G, (g + 8) / G};  // which of the warp's tokens rows g and g + 8 belong to
    const int heads[2] = {TOKENS > 1 ? g % G : head0 + g, TOKENS > 1 ? (g + 8) % G : head0 + g + 8};
    const int tokens[2] = {t0 + warp * TOKENS + (TOKENS > 1 ? own[0] : 0), t0 + warp * TOKENS + (TOKENS > 1 ? own[1] : 0)};
    const bool live[2] = {(TOKENS > 1 ? own[0] < TOKENS : heads[0] < G) && tokens[0] < t_end,
                          (TOKENS > 1 ? own[1] < TOKENS : heads[1] < G) && tokens[1] < t_end};

    // Q as fragments of A: rows g and g + 8, d 2c, 2c + 1 and the same 8 on.
    const q_t* row[2];
#pragma unroll
    for (int r = 0; r < 2; r++) row[r] = q + ((size_t)(live[r] ? tokens[r] : t0) * H * G + h * G + (live[r] ? heads[r] : 0)) * D;
#pragma unroll
    for (int d = 0; d < D; d += 16) {
        const auto pair = [&](int r, int at) { return *reinterpret_cast<const unsigned*>(row[r] + d + at + c2); };
        queries[2 * d + lane] = make_uint4(pair(0, 0), pair(1, 0), pair(0, 8), pair(1, 8));
    }

    const float scale = rsqrtf((float)D) * LOG2E, unscale = sqrtf((float)D);
    float o[DV / 8][4] = {}, largest[2] = {-INFINITY, -INFINITY}, total[2] = {};

    for (int t = t0; t < t_end;) {  // the sequences that meet in this tile
        const int b = sequence_of(cu_seqlens, t, B), first = cu_seqlens[b], stop = min(cu_seqlens[b + 1], t_end);
        const int low = (t - first) / BS, words = (stop - 1 - first) / BS / 32 + 2;  // blocks before `low` are seen whole

        for (int i = threadIdx.x; i < words; i += THREADS) bits[i] = 0;
        for (int i = threadIdx.x; i < REACHES; i += THREADS) reach[i] = -1;
        __syncthreads();
        for (int i = threadIdx.x; i < TILE * S; i += THREADS) {
            const int token = t0 + i / S, place = token - first;
            int id = -1;
            if (token >= t && token < stop) id = block_ids[((size_t)h * T + token) * S + i % S];
            const bool seen = id >= 0 && id <= place / BS;
            ids[i] = seen ? id : -1;
            if (seen) {
                atomicOr(&bits[id / 32], 1u << id % 32);
                if (id >= low) atomicMax(&reach[id - low], place);
            }
        }
        __syncthreads();
        if (warp == 0) {
            int before = 0;
#pragma unroll 1
            for (int i = 0; i < words; i++) {
                const unsigned word = bits[i];
                if (word >> lane & 1) list[before + __popc(word & ((1u << lane) - 1))] = 32 * i + lane;
                before += __popc(word);
            }
            if (lane == 0) *count = before;
        }
        __syncthreads();
        const int steps = *count * CHUNKS;

        // Copies a chunk; zeros for keys that no token of the tile may see.
        const auto fetch = [&](int step) {
            const int id = list[step / CHUNKS], begin = step % CHUNKS * KEYS, from = first + id * BS + begin;
            const int seen = (id < low ? BS : min(BS, reach[id - low] - id * BS + 1)) - begin;
            const unsigned to_k = base + step % STAGES * STAGE_BYTES, to_v = to_k + KEYS * K_PITCH * 2, to_bias = to_v + KEYS * V_PITCH * 2;
#pragma unroll
            for (int i = threadIdx.x; i < KEYS * (D / 8); i += THREADS) {
                const int key = i / (D / 8), d = i % (D / 8) * 8;
                copy16(to_k + (key * K_PITCH + d) * 2, k + ((size_t)(key < seen ? from + key : first) * H + h) * D + d, key < seen);
            }
#pragma unroll
            for (int i = threadIdx.x; i < KEYS * (DV / 8); i += THREADS) {
                const int key = i / (DV / 8), d = i % (DV / 8) * 8;
                copy16(to_v + (key * V_PITCH + d) * 2, v + ((size_t)(key < seen ? from + key : first) * H + h) * DV + d, key < seen);
            }
            if (key_bias && threadIdx.x < KEYS) {
                const int key = threadIdx.x;
                copy4(to_bias + key * 4, key_bias + (size_t)(key < seen ? from + key : first) * H + h, key < seen);
            }
        };
        const auto commit = [] { asm volatile("cp.async.commit_group;" ::: "memory"); };

#pragma unroll
        for (int step = 0; step < STAGES - 1; step++) {
            if (step < steps) fetch(step);
            commit();
        }
        for (int step = 0; step < steps; step++) {
            asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
            __syncthreads();
            if (step + STAGES - 1 < steps) fetch(step + STAGES - 1);
            commit();
            const int id = list[step / CHUNKS], begin = step % CHUNKS * KEYS;

            // How many keys of the chunk each of the lane's two rows may see.
            unsigned picked = 0;
#pragma unroll
            for (int i = lane; i < TOKENS * S; i += 32)
                if (ids[warp * TOKENS * S + i] == id) picked |= 1u << i / S;
            picked = __reduce_or_sync(ALL, picked);
            int limit[2];
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const bool mine = live[r] && picked >> (TOKENS > 1 ? own[r] : 0) & 1;
                const int upto = tokens[r] - first + 1 - id * BS;
                limit[r] = mine ? min(KEYS, min(BS, upto) - begin) : 0;
            }
            if (!__any_sync(ALL, max(limit[0], limit[1]) > 0)) continue;

            const unsigned stage = base + step % STAGES * STAGE_BYTES;
            float s[KEYS / 8][4] = {};
            const unsigned from_k = stage + ((lane / 16 * 8 + lane % 8) * K_PITCH + lane / 8 % 2 * 8) * 2;
#pragma unroll
            for (int d = 0; d < D; d += 16) {
                const uint4 a = queries[2 * d + lane];
#pragma unroll
                for (int j = 0; j < KEYS / 16; j++) {
                    unsigned keys[4];
                    load_matrices(keys, from_k + (16 * j * K_PITCH + d) * 2);
                    multiply(s[2 * j], a, keys[0], keys[1], q_t());
                    multiply(s[2 * j + 1], a, keys[2], keys[3], q_t());
                }
            }
            if (key_bias) {
                const float* bias = reinterpret_cast<const float*>(bytes + step % STAGES * STAGE_BYTES + KEYS * (K_PITCH + V_PITCH) * 2);
#pragma unroll
                for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                    for (int e = 0; e < 4; e++) s[j][e] += bias[8 * j + c2 + e % 2] * unscale;
            }
            if (!__all_sync(ALL, min(limit[0], limit[1]) == KEYS)) {
#pragma unroll
                for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        if (8 * j + c2 + e % 2 >= limit[e / 2]) s[j][e] = -INFINITY;
            }

            float most[2] = {largest[0], largest[1]};
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) most[e / 2] = fmaxf(most[e / 2], s[j][e]);
#pragma unroll
            for (int r = 0; r < 2; r++) {
                most[r] = fmaxf(most[r], __shfl_xor_sync(ALL, most[r], 1));
                most[r] = fmaxf(most[r], __shfl_xor_sync(ALL, most[r], 2));
                const float kept = most[r] == -INFINITY ? 0.f : most[r];  // nothing seen yet: weights of exp(-inf - 0)
                const float shrink = power_of_two((largest[r] - kept) * scale);
                largest[r] = most[r];
                most[r] = kept * scale;
                total[r] *= shrink;
#pragma unroll
                for (int j = 0; j < DV / 8; j++) {
                    o[j][2 * r] *= shrink;
                    o[j][2 * r + 1] *= shrink;
                }
            }
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    s[j][e] = power_of_two(fmaf(s[j][e], scale, -most[e / 2]));
                    total[e / 2] += s[j][e];
                }
            const unsigned from_v = stage + KEYS * K_PITCH * 2 + (lane % 16 * V_PITCH + lane / 16 * 8) * 2;
#pragma unroll
            for (int j = 0; j < KEYS / 16; j++) {
                const float(&s0)[4] = s[2 * j], (&s1)[4] = s[2 * j + 1];
                const uint4 a = make_uint4(two(s0[0], s0[1], q_t()), two(s0[2], s0[3], q_t()), two(s1[0], s1[1], q_t()),
                                           two(s1[2], s1[3], q_t()));
#pragma unroll
                for (int d = 0; d < DV / 16; d++) {
                    unsigned values[4];
                    load_transposed(values, from_v + (16 * j * V_PITCH + 16 * d) * 2);
                    multiply(o[2 * d], a, values[0], values[1], q_t());
                    multiply(o[2 * d + 1], a, values[2], values[3], q_t());
                }
            }
        }
        asm volatile("cp.async.wait_group 0;" ::: "memory");
        __syncthreads();  // ids and the list are read no more
        t = stop;
    }

#pragma unroll
    for (int r = 0; r < 2; r++) {
        total[r] += __shfl_xor_sync(ALL, total[r], 1);
        total[r] += __shfl_xor_sync(ALL, total[r], 2);
        if (!live[r]) continue;
        const float share = total[r] > 0.f ? 1.f / total[r] : 0.f;
        const size_t head = h * G + heads[r];
        out_t* to = out + ((size_t)tokens[r] * H * G + head) * DV + c2;
#pragma unroll
        for (int j = 0; j < DV / 8; j++)
            *reinterpret_cast<unsigned*>(to + 8 * j) = two(o[j][2 * r] * share, o[j][2 * r + 1] * share, q_t());
        if (c2 == 0) lse[head * T + tokens[r]] = total[r] > 0.f ? (largest[r] * scale + __log2f(total[r])) * LN2 : -INFINITY;
    }
}
