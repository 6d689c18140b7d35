// /// kernel
// task = "w4a16_gemm"
// constants = ["G"]
//
// [[launch]]
// kernel = "gemm"
// grid = ["cdiv(N, 128)", "M"]
// block = 128
// ///

// One block computes 128 columns of one row; a chunk of x passes through shared memory between two barriers.
__global__ void gemm(const x_t* __restrict__ x, const qweight_t* __restrict__ qweight,
                     const scales_t* __restrict__ scales, const zeros_t* __restrict__ zeros,
                     y_t* __restrict__ y, int N, int K)
{
    __shared__ float row[128];
    const int n = blockIdx.x * 128 + threadIdx.x, m = blockIdx.y;
    float sum = 0.f;
    for (int k0 = 0; k0 < K; k0 += 128) {
        const int depth = min(128, K - k0);
        __syncthreads();
        if (threadIdx.x < depth) row[threadIdx.x] = ws::to_float(x[(size_t)m * K + k0 + threadIdx.x]);
        __syncthreads();  // the chunk is complete
        if (n < N)
            for (int c = 0; c < depth; c++) {
                const int k = k0 + c, group = k / G;
                const int q = (qweight[(size_t)(k / 8) * N + n] >> (4 * (k % 8))) & 15;
                const int zero = zeros ? zeros[(size_t)group * N + n] : 8;
                sum = fmaf(row[c], (q - zero) * ws::to_float(scales[(size_t)group * N + n]), sum);
            }
    }
    if (n < N) y[(size_t)m * N + n] = ws::from_float<y_t>(sum);
}
