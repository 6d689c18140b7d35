// /// kernel
// task = "wide_rows"
//
// [[launch]]
// kernel = "sum_rows"
// grid = "SMS"
// block = 256
// ///

// A block a multiprocessor; while it has two rows left it sums them together.
__device__ void put(float value, y_t* to, float* warps)
{
    for (int step = 16; step; step /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, step);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int w = 1; w < 8; w++) value += warps[w];
        *to = value;
    }
    __syncthreads();
}

__global__ void sum_rows(const x_t* __restrict__ x, y_t* __restrict__ y, int M, int N, int SMS)
{
    __shared__ float warps[8];
    for (int m = blockIdx.x; m < M; m += 2 * SMS) {
        const x_t* row = x + (size_t)m * N;
        float one = 0.f, other = 0.f;
        if (m + SMS < M) {
            for (int n = threadIdx.x; n < N; n += 256) {
                one += ws::to_float(row[n]);
                other += ws::to_float(row[(size_t)SMS * N + n]);
            }
            put(one, y + m, warps);
            put(other, y + m + SMS, warps);
        } else {
            for (int n = threadIdx.x; n < N; n += 256) one += ws::to_float(row[n]);
            put(one, y + m, warps);
        }
    }
}
