// C = A B with 64 x 64 tiles, four by four sums a thread, float4 traffic and dynamic shared memory (8 KiB).
constexpr int TILE = 64, DEPTH = 16;

extern "C" __global__ void __launch_bounds__(256)
    gemm_register_tiled(const float* __restrict__ A, const float* __restrict__ B, float* __restrict__ C, int N, int K) {
    extern __shared__ float shared[];
    float* a = shared;                 // [DEPTH][TILE], transposed
    float* b = shared + TILE * DEPTH;  // [DEPTH][TILE]
    int thread = threadIdx.x, x = thread % 16, y = thread / 16;
    int row = blockIdx.y * TILE, column = blockIdx.x * TILE;
    float sums[4][4] = {};
    for (int start = 0; start < K; start += DEPTH) {
        int r = thread / 4, k = thread % 4 * 4;
        float4 left = *(const float4*)&A[(row + r) * K + start + k];
        a[(k + 0) * TILE + r] = left.x;
        a[(k + 1) * TILE + r] = left.y;
        a[(k + 2) * TILE + r] = left.z;
        a[(k + 3) * TILE + r] = left.w;
        *(float4*)&b[y * TILE + x * 4] = *(const float4*)&B[(start + y) * N + column + x * 4];
        __syncthreads();
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            float4 p = *(float4*)&a[d * TILE + y * 4], q = *(float4*)&b[d * TILE + x * 4];
            float rows[4] = {p.x, p.y, p.z, p.w}, columns[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) sums[i][j] += rows[i] * columns[j];
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++) {
        float4 out = make_float4(sums[i][0], sums[i][1], sums[i][2], sums[i][3]);
        *(float4*)&C[(row + y * 4 + i) * N + column + x * 4] = out;
    }
}
