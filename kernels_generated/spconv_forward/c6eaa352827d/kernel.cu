// /// kernel
// task = "spconv_forward"
// requires = "CIN % 16 == 0 and COUT % 16 == 0 and CIN <= 128 and COUT <= 128"
// constants = ["KS", "CIN", "COUT"]
// tags = ["tensor_core", "cp_async", "double_buffer"]
//
// [tune]
// BM = [128, 64]
//
// [[buffer]]
// name = "packed"                       # the weights with the channels of a stretch permuted
// shape = ["V", "CIN", "COUT"]
// dtype = "float16"
// prepared = true
//
// [[prepare]]
// kernel = "pack"
// grid = "V * CIN"
// block = 64
//
// [[launch]]
// kernel = "convolve<BM>"
// grid = "cdiv(NOUT, BM)"
// block = "BM * cdiv(COUT, 64)"
// shared = "4 * CIN * (COUT + 8) + 4 * BM * KS * KS * KS"
// ///

// A block makes BM sites times all COUT; each warp 32 of the sites, as two tiles of 16, times up to 64 columns.
//
//   once: packed <- weights, their channels permuted (see below)
//
//   map tile [BM][V] -> shared, once; bit masks of the offsets that the block and that each warp meets
//   for every offset of the block:    b[next] <- packed (cp.async)       while
//       a   4 rows a lane, RUN channels at a time, global -> registers; rows without a neighbour are zeros
//       sum += a b   mma.sync m16n8k16, float sums in registers; a weight fragment serves both tiles
//
// A lane holds RUN contiguous channels of a row where mma.sync wants pairs that lie apart. A sum does not care in which
// order channels come, so channel q * RUN + 4 j + s of a stretch is called k = 2 q + s % 2 + 8 (s / 2) of step j, for the
// features by doing nothing and for the weights by the row that `pack` writes them to.
constexpr int OFFSETS = KS * KS * KS, WORDS = (OFFSETS + 31) / 32;
constexpr int LB = COUT + 8;                   // 16 bytes more a row: the eight rows of an ldmatrix meet all banks
constexpr int RUN = CIN % 32 == 0 ? 8 : 4;     // contiguous channels of a lane
constexpr int STRETCH = 4 * RUN, STEPS = RUN / 4;
constexpr int SIDES = (COUT + 63) / 64, TN = COUT / SIDES;  // columns of a warp
static_assert(CIN % 16 == 0 && COUT % 16 == 0, "mma.sync takes 16 channels at a time");

__device__ void load4_transposed(unsigned (&to)[4], unsigned from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(from));
}

__device__ void multiply(float (&s)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// RUN channels of a row as pairs; zeros where there is no row.
__device__ void load_run(unsigned (&to)[RUN / 2], const feats_t* from, bool there)
{
    if (RUN == 8) {
        const uint4 got = there ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
        to[0] = got.x, to[1] = got.y, to[RUN / 2 - 2] = got.z, to[RUN / 2 - 1] = got.w;
    } else {
        const uint2 got = there ? *reinterpret_cast<const uint2*>(from) : make_uint2(0, 0);
        to[0] = got.x, to[1] = got.y;
    }
}

__global__ void pack(const w_t* __restrict__ w, __half* packed)
{
    const int row = blockIdx.x, channel = row % CIN, inside = channel % STRETCH;
    const int q = inside / RUN, j = inside % RUN / 4, s = inside % 4;
    const int place = row - inside + 16 * j + 2 * q + s % 2 + 8 * (s / 2);
    for (int n = threadIdx.x; n < COUT; n += blockDim.x) packed[(size_t)place * COUT + n] = w[(size_t)row * COUT + n];
}

// The next set bit at or after `from`, or OFFSETS.
__device__ int next_offset(const unsigned* mask, int from)
{
    for (int word = from / 32; word < WORDS; word++) {
        const unsigned rest = word == from / 32 ? mask[word] >> (from % 32) << (from % 32) : mask[word];
        if (rest) return word * 32 + __ffs(rest) - 1;
    }
    return OFFSETS;
}

template <int TM>
__global__ void __launch_bounds__(TM * SIDES)
    convolve(const feats_t* __restrict__ feats, const __half* __restrict__ packed, const int* __restrict__ kmap,
             y_t* __restrict__ y, int NOUT)
{
    extern __shared__ __align__(16) unsigned char raw[];
    __shared__ unsigned needed[WORDS];
    int* map = reinterpret_cast<int*>(raw + 4 * CIN * LB);
    constexpr int THREADS = TM * SIDES;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % (TM / 32), side = threadIdx.x / TM;
    const int first = blockIdx.x * TM, sites = min(TM, NOUT - first);

    if (threadIdx.x < WORDS) needed[threadIdx.x] = 0;
    for (int i = threadIdx.x; i < TM * OFFSETS; i += THREADS)
        map[i] = i < sites * OFFSETS ? kmap[(size_t)first * OFFSETS + i] : -1;
    __syncthreads();
    unsigned mine[WORDS];
#pragma unroll
    for (int word = 0; word < WORDS; word++) {
        unsigned met = 0;
        for (int v = word * 32; v < min(OFFSETS, word * 32 + 32); v++)
            met |= (unsigned)(map[threadIdx.x % TM * OFFSETS + v] >= 0) << (v % 32);
        mine[word] = __reduce_or_sync(0xffffffffu, met);
        if (lane == 0 && side == 0) atomicOr(&needed[word], mine[word]);
    }
    __syncthreads();

    const unsigned base = (unsigned)__cvta_generic_to_shared(raw);
    const unsigned from_b = base + 2 * (lane % 16 * LB + lane / 16 * 8 + side * TN);
    // A thread copies one chunk of every STEP-th row of weights, so that addresses move by constants.
    constexpr int PARTS = COUT / 8, STEP = THREADS / PARTS;
    static_assert(THREADS % PARTS == 0, "every thread keeps its part of the rows");
    const int own_row = threadIdx.x / PARTS, own_part = threadIdx.x % PARTS * 8;
    const unsigned to_b = base + 2 * (own_row * LB + own_part);
    const __half* weights = packed + own_row * COUT + own_part;
    auto fetch = [&](int v, int stage) {
        const __half* source = weights + v * (CIN * COUT);
        const unsigned to = to_b + stage * (2 * CIN * LB);
#pragma unroll
        for (int i = 0; i < CIN; i += STEP)
            if (CIN % STEP == 0 || i + own_row < CIN)
                asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + 2 * i * LB), "l"(source + i * COUT));
        asm volatile("cp.async.commit_group;" ::: "memory");
    };
    const int group = lane / 4, q = lane % 4;
    const int* rows = map + (warp * 32 + group) * OFFSETS;
    float sum[2][TN / 8][4] = {};
    int v = next_offset(needed, 0), stage = 0;
    if (v < OFFSETS) fetch(v, 0);
    while (v < OFFSETS) {
        asm volatile("cp.async.wait_group 0;" ::: "memory");
        __syncthreads();  // this offset's weights are there, and nobody reads the other buffer any more
        const int next = next_offset(needed, v + 1);
        if (next < OFFSETS) fetch(next, stage ^ 1);
        if (mine[v / 32] >> (v % 32) & 1) {
            const feats_t* from[4];
            bool there[4];
#pragma unroll
            for (int r = 0; r < 4; r++) {
                const int row = rows[8 * r * OFFSETS + v];
                there[r] = row >= 0;
                from[r] = feats + (size_t)max(row, 0) * CIN + q * RUN;
            }
#pragma unroll
            for (int k = 0; k < CIN; k += STRETCH) {
                unsigned a[4][RUN / 2];
#pragma unroll
                for (int r = 0; r < 4; r++) load_run(a[r], from[r] + k, there[r]);
#pragma unroll
                for (int j = 0; j < STEPS; j++) {
#pragma unroll
                    for (int n = 0; n < TN; n += 16) {
                        unsigned b[4];
                        load4_transposed(b, from_b + 2 * (stage * CIN * LB + (k + 16 * j) * LB + n));
#pragma unroll
                        for (int tile = 0; tile < 2; tile++) {
#pragma unroll
                            for (int half = 0; half < 2; half++)
                                multiply(sum[tile][n / 8 + half], a[2 * tile][2 * j], a[2 * tile + 1][2 * j],
                                         a[2 * tile][2 * j + 1], a[2 * tile + 1][2 * j + 1], b[2 * half],
                                         b[2 * half + 1]);
                        }
                    }
                }
            }
        }
        v = next;
        stage ^= 1;
    }

#pragma unroll
    for (int r = 0; r < 4; r++) {
        const int row = warp * 32 + 8 * r + group;
        if (row >= sites) continue;
        y_t* out = y + (size_t)(first + row) * COUT + side * TN + 2 * q;
#pragma unroll
        for (int n = 0; n < TN / 8; n++)
            *reinterpret_cast<__half2*>(out + n * 8) =
                __floats2half2_rn(sum[r / 2][n][2 * (r % 2)], sum[r / 2][n][2 * (r % 2) + 1]);
    }
}
