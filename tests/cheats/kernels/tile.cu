// /// kernel
// task = "linear"
//
// [[launch]]
// kernel = "gemm"
// grid = ["cdiv(N, 64)", "M"]
// block = 64
// ///

// One block computes 64 columns of one row; a chunk of x passes through shared memory between two barriers.
__global__ void gemm(const x_t* x, const w_t* w, const b_t* b, y_t* y, int M, int N, int K)
{
    __shared__ float row[64];
    const int n = blockIdx.x * 64 + threadIdx.x, m = blockIdx.y;
    float sum = 0.f;
    for (int k0 = 0; k0 < K; k0 += 64) {
        const int depth = min(64, K - k0);
        __syncthreads();
        if (threadIdx.x < depth) row[threadIdx.x] = ws::to_float(x[(size_t)m * K + k0 + threadIdx.x]);
        __syncthreads();  // the chunk is complete
        if (n < N)
            for (int c = 0; c < depth; c++) sum = fmaf(row[c], ws::to_float(w[(size_t)(k0 + c) * N + n]), sum);
    }
    if (n < N) y[(size_t)m * N + n] = ws::from_float<y_t>(sum + ws::to_float(b[n]));
}
