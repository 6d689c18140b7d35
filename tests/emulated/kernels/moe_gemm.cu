// Mixture of experts: Y[token] += gate * X[token] W[expert] over rows sorted by expert, 16 rows a block, wmma in bf16.
#include <cuda_bf16.h>
#include <mma.h>

using namespace nvcuda;
using bf16 = __nv_bfloat16;

extern "C" __global__ void moe_gemm(const bf16* X, const bf16* W, float* Y, const int* token, const int* start,
                                    const float* gate, int experts, int N, int K) {
    __shared__ bf16 rows[16][32];
    __shared__ float tile[4][16][16];
    int first = blockIdx.y * 16, low = 0, high = experts;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (start[middle] <= first) low = middle;
        else high = middle;
    }
    int count = min(16, start[low + 1] - first);
    if (count <= 0) return;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, column = blockIdx.x * 64 + warp * 16;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sums;
    wmma::fill_fragment(sums, 0.0f);
    for (int k = 0; k < K; k += 32) {
        for (int i = threadIdx.x; i < 16 * 32; i += blockDim.x) {
            int r = i / 32;
            rows[r][i % 32] = r < count ? X[(size_t)token[first + r] * K + k + i % 32] : __float2bfloat16(0.0f);
        }
        __syncthreads();
        for (int part = 0; part < 32; part += 16) {
            wmma::fragment<wmma::matrix_a, 16, 16, 16, bf16, wmma::row_major> a;
            wmma::fragment<wmma::matrix_b, 16, 16, 16, bf16, wmma::row_major> b;
            wmma::load_matrix_sync(a, &rows[0][part], 32);
            wmma::load_matrix_sync(b, W + ((size_t)low * K + k + part) * N + column, N);
            wmma::mma_sync(sums, a, b, sums);
        }
        __syncthreads();
    }
    wmma::store_matrix_sync(&tile[warp][0][0], sums, 16, wmma::mem_row_major);
    __syncwarp();
    for (int i = lane; i < 256; i += 32) {
        int r = i / 16;
        if (r < count) atomicAdd(&Y[(size_t)token[first + r] * N + column + i % 16], gate[first + r] * tile[warp][r][i % 16]);
    }
}
