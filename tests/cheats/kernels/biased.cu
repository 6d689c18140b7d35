// /// kernel
// task = "biased"
//
// [[launch]]
// kernel = "gemm<false>"
// grid = ["cdiv(N, 64)", "M"]
// block = 64
// when = "not has_b"
//
// [[launch]]
// kernel = "gemm<true>"
// grid = ["cdiv(N, 64)", "M"]
// block = 64
// when = "has_b"
// ///

// Two kernels, one of which never looks at the bias.
template <bool BIAS>
__global__ void gemm(const x_t* x, const w_t* w, const b_t* b, y_t* y, int M, int N, int K)
{
    const int n = blockIdx.x * 64 + threadIdx.x, m = blockIdx.y;
    if (n >= N) return;
    float sum = 0.f;
    for (int k = 0; k < K; k++) sum = fmaf(ws::to_float(x[(size_t)m * K + k]), ws::to_float(w[(size_t)k * N + n]), sum);
    if (BIAS) sum += ws::to_float(b[n]);
    y[(size_t)m * N + n] = ws::from_float<y_t>(sum);
}
