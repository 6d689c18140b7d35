// /// kernel
// task = "linear"
//
// [[buffer]]
// name = "columns"
// shape = ["N", "K"]
// dtype = "w_t"
// prepared = true
//
// [[prepare]]
// kernel = "transpose"
// grid = "cdiv(N * K, 128)"
// block = 128
//
// [[launch]]
// kernel = "gemm"
// grid = ["cdiv(N, 64)", "M"]
// block = 64
// ///

// Weights are transposed once; a thread then reads its own column.
__global__ void transpose(const w_t* w, w_t* columns, int N, int K)
{
    const int i = blockIdx.x * 128 + threadIdx.x;
    if (i < N * K) columns[(size_t)(i % N) * K + i / N] = w[i];
}

__global__ void gemm(const x_t* x, const w_t* columns, const b_t* b, y_t* y, int M, int N, int K)
{
    const int n = blockIdx.x * 64 + threadIdx.x, m = blockIdx.y;
    if (n >= N) return;
    float sum = ws::to_float(b[n]);
    for (int k = 0; k < K; k++) sum = fmaf(ws::to_float(x[(size_t)m * K + k]), ws::to_float(columns[(size_t)n * K + k]), sum);
    y[(size_t)m * N + n] = ws::from_float<y_t>(sum);
}
