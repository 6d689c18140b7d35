// /// kernel
// task = "linear"
//
// [[buffer]]
// name = "partial"
// shape = [4, "M", "N"]
// dtype = "float32"
//
// [[launch]]
// kernel = "gemm"
// grid = ["cdiv(N, 64)", "M", 4]
// block = 64
//
// [[launch]]
// kernel = "reduce"
// grid = "cdiv(M * N, 128)"
// block = 128
// ///

// Four blocks share the sum of an output; a second launch adds their parts.
__global__ void gemm(const x_t* x, const w_t* w, float* partial, int M, int N, int K)
{
    const int n = blockIdx.x * 64 + threadIdx.x, m = blockIdx.y, part = blockIdx.z;
    const int span = (K + 3) / 4, end = min(K, (part + 1) * span);
    if (n >= N) return;
    float sum = 0.f;
    for (int k = part * span; k < end; k++)
        sum = fmaf(ws::to_float(x[(size_t)m * K + k]), ws::to_float(w[(size_t)k * N + n]), sum);
    partial[((size_t)part * M + m) * N + n] = sum;
}

__global__ void reduce(const float* partial, const b_t* b, y_t* y, int M, int N)
{
    const int i = blockIdx.x * 128 + threadIdx.x;
    if (i >= M * N) return;
    float sum = ws::to_float(b[i % N]);
    for (int part = 0; part < 4; part++) sum += partial[(size_t)part * M * N + i];
    y[i] = ws::from_float<y_t>(sum);
}
