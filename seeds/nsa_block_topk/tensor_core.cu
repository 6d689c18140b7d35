// /// kernel
// task = "nsa_block_topk"
// requires = "D % 16 == 0 and 16 % G == 0 and S <= 32 and WARP_BYTES <= FREE"
// tags = ["tensor_core", "shared_tile", "pipelined", "async_copy", "reused", "vectorized"]
//
// [tune]
// MOST = [8, 4, 16]                       # warps of a block where scores leave room for them
//
// [let]
// TOKENS = "16 // G"                      # tokens of a warp: 16 rows
// ROW = "align(T // BS + 1, 64) + 8"      # floats of a token's scores; rows of a fragment fall into different banks
// FREE = "160000 - 256 * (D + 8)"         # shared memory of the smallest target, less two chunks of keys
// WARP_BYTES = "32 * D + 4 * TOKENS * ROW"
// WARPS = "max(1, min(MOST, FREE // WARP_BYTES))"
// TILE = "WARPS * TOKENS"
//
// [[launch]]
// kernel = "select"
// grid = ["cdiv(T, TILE)", "H"]
// block = "32 * WARPS"
// shared = "256 * (D + 8) + WARPS * WARP_BYTES"
// ///

// A block has TILE neighbouring tokens of one key head; a warp 16 rows, which are 16 / G tokens x G heads of the group.
// All warps share the compressed keys, which pass by twice, 64 at a time:
//
//   first    S = Q K^T by mma     largest score and sum of exponentials of every row, in registers
//   second   S = Q K^T by mma     exp(S - largest) / sum, added up over the rows of a group -> scores in shared memory
//   then     a warp a token       the S best blocks
//
//   chunk     0          1          2                               rows of S, in a quarter-warp's registers
//   copy     [1]        [2]        [3]       cp.async               row g      [ token (g / G)       head g % G ]
//   mma      [0]        [1]        [2]                              row g + 8  [ token ((g + 8) / G) ...        ]
//
// A second product costs less than keeping logits of 16 rows for every block. Rows of a group lie in lanes 4, 8 and 16
// apart, and in the two halves of the tile: a butterfly over log2(G) steps adds them.
//
// Picking: each lane owns a stretch of neighbouring blocks and knows its best. A round takes the warp's best and strikes it
// out; then all lanes look through the stretch that lost it. Stretches are odd in length, so that neither the first look
// nor the later ones meet in a bank. The first block and the own one are selected without a score.

constexpr unsigned ALL = 0xFFFFFFFFu;
constexpr int KEYS = 64;
constexpr float LOG2E = 1.4426950408889634f;

static_assert(sizeof(q_t) == 2 && sizeof(kc_t) == 2, "queries and keys are half precision");
static_assert(KEYS % 16 == 0, "ldmatrix brings 16 keys at a time");

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

__device__ void load_matrices(unsigned (&to)[4], unsigned from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(from) : "memory");
}

// An asynchronous copy of 16 bytes; zeros where there is nothing to copy.
__device__ void copy16(unsigned to, const void* from, bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}

__device__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

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

// The compressed keys of a sequence, for one key head.
struct Keys {
    const kc_t* first;
    int count, stride, D;  // blocks that some token of the tile may score; elements between them, and of one

    __device__ void copy(unsigned to, int chunk) const
    {
        for (int key = threadIdx.x / 8; key < KEYS; key += blockDim.x / 8) {  // eight neighbours share a key
            const int j = chunk * KEYS + key;
            const kc_t* from = first + (size_t)(j < count ? j : 0) * stride;
            for (int d = threadIdx.x % 8 * 8; d < D; d += 64) copy16(to + (key * (D + 8) + d) * 2, from + d, j < count);
        }
        commit();
    }
};

// Calls use(chunk, S) with the 16 x 64 products of this warp's queries and every chunk of keys in turn.
template <class Use>
__device__ void products(const Keys& keys, const uint4* queries, unsigned base, Use use)
{
    const int lane = threadIdx.x % 32, chunks = (keys.count + KEYS - 1) / KEYS, pitch = keys.D + 8;
    const unsigned stage_bytes = KEYS * pitch * 2;
    keys.copy(base, 0);
    for (int chunk = 0; chunk < chunks; chunk++) {
        keys.copy(base + (chunk + 1) % 2 * stage_bytes, chunk + 1);  // behind the last: zeros
        asm volatile("cp.async.wait_group 1;" ::: "memory");
        __syncthreads();
        float s[KEYS / 8][4] = {};
        const unsigned from =
            base + chunk % 2 * stage_bytes + ((lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 8) * 2;
#pragma unroll 2
        for (int d = 0; d < keys.D; d += 16) {
            const uint4 a = queries[2 * d + lane];
#pragma unroll
            for (int j = 0; j < KEYS / 16; j++) {
                unsigned b[4];
                load_matrices(b, from + (16 * j * pitch + d) * 2);
                multiply(s[2 * j], a, b[0], b[1], q_t());
                multiply(s[2 * j + 1], a, b[2], b[3], q_t());
            }
        }
        use(chunk, s);
        __syncthreads();
    }
    asm volatile("cp.async.wait_group 0;" ::: "memory");
    __syncthreads();
}

// The best of blocks begin to end - 1 that lane owns, as a key: scores are not negative, so their bits rise with them.
// 0 is a block that was taken, or none.
struct Best {
    unsigned key;
    int at;
};

__device__ void consider(Best& best, const float* scores, int j)
{
    const int bits = __float_as_int(scores[j]);
    const unsigned key = bits < 0 ? 0u : bits + 1u;
    if (key > best.key) best = {key, j};
}

// Blocks of one token, best first: 0, `own`, then by score.
__device__ void pick(float* scores, int own, int S, int* __restrict__ ids)
{
    const int lane = threadIdx.x % 32, length = (max(own - 1, 0) + 31) / 32 | 1;
    Best best = {0, 0};
    for (int j = 1 + lane * length, end = min(own, j + length); j < end; j++) consider(best, scores, j);
    int mine = lane == 0 ? 0 : lane == 1 && own > 0 ? own : -1;
    for (int round = own > 0 ? 2 : 1; round < S; round++) {
        const unsigned key = __reduce_max_sync(ALL, best.key);
        if (key == 0) break;
        const int at = __reduce_min_sync(ALL, best.key == key ? best.at : own);
        if (lane == round) mine = at;
        const int owner = (at - 1) / length, begin = 1 + owner * length, end = min(own, begin + length);
        __syncwarp();  // all have looked through the last round's stretch
        if (lane == owner) scores[at] = -1.f;
        __syncwarp();
        Best left = {0, 0};
        // At least two turns, the second for stretches of more than 32.
        for (int i = lane; i < max(length, 33); i += 32)
            if (begin + i < end) consider(left, scores, begin + i);
        const unsigned most = __reduce_max_sync(ALL, left.key);
        const int where = __reduce_min_sync(ALL, left.key == most ? left.at : own);
        if (lane == owner) best = {most, where};
    }
    if (lane < S) ids[lane] = mine;
}

__global__ void __launch_bounds__(512)
select(const q_t* __restrict__ q, const kc_t* __restrict__ kc, const int* __restrict__ cu_seqlens,
       const int* __restrict__ cu_blocks, int* __restrict__ block_ids, int T, int B, int H, int G, int D, int BS, int S,
       int TOKENS, int ROW, int TILE)
{
    extern __shared__ __align__(16) unsigned char bytes[];
    const unsigned base = (unsigned)__cvta_generic_to_shared(bytes);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, c2 = lane % 4 * 2;
    uint4* queries = reinterpret_cast<uint4*>(bytes + 2 * KEYS * (D + 8) * 2) + warp * D * 2;
    float* scores = reinterpret_cast<float*>(bytes + 2 * KEYS * (D + 8) * 2 + TILE / TOKENS * 32 * D) + warp * TOKENS * ROW;
    const int h = blockIdx.y, t0 = (gridDim.x - 1 - blockIdx.x) * TILE, t_end = min(T, t0 + TILE);  // the longest first
    const int own0 = t0 + warp * TOKENS, tokens[2] = {own0 + g / G, own0 + (g + 8) / G};

    // Q as fragments of A: rows g and g + 8, d 2c, 2c + 1 and the same 8 on. Rows past the last repeat it.
    const q_t* row[2];
#pragma unroll
    for (int r = 0; r < 2; r++) row[r] = q + ((size_t)min(tokens[r], T - 1) * H * G + h * G + (g + 8 * r) % G) * D;
#pragma unroll 2
    for (int d = 0; d < D; d += 16) {
        const auto pair = [&](int r, int at) { return *reinterpret_cast<const unsigned*>(row[r] + d + at + c2); };
        queries[2 * d + lane] = make_uint4(pair(0, 0), pair(1, 0), pair(0, 8), pair(1, 8));
    }
    const float scale = rsqrtf((float)D) * LOG2E;

    for (int t = t0; t < t_end;) {  // the sequences that meet in this tile
        const int b = sequence_of(cu_seqlens, t, B), first = cu_seqlens[b], stop = min(cu_seqlens[b + 1], t_end);
        const Keys keys = {kc + ((size_t)cu_blocks[b] * H + h) * D, (stop - first) / BS, H * D, D};
        int complete[2];  // blocks that each row scores
#pragma unroll
        for (int r = 0; r < 2; r++) complete[r] = tokens[r] >= t && tokens[r] < stop ? (tokens[r] - first + 1) / BS : 0;

        float largest[2] = {-INFINITY, -INFINITY}, total[2] = {};
        products(keys, queries, base, [&](int chunk, float (&s)[KEYS / 8][4]) {
            if (!__all_sync(ALL, (chunk + 1) * KEYS <= min(complete[0], complete[1]))) {
#pragma unroll
                for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        if (chunk * KEYS + 8 * j + c2 + e % 2 >= complete[e / 2]) s[j][e] = -INFINITY;
            }
            float most[2] = {largest[0], largest[1]};
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) most[e / 2] = fmaxf(most[e / 2], s[j][e]);
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const float kept = most[r] == -INFINITY ? 0.f : most[r];  // nothing yet: exp(-inf - 0)
                total[r] *= power_of_two((largest[r] - kept) * scale);
                largest[r] = most[r];
                most[r] = kept * scale;
            }
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) total[e / 2] += power_of_two(fmaf(s[j][e], scale, -most[e / 2]));
        });
        float share[2];
#pragma unroll
        for (int r = 0; r < 2; r++) {  // each lane of four has seen a quarter of the keys
            float most = fmaxf(largest[r], __shfl_xor_sync(ALL, largest[r], 1));
            most = fmaxf(most, __shfl_xor_sync(ALL, most, 2));
            const float kept = most == -INFINITY ? 0.f : most;
            float sum = total[r] * power_of_two((largest[r] - kept) * scale);
            sum += __shfl_xor_sync(ALL, sum, 1);
            sum += __shfl_xor_sync(ALL, sum, 2);
            share[r] = sum > 0.f ? 1.f / sum : 0.f;
            largest[r] = kept * scale;
        }

        products(keys, queries, base, [&](int chunk, float (&s)[KEYS / 8][4]) {
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    s[j][e] = power_of_two(fmaf(s[j][e], scale, -largest[e / 2])) * share[e / 2];
            if (G == 16) {
#pragma unroll
                for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                    for (int e = 0; e < 2; e++) s[j][e] += s[j][e + 2];
            }
            for (int step = 4; step < 4 * min(G, 8); step *= 2) {
#pragma unroll
                for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                    for (int e = 0; e < 4; e++) s[j][e] += __shfl_xor_sync(ALL, s[j][e], step);
            }
            if (g % min(G, 8)) return;
            // Blocks that a row does not score are stored too, and never looked at.
#pragma unroll
            for (int r = 0; r < 2; r++) {
                if (r == 1 && G == 16) break;
                float* to = scores + (g + 8 * r) / G * ROW + chunk * KEYS + c2;
#pragma unroll
                for (int j = 0; j < KEYS / 8; j++)
                    *reinterpret_cast<float2*>(to + 8 * j) = make_float2(s[j][2 * r], s[j][2 * r + 1]);
            }
        });

        for (int i = 0; i < TOKENS; i++) {
            const int token = own0 + i;
            if (token >= t && token < stop)
                pick(scores + i * ROW, (token - first) / BS, S, block_ids + ((size_t)h * T + token) * S);
        }
        __syncthreads();
        t = stop;
    }
}
