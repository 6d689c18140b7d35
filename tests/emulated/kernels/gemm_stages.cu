// C = A B^T in fp16 on tensor cores, one 64 x 64 tile a block, tiles of 32 along K in a ring of three stages.
#include <cuda_fp16.h>

constexpr int BK = 32, PITCH = 40, STAGES = 3;

__device__ unsigned shared_address(const void* p) { return unsigned(__cvta_generic_to_shared(p)); }

__device__ void copy(void* to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from) : "memory");
}

template <int N> __device__ void wait_for_all_but() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

__device__ void load(unsigned (&r)[4], const half* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)));
}

__device__ void multiply(float (&c)[4], const unsigned (&a)[4], const unsigned* b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

extern "C" __global__ void __launch_bounds__(128) gemm_stages(float* c, const half* a, const half* b, int n, int k) {
    __shared__ __align__(16) half rows[STAGES][2][64][PITCH];
    int i = threadIdx.x, warp = i / 32, lane = i % 32, tiles = k / BK;
    const half* from[2] = {a + blockIdx.y * 64 * k, b + blockIdx.x * 64 * k};
    auto fetch = [&](int tile) {
        for (int q = i; tile < tiles && q < 2 * 64 * BK / 8; q += 128) {
            int row = q / (BK / 8) % 64, column = q % (BK / 8) * 8, side = q / (64 * BK / 8);
            copy(&rows[tile % STAGES][side][row][column], from[side] + row * k + tile * BK + column);
        }
        asm volatile("cp.async.commit_group;");
    };
    for (int tile = 0; tile < STAGES - 1; tile++) fetch(tile);
    float sum[2][4][4] = {};
    for (int tile = 0; tile < tiles; tile++) {
        wait_for_all_but<STAGES - 2>();
        __syncthreads();
        fetch(tile + STAGES - 1);
        for (int step = 0; step < BK; step += 16) {
            unsigned left[2][4], right[2][4];
            for (int q = 0; q < 2; q++) {
                load(left[q], &rows[tile % STAGES][0][warp / 2 * 32 + q * 16 + lane % 16][step + lane / 16 * 8]);
                load(right[q], &rows[tile % STAGES][1][warp % 2 * 32 + q * 16 + lane % 8 + lane / 16 * 8]
                                    [step + lane / 8 % 2 * 8]);
            }
            for (int q = 0; q < 2; q++)
                for (int p = 0; p < 4; p++) multiply(sum[q][p], left[q], &right[p / 2][p % 2 * 2]);
        }
    }
    for (int q = 0; q < 2; q++)
        for (int p = 0; p < 4; p++)
            for (int h = 0; h < 2; h++) {
                int row = blockIdx.y * 64 + warp / 2 * 32 + q * 16 + lane / 4 + h * 8;
                int column = blockIdx.x * 64 + warp % 2 * 32 + p * 8 + lane % 4 * 2;
                c[row * n + column] = sum[q][p][2 * h];
                c[row * n + column + 1] = sum[q][p][2 * h + 1];
            }
}
