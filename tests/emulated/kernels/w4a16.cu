// y[M, N] = x[M, K] * W[N, K]^T where W has four bits an element and a scale for every 128 of K; a warp an output.
// A word holds eight elements, nibble p at element {0, 2, 4, 6, 1, 3, 5, 7}[p]; the value is (nibble - 8) * scale.
#include <cuda_fp16.h>

// (a & b) | c in one instruction.
__device__ unsigned and_or(unsigned a, unsigned b, unsigned c) {
    unsigned d;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

__device__ half2 as_half2(unsigned bits) { return *reinterpret_cast<half2*>(&bits); }

// 0x6400 is fp16's 1024: a nibble in its low mantissa bits is 1024 + nibble, four bits higher 1024 + 16 * nibble.
__device__ void two_pairs(unsigned word, half2* out) {
    out[0] = __hsub2(as_half2(and_or(word, 0x000F000Fu, 0x64006400u)), as_half2(0x64086408u));
    out[1] = __hfma2(as_half2(and_or(word, 0x00F000F0u, 0x64006400u)), as_half2(0x2C002C00u), as_half2(0xD480D480u));
}

extern "C" __global__ void w4a16(const half* x, const unsigned* W, const half* scales, half* y, int N, int K) {
    int n = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32, m = blockIdx.y;
    if (n >= N) return;
    float sum = 0.0f;
    for (int k = lane * 8; k < K; k += 256) {
        unsigned word = __ldg(&W[n * (K / 8) + k / 8]);
        half2 weights[4];
        two_pairs(word, weights);
        two_pairs(word >> 8, weights + 2);
        half2 scale = __half2half2(scales[n * (K / 128) + k / 128]);
        uint4 eight = *(const uint4*)&x[m * K + k];
        const half2* inputs = (const half2*)&eight;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float2 product = __half22float2(__hmul2(__hmul2(weights[i], scale), inputs[i]));
            sum += product.x + product.y;
        }
    }
    for (int distance = 16; distance; distance /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, distance);
    if (lane == 0) y[m * N + n] = __float2half(sum);
}
