// /// kernel
// task = "row_sums"
//
// [tune]
// THREADS = [128, 256]
// SPLIT = [4, 1, 8]
//
// [[buffer]]
// name = "partial"
// shape = ["SPLIT", "M"]
// dtype = "float32"
//
// [[launch]]
// kernel = "sum_parts<THREADS>"
// grid = ["M", "SPLIT"]
// block = "THREADS"
//
// [[launch]]
// kernel = "add_parts"
// grid = "cdiv(M, 256)"
// block = 256
// ///
template <int T>
__global__ void sum_parts(const x_t* __restrict__ x, float* __restrict__ partial, int M, int N)
{
    __shared__ float warps[T / 32];
    const size_t row = blockIdx.x;
    float sum = 0.f;
    for (int n = blockIdx.y * T + threadIdx.x; n < N; n += SPLIT * T) sum += ws::to_float(x[row * N + n]);
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int w = 1; w < T / 32; w++) sum += warps[w];
        partial[(size_t)blockIdx.y * M + row] = sum;
    }
}

__global__ void add_parts(const float* __restrict__ partial, y_t* __restrict__ y, int M)
{
    const int m = blockIdx.x * blockDim.x + threadIdx.x;
    if (m >= M) return;
    float sum = 0.f;
    for (int s = 0; s < SPLIT; s++) sum += partial[(size_t)s * M + m];
    y[m] = ws::from_float<y_t>(sum);
}
