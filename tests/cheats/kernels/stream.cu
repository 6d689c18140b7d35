// /// kernel
// task = "linear"
//
// [[buffer]]
// name = "acc"
// shape = ["M", "N"]
// dtype = "float32"
// init = 0
//
// [[launch]]
// kernel = "gemm"
// grid = "min(cdiv(N, 64) * M, SMS)"
// block = 64
//
// [[launch]]
// kernel = "finish"
// grid = "cdiv(M * N, 128)"
// block = 128
// ///

// Stream-K: every block takes an equal stretch of all tiles' chunks, and sums meet in atomics.
__global__ void gemm(const x_t* x, const w_t* w, float* acc, int M, int N, int K)
{
    const int columns = (N + 63) / 64, chunks = (K + 31) / 32;
    const long long all = (long long)columns * M * chunks, each = (all + gridDim.x - 1) / gridDim.x;
    long long at = each * blockIdx.x;
    const long long stop = min(all, at + each);
    while (at < stop) {
        const int tile = at / chunks, first = at % chunks;
        const int last = (int)min((long long)chunks, first + (stop - at));
        const int n = tile % columns * 64 + threadIdx.x, m = tile / columns;
        if (n < N) {
            float sum = 0.f;
            for (int k = first * 32; k < min(K, last * 32); k++)
                sum = fmaf(ws::to_float(x[(size_t)m * K + k]), ws::to_float(w[(size_t)k * N + n]), sum);
            atomicAdd(acc + (size_t)m * N + n, sum);
        }
        at += last - first;
    }
}
__global__ void finish(const float* acc, const b_t* b, y_t* y, int M, int N)
{
    const int i = blockIdx.x * 128 + threadIdx.x;
    if (i < M * N) y[i] = ws::from_float<y_t>(acc[i] + ws::to_float(b[i % N]));
}
