// /// kernel
// task = "linear"
//
// [[launch]]
// kernel = "gemm"
// grid = "min(cdiv(N, 64) * M, RESIDENT)"
// block = 64
// ///

// As many blocks as fit, each of which takes every so-many-th tile.
__global__ void gemm(const x_t* x, const w_t* w, const b_t* b, y_t* y, int M, int N, int K)
{
    const int columns = (N + 63) / 64;
    float sum = 0.f;
    for (int tile = blockIdx.x; tile < columns * M; tile += gridDim.x) {
        const int n = tile % columns * 64 + threadIdx.x, m = tile / columns;
        sum = 0.f;
        if (n < N) {
            for (int k = 0; k < K; k++) sum = fmaf(ws::to_float(x[(size_t)m * K + k]), ws::to_float(w[(size_t)k * N + n]), sum);
            y[(size_t)m * N + n] = ws::from_float<y_t>(sum + ws::to_float(b[n]));
        }
    }
}
