// /// kernel
// task = "linear"
//
// [[launch]]
// kernel = "gemm"
// grid = ["cdiv(N, 128)", "M"]
// block = 64
// ///

// Two columns a thread, loaded and stored together where N and the pointers allow it.
__global__ void gemm(const x_t* __restrict__ x, const w_t* __restrict__ w, const b_t* __restrict__ b, y_t* y, int M, int N, int K)
{
    const int n = (blockIdx.x * 64 + threadIdx.x) * 2, m = blockIdx.y;
    if (n >= N) return;
    float s0 = 0.f, s1 = 0.f;
    if (n + 1 < N && N % 2 == 0 && ((size_t)w & 3) == 0) {
        for (int k = 0; k < K; k++) {
            const float a = ws::to_float(x[(size_t)m * K + k]);
            const __half2 p = *(const __half2*)(w + (size_t)k * N + n);
            s0 = fmaf(a, __low2float(p), s0); s1 = fmaf(a, __high2float(p), s1);
        }
        *(__half2*)(y + (size_t)m * N + n) = __floats2half2_rn(s0 + ws::to_float(b[n]), s1 + ws::to_float(b[n + 1]));
    } else {
        for (int k = 0; k < K; k++) {
            const float a = ws::to_float(x[(size_t)m * K + k]);
            s0 = fmaf(a, ws::to_float(w[(size_t)k * N + n]), s0);
            if (n + 1 < N) s1 = fmaf(a, ws::to_float(w[(size_t)k * N + n + 1]), s1);
        }
        y[(size_t)m * N + n] = ws::from_float<y_t>(s0 + ws::to_float(b[n]));
        if (n + 1 < N) y[(size_t)m * N + n + 1] = ws::from_float<y_t>(s1 + ws::to_float(b[n + 1]));
    }
}
