// /// kernel
// task = "w4a16_gemm"
// requires = "N % 4 == 0"                 # 16-byte copies of four neighbouring columns
// constants = ["G"]                       # tells at compile time how often scales change
// tags = ["tensor_core", "vectorized", "shared_tile", "split_k", "lop3_dequant", "cp_async", "prepacked"]
//
// [tune]
// WIDE = [2, 1, 4]                        # columns of a block in units of 32, from 9 to 16 rows
// MT = [4, 2]                             # 16-row tiles a block makes where M > 16
// SPLIT = [8, 4]                          # parts of K that different blocks sum, from 17 to 64 rows
// STAGES = [3, 2, 4]                      # tiles of weights on their way or in use
//
// [let]
// PARTS = "max(1, SPLIT * (M <= 64 and M > 16))"
// SPAN = "align(cdiv(K, PARTS), 128)"     # k of one part; the last may be short, or empty
// STAGE_BYTES = "64 + 12 * (1 + 3 * (G % 128 != 0))"  # of a thread and stage: weights, scales, zeros
// X_BYTES = "2 * 16 * (128 + 32) * 2"     # two buffers of a 16-row tile of x
//
// [[buffer]]
// name = "packed"                         # the codes of a word in the order 0 2 4 6 1 3 5 7
// shape = ["K // 8", "N"]
// dtype = "int32"
// prepared = true
//
// [[buffer]]
// name = "partial"
// shape = ["PARTS", "M", "N"]
// dtype = "float32"
//
// [[prepare]]
// kernel = "pack"
// grid = "cdiv(K // 8 * N, 256)"
// block = 256
//
// [[launch]]
// kernel = "few<1, 1>"
// when = "M <= 8"
// grid = "cdiv(N, 32)"
// block = 256
// shared = "256 * STAGES * STAGE_BYTES"
//
// [[launch]]
// kernel = "few<WIDE, 2>"
// when = "M > 8 and M <= 16"
// grid = "cdiv(N, 32 * WIDE)"
// block = 256
// shared = "256 * STAGES * STAGE_BYTES"
//
// [[launch]]
// kernel = "gemm<MT>"
// when = "M > 16"
// grid = ["cdiv(N, 128)", "min(cdiv(M, 16 * MT), 65535)", "PARTS"]
// block = 128
// shared = "128 * STAGES * STAGE_BYTES + MT * X_BYTES"
//
// [[launch]]
// kernel = "reduce"
// when = "PARTS > 1"
// grid = "cdiv(M * N, 256)"
// block = 256
// ///

// Up to 16 rows a block has all of K for 32 * COLUMNS columns, so that nothing waits for another block and one launch is
// enough: its eight warps share out K, tile by tile, and add up in shared memory at the end.
//
//   tile of 128 k      0        1        2      ...     7        8
//   COLUMNS = 1      [warp 0] [warp 1] [warp 2] ... [warp 7] [warp 0] ...
//   COLUMNS = 2      [0 | 1]  [2 | 3]  [4 | 5]  [6 | 7] [0 | 1] ...
//
//   a warp's own  weights    [copy 2]   [copy 3]   ...   cp.async, STAGES - 1 tiles ahead; a thread copies what it multiplies
//                 x          [load 1]   [load 2]   ...   registers, one tile ahead, straight from global memory
//                 mma        [tile 0]   [tile 1]   ...   no barrier before the end
//
// More rows: a block makes 16 * TILES rows x 128 columns of one part of K; x goes through shared memory, two buffers, one
// barrier a tile; parts meet in `reduce`.
//
// Once, codes are reordered in their words: unpacking takes codes 16 bits apart, which are then neighbours in k, so that x
// is used as it lies. Lane (g, t) has 16 bytes of word row t: columns 4g to 4g + 3 of k = 8t to 8t + 7, and an mma adds
// over its k in any order: pairs (0,1) and (2,3) in one, (4,5) and (6,7) in the next. Column j of each lane's four makes
// one n8 tile, so a lane ends with eight neighbouring columns: 8t + j in [0], 8t + 4 + j in [1].
//
// Unpacking: codes under the exponent of 1024 are the halves 1024 + code, or 1024 + 16 * code one nibble higher;
// subtracting (or one fma) gives code - zero exactly, and one multiplication by the scale rounds once. The zero point is 8
// where none are given. What is copied from outside the matrix is zeros: weights of code 0 meet x and scales of 0.

#include <cuda_fp16.h>

constexpr int WIDTH = 128;    // columns of a block
constexpr int DEPTH = 128;    // k of a tile
constexpr int STEPS = DEPTH / 32;
constexpr int STRIDE = DEPTH + 32;  // halves; 64 bytes of padding keep two rows of a quarter-warp in different banks
constexpr int THREADS = 128;
constexpr int SCALES = G % DEPTH == 0 ? 1 : STEPS;  // groups of scales a thread needs in a tile

static_assert(sizeof(x_t) == 2 && sizeof(scales_t) == 2, "x and scales are half precision");
static_assert(G % 8 == 0, "the eight codes of a word belong to one group");
static_assert(WIDTH == 32 * (THREADS / 32), "one warp for every 32 columns");
static_assert(STAGES >= 2, "a stage is filled while another is in use");
static_assert(DEPTH / 8 * WIDTH == STEPS * THREADS * 4, "every thread copies 16 bytes of weights a step");
static_assert(8 % WIDE == 0, "the warps of a block that share columns are whole");


// What COUNT threads have on its way: [step or group][thread], each thread's 16 or 8 bytes its own.
template <int COUNT>
struct Stage {
    uint4 words[STEPS][COUNT];
    uint2 scales[SCALES][COUNT];
    unsigned zeros[SCALES][COUNT];
};
static_assert(sizeof(Stage<256>) == 256 * STAGE_BYTES, "the plan asks for as much shared memory as a stage takes");

// What unpacking takes of one column's group: its scale, -(1024 + zero) and -(64 + zero), each twice.
struct Group {
    __half2 scale, bias, bias16;
};

template <int TILES>
using Rows = x_t[16 * TILES][STRIDE];

__device__ __half2 both(unsigned short bits)
{
    const unsigned word = bits | unsigned(bits) << 16;
    return *reinterpret_cast<const __half2*>(&word);
}

__device__ unsigned masked(unsigned word, unsigned mask)
{
    unsigned bits;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(bits) : "r"(word), "r"(mask), "r"(0x64006400u));
    return bits;
}

__device__ unsigned scaled(__half2 codes, __half2 scale)
{
    const __half2 weights = __hmul2(codes, scale);
    return *reinterpret_cast<const unsigned*>(&weights);
}

// Halves of 1024 to 2047 are a whole apart, those of 64 to 127 a sixteenth: a zero point is added to their bits.
__device__ Group group_of(__half scale, unsigned zero)
{
    return {__half2half2(scale), both(0xE400 + zero), both(0xD400 + 16 * zero)};
}

// The pairs (0,1) (2,3) (4,5) (6,7) of a packed word's weights.
__device__ void unpack(unsigned word, const Group& group, unsigned (&b)[4])
{
    const __half2 sixteenth = both(0x2C00);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const unsigned low = masked(word, 0x000f000fu), high = masked(word, 0x00f000f0u);
        b[2 * i] = scaled(__hadd2(*reinterpret_cast<const __half2*>(&low), group.bias), group.scale);
        b[2 * i + 1] = scaled(__hfma2(*reinterpret_cast<const __half2*>(&high), sixteenth, group.bias16), group.scale);
        word >>= 8;
    }
}

__device__ void mma(float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1)
{
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Asynchronous copies of 16, 8 and 4 bytes; zeros where there is nothing to copy.
__device__ void copy(uint4* to, const void* from, bool there)
{
    const unsigned place = static_cast<unsigned>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(place), "l"(from), "r"(there ? 16 : 0) : "memory");
}

__device__ void copy(uint2* to, const void* from, bool there)
{
    const unsigned place = static_cast<unsigned>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(place), "l"(from), "r"(there ? 8 : 0) : "memory");
}

__device__ void copy(unsigned* to, const void* from, bool there)
{
    const unsigned place = static_cast<unsigned>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(place), "l"(from), "r"(there ? 4 : 0) : "memory");
}

// This thread's weights, scales and zero points of the tile at k0, as one group of copies; an empty one behind the last tile.
template <int COUNT>
__device__ void fill(Stage<COUNT>& stage, const int* __restrict__ packed, const scales_t* __restrict__ scales,
                     const zeros_t* __restrict__ zeros, int k0, int k_end, int n, int N)
{
    const int k = k0 + 8 * (threadIdx.x % 4);
    const int* from = packed + (size_t)(k / 8) * N + n;
    if (k0 < k_end) {
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            const bool there = k + 32 * step < k_end && n < N;
            copy(&stage.words[step][threadIdx.x], there ? from + (size_t)(4 * step) * N : packed, there);
            if (step < SCALES) {
                const size_t at = there ? (size_t)((k + 32 * step) / G) * N + n : 0;
                copy(&stage.scales[step][threadIdx.x], scales + at, there);
                if (zeros) copy(&stage.zeros[step][threadIdx.x], zeros + at, there);
            }
        }
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// This thread's part of a tile of x, eight k at a time; zeros outside.
template <int TILES>
__device__ void fetch_x(const x_t* __restrict__ x, uint4 (&part)[2 * TILES], int m0, int k0, int k_end, int M, int K)
{
#pragma unroll
    for (int i = 0; i < 2 * TILES; i++) {
        const int r = m0 + (threadIdx.x + i * THREADS) / (DEPTH / 8), k = k0 + threadIdx.x % (DEPTH / 8) * 8;
        part[i] = make_uint4(0, 0, 0, 0);
        if (r < M && k < k_end) part[i] = *reinterpret_cast<const uint4*>(x + (size_t)r * K + k);
    }
}

template <int TILES>
__device__ void place_x(const uint4 (&part)[2 * TILES], Rows<TILES>& rows)
{
#pragma unroll
    for (int i = 0; i < 2 * TILES; i++) {
        const int r = (threadIdx.x + i * THREADS) / (DEPTH / 8), k = threadIdx.x % (DEPTH / 8) * 8;
        *reinterpret_cast<uint4*>(&rows[r][k]) = part[i];
    }
}

// What unpacking takes of a lane's four columns, in the tile's `step`th groups.
template <int COUNT>
__device__ void take_groups(const Stage<COUNT>& stage, int step, bool has_zeros, Group (&group)[4])
{
    const uint2 both_scales = stage.scales[step][threadIdx.x];
    const __half* values = reinterpret_cast<const __half*>(&both_scales);
    const unsigned zero = has_zeros ? stage.zeros[step][threadIdx.x] : 0x08080808u;
#pragma unroll
    for (int j = 0; j < 4; j++) group[j] = group_of(values[j], zero >> 8 * j & 15u);
}

// One step: 32 k of 32 columns against every row tile.
template <int TILES>
__device__ void multiply(const uint4& words, const Group (&group)[4], const uint4 (&upper)[TILES],
                         const uint4 (&lower)[TILES], float (&sum)[TILES][4][4])
{
    const unsigned word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int j = 0; j < 4; j++) {
        unsigned b[4];
        unpack(word[j], group[j], b);
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            mma(sum[tile][j], upper[tile].x, lower[tile].x, upper[tile].y, lower[tile].y, b[0], b[1]);
            mma(sum[tile][j], upper[tile].z, lower[tile].z, upper[tile].w, lower[tile].w, b[2], b[3]);
        }
    }
}

// A tile: this thread's stage against a buffer of x.
template <int TILES>
__device__ void multiply_tile(const Stage<THREADS>& stage, bool has_zeros, const Rows<TILES>& rows, float (&sum)[TILES][4][4])
{
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    Group group[4];
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        if (step < SCALES) take_groups(stage, step, has_zeros, group);
        uint4 upper[TILES], lower[TILES];
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            upper[tile] = *reinterpret_cast<const uint4*>(&rows[16 * tile + g][32 * step + 8 * t]);
            lower[tile] = *reinterpret_cast<const uint4*>(&rows[16 * tile + g + 8][32 * step + 8 * t]);
        }
        multiply<TILES>(stage.words[step][threadIdx.x], group, upper, lower, sum);
    }
}

// Four neighbouring columns of one row.
__device__ void store(float a, float b, float c, float d, float* __restrict__ partial, y_t* __restrict__ y, int m, int n,
                      int M, int N, int PARTS)
{
    if (m >= M || n >= N) return;
    if (PARTS > 1) {
        *reinterpret_cast<float4*>(partial + ((size_t)blockIdx.z * M + m) * N + n) = make_float4(a, b, c, d);
    } else {
        const __half2 low = __floats2half2_rn(a, b), high = __floats2half2_rn(c, d);
        *reinterpret_cast<uint2*>(y + (size_t)m * N + n) =
            make_uint2(*reinterpret_cast<const unsigned*>(&low), *reinterpret_cast<const unsigned*>(&high));
    }
}

template <int TILES>
__global__ void __launch_bounds__(THREADS)
gemm(const x_t* __restrict__ x, const int* __restrict__ packed, const scales_t* __restrict__ scales,
     const zeros_t* __restrict__ zeros, float* __restrict__ partial, y_t* __restrict__ y, int M, int N, int K, int PARTS,
     int SPAN)
{
    extern __shared__ __align__(16) unsigned char memory[];
    Stage<THREADS>* stages = reinterpret_cast<Stage<THREADS>*>(memory);
    Rows<TILES>* rows = reinterpret_cast<Rows<TILES>*>(memory + STAGES * sizeof(Stage<THREADS>));
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const int n0 = blockIdx.x * WIDTH + threadIdx.x / 32 * 32, n = n0 + 4 * g;
    const int k_begin = blockIdx.z * SPAN, k_end = min(K, k_begin + SPAN);
    for (int m0 = blockIdx.y * 16 * TILES; m0 < M; m0 += gridDim.y * 16 * TILES) {
        float sum[TILES][4][4] = {};
        uint4 part[2 * TILES];
#pragma unroll
        for (int stage = 0; stage < STAGES - 1; stage++)
            fill(stages[stage], packed, scales, zeros, k_begin + stage * DEPTH, k_end, n, N);
        fetch_x<TILES>(x, part, m0, k_begin, k_end, M, K);
        place_x<TILES>(part, rows[0]);
        __syncthreads();
        int used = 0, filled = STAGES - 1, buffer = 0;
        for (int k0 = k_begin; k0 < k_end; k0 += DEPTH) {
            fill(stages[filled], packed, scales, zeros, k0 + (STAGES - 1) * DEPTH, k_end, n, N);
            fetch_x<TILES>(x, part, m0, k0 + DEPTH, k_end, M, K);
            asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 1) : "memory");
            multiply_tile<TILES>(stages[used], zeros, rows[buffer], sum);
            buffer ^= 1;
            place_x<TILES>(part, rows[buffer]);
            __syncthreads();
            used = used + 1 == STAGES ? 0 : used + 1;
            filled = filled + 1 == STAGES ? 0 : filled + 1;
        }
#pragma unroll
        for (int tile = 0; tile < TILES; tile++)
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int side = 0; side < 2; side++) {
                    const float(&s)[4][4] = sum[tile];
                    const int c = 2 * half + side, m = m0 + 16 * tile + 8 * half + g, column = n0 + 8 * t + 4 * side;
                    store(s[0][c], s[1][c], s[2][c], s[3][c], partial, y, m, column, M, N, PARTS);
                }
    }
}

// Rows g and g + 8 of a tile of x, this lane's eight k of every step; zeros outside.
template <int HALVES>
__device__ void load_x(const x_t* __restrict__ x, uint4 (&rows)[HALVES][STEPS], int k0, int M, int K)
{
    const int g = threadIdx.x % 32 / 4, k = k0 + threadIdx.x % 4 * 8;
#pragma unroll
    for (int half = 0; half < HALVES; half++) {
        const x_t* from = x + (size_t)(g + 8 * half) * K + k;
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            rows[half][step] = make_uint4(0, 0, 0, 0);
            if (g + 8 * half < M && k + 32 * step < K) rows[half][step] = *reinterpret_cast<const uint4*>(from + 32 * step);
        }
    }
}

// HALVES is 1 where no row is past the eighth.
template <int COLUMNS, int HALVES>
__global__ void __launch_bounds__(256)
few(const x_t* __restrict__ x, const int* __restrict__ packed, const scales_t* __restrict__ scales,
    const zeros_t* __restrict__ zeros, y_t* __restrict__ y, int M, int N, int K)
{
    constexpr int SLICES = 8 / COLUMNS, PITCH = 36;  // floats of a row of sums: 16-byte stores meet all banks
    extern __shared__ __align__(16) unsigned char memory[];
    Stage<256>* stages = reinterpret_cast<Stage<256>*>(memory);
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32, slice = warp / COLUMNS;
    const int n = (blockIdx.x * COLUMNS + warp % COLUMNS) * 32 + 4 * g;
    constexpr int STRIDE_K = SLICES * DEPTH;
    float sum[1][4][4] = {};
    uint4 now[HALVES][STEPS], next[HALVES][STEPS];
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++)
        fill(stages[stage], packed, scales, zeros, slice * DEPTH + stage * STRIDE_K, K, n, N);
    load_x<HALVES>(x, now, slice * DEPTH, M, K);
    int used = 0, filled = STAGES - 1;
    for (int k0 = slice * DEPTH; k0 < K; k0 += STRIDE_K) {
        fill(stages[filled], packed, scales, zeros, k0 + (STAGES - 1) * STRIDE_K, K, n, N);
        load_x<HALVES>(x, next, k0 + STRIDE_K, M, K);
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 1) : "memory");
        Group group[4];
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            if (step < SCALES) take_groups(stages[used], step, zeros, group);
            const uint4 upper[1] = {now[0][step]};
            const uint4 lower[1] = {HALVES == 2 ? now[HALVES - 1][step] : make_uint4(0, 0, 0, 0)};
            multiply<1>(stages[used].words[step][threadIdx.x], group, upper, lower, sum);
        }
#pragma unroll
        for (int half = 0; half < HALVES; half++)
#pragma unroll
            for (int step = 0; step < STEPS; step++) now[half][step] = next[half][step];
        used = used + 1 == STAGES ? 0 : used + 1;
        filled = filled + 1 == STAGES ? 0 : filled + 1;
    }
    asm volatile("cp.async.wait_group 0;" ::: "memory");
    __syncthreads();  // stages are free: sums take their place
    float* sums = reinterpret_cast<float*>(memory);
#pragma unroll
    for (int half = 0; half < HALVES; half++)
#pragma unroll
        for (int side = 0; side < 2; side++) {
            const float(&s)[4][4] = sum[0];
            const int c = 2 * half + side;
            if (8 * half + g < M)
                *reinterpret_cast<float4*>(sums + (warp * 16 + 8 * half + g) * PITCH + 8 * t + 4 * side) =
                    make_float4(s[0][c], s[1][c], s[2][c], s[3][c]);
        }
    __syncthreads();
    for (int i = threadIdx.x; i < M * COLUMNS * 32; i += 256) {
        const int m = i / (COLUMNS * 32), column = i % (COLUMNS * 32), at = blockIdx.x * COLUMNS * 32 + column;
        float total = 0.f;
#pragma unroll
        for (int part = 0; part < SLICES; part++)
            total += sums[((part * COLUMNS + column / 32) * 16 + m) * PITCH + column % 32];
        if (at < N) y[(size_t)m * N + at] = ws::from_float<y_t>(total);
    }
}

__global__ void pack(const qweight_t* __restrict__ qweight, int* packed, int N, int K)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)(K / 8) * N) return;
    const unsigned word = qweight[i];
    unsigned to = 0;
#pragma unroll
    for (int k = 0; k < 8; k++) to |= (word >> 4 * k & 15u) << 4 * (k / 2 + k % 2 * 4);
    packed[i] = to;
}

__global__ void reduce(const float* __restrict__ partial, y_t* __restrict__ y, int M, int N, int PARTS)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x, count = (size_t)M * N;
    if (i >= count) return;
    float sum = 0.f;
    for (int part = 0; part < PARTS; part++) sum += partial[part * count + i];
    y[i] = ws::from_float<y_t>(sum);
}
