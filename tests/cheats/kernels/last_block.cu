// /// kernel
// task = "linear"
//
// [[buffer]]
// name = "partial"
// shape = [4, "M", "N"]
// dtype = "float32"
//
// [[buffer]]
// name = "tickets"
// shape = ["cdiv(N, 64)", "M"]
// dtype = "int32"
// init = 0
//
// [[launch]]
// kernel = "gemm"
// grid = ["cdiv(N, 64)", "M", 4]
// block = 64
// ///

// Four blocks share the sum of an output; the last to come, told by a ticket behind a fence, adds their parts.
__global__ void gemm(const x_t* x, const w_t* w, const b_t* b, float* partial, int* tickets, y_t* y, int M, int N, int K)
{
    __shared__ int last;
    const int n = blockIdx.x * 64 + threadIdx.x, m = blockIdx.y, part = blockIdx.z;
    const int span = (K + 3) / 4, end = min(K, (part + 1) * span);
    float sum = 0.f;
    if (n < N) {
        for (int k = part * span; k < end; k++)
            sum = fmaf(ws::to_float(x[(size_t)m * K + k]), ws::to_float(w[(size_t)k * N + n]), sum);
        partial[((size_t)part * M + m) * N + n] = sum;
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(tickets + (size_t)blockIdx.y * gridDim.x + blockIdx.x, 1) == 3;
    __syncthreads();
    if (last && n < N) {
        __threadfence();
        float total = ws::to_float(b[n]);
        for (int p = 0; p < 4; p++) total += partial[((size_t)p * M + m) * N + n];
        y[(size_t)m * N + n] = ws::from_float<y_t>(total);
    }
}
