// /// kernel
// task = "w4a16_gemm"
// requires = "N % 4 == 0"                 # 16-byte copies of four neighbouring columns
// constants = ["G"]                       # tells at compile time how often scales change
// tags = ["tensor_core", "vectorized", "shared_tile", "split_k", "lop3_dequant", "cp_async"]
//
// [tune]
// MT = [4, 2, 1]                          # 16-row tiles a block makes where M > 16
// SPLIT = [8, 4, 16, 2, 1]                # parts of K that different blocks sum, up to 64 rows
// STAGES = [3, 2, 4]                      # tiles of weights on their way or in use
//
// [let]
// PARTS = "max(1, SPLIT * (M <= 64))"
// SPAN = "align(cdiv(K, PARTS), 128)"     # k of one part; the last may be short, or empty
// STAGE_BYTES = "128 * (64 + 12 * (1 + 3 * (G % 128 != 0)))"  # a stage: 64 bytes of weights a thread, scales, zeros
// X_BYTES = "2 * 16 * (128 + 32) * 2"     # two buffers of a 16-row tile of x
//
// [[buffer]]
// name = "partial"
// shape = ["PARTS", "M", "N"]
// dtype = "float32"
//
// [[launch]]
// kernel = "gemm<1>"
// when = "M <= 16"
// grid = ["cdiv(N, 128)", 1, "PARTS"]
// block = 128
// shared = "STAGES * STAGE_BYTES + X_BYTES"
//
// [[launch]]
// kernel = "gemm<MT>"
// when = "M > 16"
// grid = ["cdiv(N, 128)", "min(cdiv(M, 16 * MT), 65535)", "PARTS"]
// block = 128
// shared = "STAGES * STAGE_BYTES + MT * X_BYTES"
//
// [[launch]]
// kernel = "reduce"
// when = "PARTS > 1"
// grid = "cdiv(M * N, 256)"
// block = 256
// ///

// A block makes 16 * TILES rows x 128 columns of one part of K with mma.m16n8k16; each of its four warps has 32 columns.
// The schedule, with three stages; a tile is 128 k:
//
//   tile        0          1          2          3
//   weights    [copy 2]   [copy 3]   [copy 4]   ...      cp.async, two tiles ahead, into the thread's own stage
//   x          [load 1]   [load 2]   [load 3]   ...      global memory to registers, one tile ahead
//   wait        for 0      for 1      for 2              cp.async.wait_group STAGES - 1
//   mma        [tile 0]   [tile 1]   [tile 2]   ...      weights of this stage, x of buffer 0, 1, 0, ...
//   x          [store 1]  [store 2]  [store 3]  ...      registers to the other buffer, its k reordered
//   barrier    ---------- ---------- ----------          one a tile: x alone is shared by threads
//
// A thread copies exactly the weights and scales that it multiplies itself, so that a stage is a queue of its own: no
// barrier guards it, and neighbouring threads' 16 bytes lie side by side in shared memory.
//
//   a warp's step of 32 k           lane = 4 * g + t holds 16 bytes: word row t, columns 4g to 4g + 3
//
//      word row 0  [ g=0 | g=1 | ... | g=7 ]     k = 0..7      <- t = 0
//      word row 1  [                       ]     k = 8..15     <- t = 1
//      ...                                                        one word = one column, 8 k
//
// An mma adds over its k in any order, so lane t's eight k (8t to 8t + 7) stand for the slots that the fragment layout
// gives it: pairs (0,4) and (1,5) in one mma, (2,6) and (3,7) in the next. x lies in shared memory with its k in the
// order 0 4 1 5 2 6 3 7, so one 16-byte load gives a lane its row's share for both; a copy cannot reorder, which is why
// x takes its way through registers. Column j of each lane's four makes one n8 tile, so a lane ends with eight
// neighbouring columns: 8t + j in [0], 8t + 4 + j in [1].
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

// What the threads of a block have on its way: [step or group][thread], each thread's 16 or 8 bytes its own.
struct Stage {
    uint4 words[STEPS][THREADS];
    uint2 scales[SCALES][THREADS];
    unsigned zeros[SCALES][THREADS];
};
static_assert(sizeof(Stage) == STAGE_BYTES, "the plan asks for as much shared memory as a stage takes");

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

// The pairs (0,4) (1,5) (2,6) (3,7) of a word's weights.
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
__device__ void fill(Stage& stage, const qweight_t* __restrict__ qweight, const scales_t* __restrict__ scales,
                     const zeros_t* __restrict__ zeros, int k0, int k_end, int n, int N)
{
    const int k = k0 + 8 * (threadIdx.x % 4);
    const qweight_t* from = qweight + (size_t)(k / 8) * N + n;
    if (k0 < k_end) {
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            const bool there = k + 32 * step < k_end && n < N;
            copy(&stage.words[step][threadIdx.x], there ? from + (size_t)(4 * step) * N : qweight, there);
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

// Puts it into a buffer with its k in the order 0 4 1 5 2 6 3 7.
template <int TILES>
__device__ void place_x(const uint4 (&part)[2 * TILES], Rows<TILES>& rows)
{
#pragma unroll
    for (int i = 0; i < 2 * TILES; i++) {
        const int r = (threadIdx.x + i * THREADS) / (DEPTH / 8), k = threadIdx.x % (DEPTH / 8) * 8;
        const uint4 v = part[i];
        *reinterpret_cast<uint4*>(&rows[r][k]) =
            make_uint4(__byte_perm(v.x, v.z, 0x5410), __byte_perm(v.x, v.z, 0x7632), __byte_perm(v.y, v.w, 0x5410),
                       __byte_perm(v.y, v.w, 0x7632));
    }
}

// One step: 32 k of 32 columns against every row tile.
template <int TILES>
__device__ void multiply(const uint4& words, const Group (&group)[4], const Rows<TILES>& rows, int k,
                         float (&sum)[TILES][4][4])
{
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const unsigned word[4] = {words.x, words.y, words.z, words.w};
    uint4 upper[TILES], lower[TILES];
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
        upper[tile] = *reinterpret_cast<const uint4*>(&rows[16 * tile + g][k + 8 * t]);
        lower[tile] = *reinterpret_cast<const uint4*>(&rows[16 * tile + g + 8][k + 8 * t]);
    }
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
__device__ void multiply_tile(const Stage& stage, bool has_zeros, const Rows<TILES>& rows, float (&sum)[TILES][4][4])
{
    Group group[4];
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        if (step < SCALES) {
            const uint2 packed = stage.scales[step][threadIdx.x];
            const __half* values = reinterpret_cast<const __half*>(&packed);
            const unsigned zero = has_zeros ? stage.zeros[step][threadIdx.x] : 0x08080808u;
#pragma unroll
            for (int j = 0; j < 4; j++) group[j] = group_of(values[j], zero >> 8 * j & 15u);
        }
        multiply<TILES>(stage.words[step][threadIdx.x], group, rows, 32 * step, sum);
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
gemm(const x_t* __restrict__ x, const qweight_t* __restrict__ qweight, const scales_t* __restrict__ scales,
     const zeros_t* __restrict__ zeros, float* __restrict__ partial, y_t* __restrict__ y, int M, int N, int K, int PARTS,
     int SPAN)
{
    extern __shared__ __align__(16) unsigned char memory[];
    Stage* stages = reinterpret_cast<Stage*>(memory);
    Rows<TILES>* rows = reinterpret_cast<Rows<TILES>*>(memory + STAGES * sizeof(Stage));
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const int n0 = blockIdx.x * WIDTH + threadIdx.x / 32 * 32, n = n0 + 4 * g;
    const int k_begin = blockIdx.z * SPAN, k_end = min(K, k_begin + SPAN);
    for (int m0 = blockIdx.y * 16 * TILES; m0 < M; m0 += gridDim.y * 16 * TILES) {
        float sum[TILES][4][4] = {};
        uint4 part[2 * TILES];
#pragma unroll
        for (int stage = 0; stage < STAGES - 1; stage++)
            fill(stages[stage], qweight, scales, zeros, k_begin + stage * DEPTH, k_end, n, N);
        fetch_x<TILES>(x, part, m0, k_begin, k_end, M, K);
        place_x<TILES>(part, rows[0]);
        __syncthreads();
        int used = 0, filled = STAGES - 1, buffer = 0;
        for (int k0 = k_begin; k0 < k_end; k0 += DEPTH) {
            fill(stages[filled], qweight, scales, zeros, k0 + (STAGES - 1) * DEPTH, k_end, n, N);
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

__global__ void reduce(const float* __restrict__ partial, y_t* __restrict__ y, int M, int N, int PARTS)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x, count = (size_t)M * N;
    if (i >= count) return;
    float sum = 0.f;
    for (int part = 0; part < PARTS; part++) sum += partial[part * count + i];
    y[i] = ws::from_float<y_t>(sum);
}
