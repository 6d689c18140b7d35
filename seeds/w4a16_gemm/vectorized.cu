// /// kernel
// task = "w4a16_gemm"
// requires = "N % 4 == 0"                 # 16-byte loads of four neighbouring columns
// constants = ["G"]                       # a shift instead of a division to find the group
// tags = ["vectorized", "shared_tile", "split_k", "lop3_dequant"]
//
// [tune]
// BM = [8, 4, 16]                         # rows of x a block keeps in registers where M > 4
// SPLIT = [8, 4, 2, 16, 1]                # parts of K that different blocks sum, up to 16 rows; fewer above
//
// [let]
// PARTS = "max(1, SPLIT // cdiv(M, 16))"
// SPAN = "align(cdiv(K, PARTS), 256)"     # k of one part; the last may be short, or empty
//
// [[buffer]]
// name = "partial"
// shape = ["PARTS", "M", "N"]
// dtype = "float32"
//
// [[launch]]
// kernel = "gemm<1>"
// when = "M == 1"
// grid = ["cdiv(N, 128)", 1, "PARTS"]
// block = 128
//
// [[launch]]
// kernel = "gemm<4>"
// when = "M > 1 and M <= 4"
// grid = ["cdiv(N, 128)", 1, "PARTS"]
// block = 128
//
// [[launch]]
// kernel = "gemm<BM>"
// when = "M > 4"
// grid = ["cdiv(N, 128)", "min(cdiv(M, BM), 65535)", "PARTS"]
// block = 128
//
// [[launch]]
// kernel = "reduce"
// when = "PARTS > 1"
// grid = "cdiv(M * N, 256)"
// block = 256
// ///

// A block makes TM rows x 128 columns of one part of K. Its four warps share the columns and take turns along K:
//
//            k: 256 of a tile                    128 columns, 4 a lane
//   x  [ w0 | w1 | w2 | w3 | w0 | ... ]      qweight  [ 16 B | 16 B | ... ]   <- one row: 8 k
//        TM rows, as float in shared            w0 rows 0-3, w1 rows 4-7, ...
//
// A lane keeps TM x 4 sums. The warps' sums meet in shared memory; with one part of K they are y, else each part is
// stored to `partial` and `reduce` adds the parts. All lanes of a warp read the same x, which shared memory broadcasts.
//
// Unpacking: a code in bits p to p + 3 under the exponent of 2^(23 - p) is the float 2^(23 - p) + code, so one lop3 and
// one fma with -(2^(23 - p) + zero) * scale give (code - zero) * scale, exactly for p of 12 and 16: 12 bits times a
// half's 11. Four shifts bring all eight codes of a word to those places. The zero point is 8 where none are given.

constexpr int COLUMNS = 4;   // of a lane
constexpr int WIDTH = 128;   // columns of a block
constexpr int WARPS = 4;
constexpr int DEPTH = 256;   // k of a tile of x
constexpr int WORDS = 4;     // rows of qweight a warp loads at once

static_assert(WIDTH == 32 * COLUMNS, "one warp spans the columns of a block");
static_assert(sizeof(x_t) == 2 && sizeof(scales_t) == 2, "four scales are one 8-byte load");
static_assert(G % 8 == 0, "the eight codes of a word belong to one group");
static_assert(DEPTH % (8 * WORDS * WARPS) == 0, "every warp takes the same number of turns at a whole tile");

struct Scale {
    float value, bias12, bias16;  // scale, and -(2^(23 - p) + zero) * scale
};

__device__ Scale scale_of(scales_t value, int zero)
{
    const float s = ws::to_float(value);
    return {s, (-2048.f - zero) * s, (-128.f - zero) * s};
}

template <int P>
__device__ float code_at(unsigned word)
{
    unsigned bits;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(bits) : "r"(word), "r"(15u << P), "r"((150u - P) << 23));
    return __uint_as_float(bits);
}

__device__ void unpack(unsigned word, const Scale& s, float (&w)[8])
{
    const unsigned moved[4] = {word << 12, word << 4, word >> 4, word >> 12};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        w[2 * i] = fmaf(code_at<12>(moved[i]), s.value, s.bias12);
        w[2 * i + 1] = fmaf(code_at<16>(moved[i]), s.value, s.bias16);
    }
}

// The four scales and zero points of this lane's columns in the group of row k.
__device__ void load_scales(const scales_t* __restrict__ scales, const zeros_t* __restrict__ zeros, int k, int n, int N,
                            Scale (&s)[COLUMNS])
{
    const size_t at = (size_t)(k / G) * N + n;
    const uint2 packed = *reinterpret_cast<const uint2*>(scales + at);
    const unsigned middle = zeros ? *reinterpret_cast<const unsigned*>(zeros + at) : 0x08080808u;
    const scales_t* values = reinterpret_cast<const scales_t*>(&packed);
#pragma unroll
    for (int c = 0; c < COLUMNS; c++) s[c] = scale_of(values[c], middle >> 8 * c & 15u);
}

template <int TM>
__device__ void load_x(const x_t* __restrict__ x, float (&xs)[TM][DEPTH], int m0, int k0, int k_end, int M, int K)
{
    for (int i = threadIdx.x; i < TM * DEPTH; i += 32 * WARPS) {
        const int r = i / DEPTH, k = i % DEPTH;
        const bool inside = m0 + r < M && k0 + k < k_end;
        xs[r][k] = inside ? ws::to_float(x[(size_t)(m0 + r) * K + k0 + k]) : 0.f;
    }
}

// Eight k of four columns: 32 weights against TM rows.
template <int TM>
__device__ void multiply(const int4& words, const Scale (&s)[COLUMNS], const float (&xs)[TM][DEPTH], int k,
                         float (&sum)[TM][COLUMNS])
{
    const unsigned word[COLUMNS] = {(unsigned)words.x, (unsigned)words.y, (unsigned)words.z, (unsigned)words.w};
    float w[COLUMNS][8];
#pragma unroll
    for (int c = 0; c < COLUMNS; c++) unpack(word[c], s[c], w[c]);
#pragma unroll
    for (int r = 0; r < TM; r++) {
        const float4 a = *reinterpret_cast<const float4*>(&xs[r][k]);
        const float4 b = *reinterpret_cast<const float4*>(&xs[r][k + 4]);
        const float v[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) sum[r][c] = fmaf(v[i], w[c][i], sum[r][c]);
    }
}

// WORDS rows of qweight from k0 + k on, all loaded before the first is used.
template <int TM>
__device__ void multiply_words(const qweight_t* __restrict__ qweight, const scales_t* __restrict__ scales,
                               const zeros_t* __restrict__ zeros, const float (&xs)[TM][DEPTH], int k0, int k,
                               int k_end, int n, int N, float (&sum)[TM][COLUMNS])
{
    int4 words[WORDS] = {};
#pragma unroll
    for (int j = 0; j < WORDS; j++)
        if (k0 + k + 8 * j < k_end)
            words[j] = *reinterpret_cast<const int4*>(qweight + (size_t)((k0 + k) / 8 + j) * N + n);
    Scale s[COLUMNS];
#pragma unroll
    for (int j = 0; j < WORDS; j++) {
        const int at = k0 + k + 8 * j;
        if (at >= k_end) break;
        if (j == 0 || at % G == 0) load_scales(scales, zeros, at, n, N, s);
        multiply<TM>(words[j], s, xs, k + 8 * j, sum);
    }
}

// Add up what the warps hold of rows m0 to m0 + TM - 1, and store it.
template <int TM>
__device__ void store(const float (&sum)[TM][COLUMNS], float* __restrict__ partial, y_t* __restrict__ y, int m0, int n,
                      int M, int N, int PARTS)
{
    __shared__ float4 met[WARPS][TM][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int r = 0; r < TM; r++) met[warp][r][lane] = make_float4(sum[r][0], sum[r][1], sum[r][2], sum[r][3]);
    __syncthreads();
    for (int r = warp; r < TM; r += WARPS) {
        if (m0 + r >= M || n >= N) continue;
        float4 total = met[0][r][lane];
#pragma unroll
        for (int other = 1; other < WARPS; other++) {
            const float4 v = met[other][r][lane];
            total = make_float4(total.x + v.x, total.y + v.y, total.z + v.z, total.w + v.w);
        }
        if (PARTS > 1) {
            *reinterpret_cast<float4*>(partial + ((size_t)blockIdx.z * M + m0 + r) * N + n) = total;
        } else {
            y_t* row = y + (size_t)(m0 + r) * N + n;
            row[0] = ws::from_float<y_t>(total.x);
            row[1] = ws::from_float<y_t>(total.y);
            row[2] = ws::from_float<y_t>(total.z);
            row[3] = ws::from_float<y_t>(total.w);
        }
    }
    __syncthreads();
}

template <int TM>
__global__ void __launch_bounds__(32 * WARPS)
gemm(const x_t* __restrict__ x, const qweight_t* __restrict__ qweight, const scales_t* __restrict__ scales,
     const zeros_t* __restrict__ zeros, float* __restrict__ partial, y_t* __restrict__ y, int M, int N, int K, int PARTS,
     int SPAN)
{
    __shared__ float xs[TM][DEPTH];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, n = blockIdx.x * WIDTH + lane * COLUMNS;
    const int k_begin = blockIdx.z * SPAN, k_end = min(K, k_begin + SPAN);
    for (int m0 = blockIdx.y * TM; m0 < M; m0 += gridDim.y * TM) {
        float sum[TM][COLUMNS] = {};
        for (int k0 = k_begin; k0 < k_end; k0 += DEPTH) {
            __syncthreads();
            load_x<TM>(x, xs, m0, k0, k_end, M, K);
            __syncthreads();
            for (int k = warp * 8 * WORDS; k < DEPTH && n < N; k += WARPS * 8 * WORDS)
                multiply_words<TM>(qweight, scales, zeros, xs, k0, k, k_end, n, N, sum);
        }
        store<TM>(sum, partial, y, m0, n, M, N, PARTS);
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
