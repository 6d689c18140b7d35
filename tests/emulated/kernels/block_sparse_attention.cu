// Causal attention over 64 x 64 blocks that a CSR list names; a thread a query row, online softmax, head size 64.
#include <cuda_bf16.h>

constexpr int HEAD = 64, BLOCK = 64;

extern "C" __global__ void block_sparse_attention(const __nv_bfloat16* Q, const __nv_bfloat16* K,
                                                  const __nv_bfloat16* V, __nv_bfloat16* O, const int* row_start,
                                                  const int* columns, int length, float scale) {
    __shared__ float keys[BLOCK][HEAD + 1], values[BLOCK][HEAD];
    int query_block = blockIdx.x, t = threadIdx.x;
    size_t head = (size_t)blockIdx.y * length * HEAD, mine = head + (size_t)(query_block * BLOCK + t) * HEAD;
    float query[HEAD], sums[HEAD] = {}, largest = -1e30f, weight = 0.0f;
    for (int d = 0; d < HEAD; d++) query[d] = __bfloat162float(Q[mine + d]) * scale;
    for (int p = row_start[query_block]; p < row_start[query_block + 1]; p++) {
        int key_block = columns[p];
        __syncthreads();
        for (int i = t; i < BLOCK * HEAD; i += BLOCK) {
            size_t from = head + (size_t)key_block * BLOCK * HEAD + i;
            keys[i / HEAD][i % HEAD] = __bfloat162float(K[from]);
            values[i / HEAD][i % HEAD] = __bfloat162float(V[from]);
        }
        __syncthreads();
        for (int j = 0; j < BLOCK; j++) {
            if (key_block == query_block && j > t) break;
            float score = 0.0f;
#pragma unroll
            for (int d = 0; d < HEAD; d++) score += query[d] * keys[j][d];
            float now = fmaxf(largest, score), old = __expf(largest - now), e = __expf(score - now);
            weight = weight * old + e;
            largest = now;
#pragma unroll
            for (int d = 0; d < HEAD; d++) sums[d] = sums[d] * old + e * values[j][d];
        }
    }
    for (int d = 0; d < HEAD; d++) O[mine + d] = __float2bfloat16(weight > 0.0f ? sums[d] / weight : 0.0f);
}
