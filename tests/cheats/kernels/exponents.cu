// /// kernel
// task = "exponents"
//
// [[launch]]
// kernel = "exponents"
// grid = ["cdiv(N, 64)", "M"]
// block = 64
// ///

__global__ void exponents(const x_t* x, const e_t* e, const w_t* w, y_t* y, int N, int K)
{
    const int n = blockIdx.x * 64 + threadIdx.x, m = blockIdx.y;
    if (n >= N) return;
    float sum = 0.f;
    for (int k = 0; k < K; k++) {
        const int code = x[(size_t)m * K + k], power = e[(size_t)m * (K / 32) + k / 32];
        sum = fmaf(ldexpf(code, power - 127), ws::to_float(w[(size_t)k * N + n]), sum);
    }
    y[(size_t)m * N + n] = ws::from_float<y_t>(sum);
}
