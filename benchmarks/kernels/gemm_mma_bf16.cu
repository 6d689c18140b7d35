// C = A B in bf16 with float32 sums: 64 x 64 x 32 tiles, four warps, two stages of cp.async, ldmatrix and mma.sync.
// M and N are multiples of 64, K of 32.
using bf16_bits = unsigned short;
constexpr int TILE_M = 64, TILE_N = 64, TILE_K = 32, PAD = 8;

__device__ unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

__device__ void copy_16_bytes(void* to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from));
}

__device__ void load_rows(unsigned (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row)));
}

__device__ void load_columns(unsigned (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row)));
}

__device__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

extern "C" __global__ void __launch_bounds__(128)
    gemm_mma_bf16(const bf16_bits* A, const bf16_bits* B, float* C, int M, int N, int K) {
    __shared__ __align__(16) bf16_bits a[2][TILE_M][TILE_K + PAD];
    __shared__ __align__(16) bf16_bits b[2][TILE_K][TILE_N + PAD];
    int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    int warp_row = warp % 2 * 32, warp_column = warp / 2 * 32;
    int row = blockIdx.y * TILE_M, column = blockIdx.x * TILE_N;
    float sums[2][4][4] = {};

    auto fetch = [&](int stage, int k) {
#pragma unroll
        for (int part = 0; part < 2; part++) {
            int i = thread + part * 128;
            copy_16_bytes(&a[stage][i / 4][i % 4 * 8], A + (size_t)(row + i / 4) * K + k + i % 4 * 8);
            copy_16_bytes(&b[stage][i / 8][i % 8 * 8], B + (size_t)(k + i / 8) * N + column + i % 8 * 8);
        }
        asm volatile("cp.async.commit_group;");
    };

    int steps = K / TILE_K;
    fetch(0, 0);
    for (int step = 0; step < steps; step++) {
        int stage = step % 2;
        if (step + 1 < steps) {
            fetch(1 - stage, (step + 1) * TILE_K);
            asm volatile("cp.async.wait_group 1;");
        } else {
            asm volatile("cp.async.wait_group 0;");
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < TILE_K; k += 16) {
            unsigned left[2][4], right[2][4];
#pragma unroll
            for (int i = 0; i < 2; i++) load_rows(left[i], &a[stage][warp_row + i * 16 + lane % 16][k + lane / 16 * 8]);
#pragma unroll
            for (int j = 0; j < 2; j++)
                load_columns(right[j], &b[stage][k + lane % 16][warp_column + j * 16 + lane / 16 * 8]);
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) multiply(sums[i][j], left[i], right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float* out = C + (size_t)(row + warp_row + i * 16 + lane / 4) * N + column + warp_column + j * 8 + lane % 4 * 2;
            out[0] = sums[i][j][0];
            out[1] = sums[i][j][1];
            out[8 * N] = sums[i][j][2];
            out[8 * N + 1] = sums[i][j][3];
        }
}
