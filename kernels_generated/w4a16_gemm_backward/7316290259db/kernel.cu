// /// kernel
// task = "w4a16_gemm_backward"
// tags = ["tensor_core", "shared_tile", "vectorized", "coalesced"]
//
// [tune]
// BM = [64, 128, 32]                      # rows of dy of a block
// BK = [64, 128]                          # k of a block, sixteen a warp
//
// [[launch]]
// kernel = "backward"
// grid = ["cdiv(K, BK)", "min(cdiv(M, BM), 65535)"]
// block = "2 * BK"
// ///

// dx = dy W^T: the sum runs over n, along which both dy and a word row of qweight lie. A step takes 32 columns: dy's tile
// goes to shared memory as it is, and every word becomes eight halves of eight neighbouring rows of W there.
//
//          32 n                 32 n
//   BM   [ dy tile ]      BK   [ W tile ]       mma.m16n8k16, the inner dimension being n:
//                                               a warp takes all rows of dy and 16 k of W
//
// Rows are padded by 16 bytes, which puts eight rows of an ldmatrix into different banks. Columns past the last are zeros
// in both tiles. Weights are rounded to half, as w4a16_gemm has them, and sums are kept in float.
constexpr int NT = 32, PITCH = NT + 8, THREADS = 2 * BK, TILES = BM / 16;

__device__ void mma(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ void load_matrices(unsigned (&r)[4], const __half* from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((unsigned)__cvta_generic_to_shared(from))
                 : "memory");
}

__global__ void __launch_bounds__(THREADS)
    backward(const dy_t* __restrict__ dy, const qweight_t* __restrict__ qweight, const scales_t* __restrict__ scales,
             const zeros_t* __restrict__ zeros, dx_t* __restrict__ dx, int M, int N, int K, int G)
{
    __shared__ __align__(16) __half gradients[BM * PITCH];
    __shared__ __align__(16) __half weights[BK * PITCH];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, k0 = blockIdx.x * BK;
    const bool whole = N % 8 == 0;  // 16 bytes of a row of dy at a time
    for (int m0 = blockIdx.y * BM; m0 < M; m0 += gridDim.y * BM) {
        float sums[TILES][2][4] = {};
        for (int n0 = 0; n0 < N; n0 += NT) {
            if (whole) {
                for (int i = threadIdx.x; i < BM * NT / 8; i += THREADS) {
                    const int m = i / (NT / 8), n = i % (NT / 8) * 8;
                    uint4 eight = make_uint4(0, 0, 0, 0);
                    if (m0 + m < M && n0 + n < N) {
                        eight = *reinterpret_cast<const uint4*>(dy + (size_t)(m0 + m) * N + n0 + n);
                    }
                    *reinterpret_cast<uint4*>(gradients + m * PITCH + n) = eight;
                }
            } else {
                for (int i = threadIdx.x; i < BM * NT; i += THREADS) {
                    const int m = i / NT, n = i % NT;
                    const bool there = m0 + m < M && n0 + n < N;
                    gradients[m * PITCH + n] = there ? dy[(size_t)(m0 + m) * N + n0 + n] : __half(0.f);
                }
            }
            for (int i = threadIdx.x; i < BK / 8 * NT; i += THREADS) {
                const int row = i / NT, n = n0 + i % NT, k = k0 + 8 * row;
                const bool there = k < K && n < N;
                unsigned word = 0;
                float scale = 0.f;
                int zero = 8;
                if (there) {
                    word = qweight[(size_t)(k / 8) * N + n];
                    scale = ws::to_float(scales[(size_t)(k / G) * N + n]);
                    if (zeros) zero = zeros[(size_t)(k / G) * N + n];
                }
                for (int j = 0; j < 8; j++) {
                    const int code = (int)((word >> (4 * j)) & 15u) - zero;
                    weights[(8 * row + j) * PITCH + i % NT] = __float2half_rn(code * scale);
                }
            }
            __syncthreads();
            for (int step = 0; step < NT; step += 16) {
                unsigned b[4];
                load_matrices(b, weights + (16 * warp + lane % 8 + lane / 16 * 8) * PITCH + step + lane / 8 % 2 * 8);
                for (int t = 0; t < TILES; t++) {
                    unsigned a[4];
                    load_matrices(a, gradients + (16 * t + lane % 16) * PITCH + step + lane / 16 * 8);
                    mma(sums[t][0], a, b[0], b[1]);
                    mma(sums[t][1], a, b[2], b[3]);
                }
            }
            __syncthreads();
        }
        for (int t = 0; t < TILES; t++) {
            for (int j = 0; j < 2; j++) {
                const int m = m0 + 16 * t + lane / 4, k = k0 + 16 * warp + 8 * j + lane % 4 * 2;
                if (k >= K) continue;
                for (int half = 0; half < 2; half++) {
                    if (m + 8 * half >= M) continue;
                    *reinterpret_cast<__half2*>(dx + (size_t)(m + 8 * half) * K + k) =
                        __floats2half2_rn(sums[t][j][2 * half], sums[t][j][2 * half + 1]);
                }
            }
        }
    }
}
