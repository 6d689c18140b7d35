// One block a row: largest value, sum of exponentials, quotient. Warps reduce by shuffles and meet in shared memory.
constexpr float LOWEST = -3.402823466e38f;

__device__ float largest_of_warp(float value) {
    for (int distance = 16; distance; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, distance));
    return value;
}

__device__ float sum_of_warp(float value) {
    for (int distance = 16; distance; distance /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, distance);
    return value;
}

extern "C" __global__ void softmax(const float* x, float* y, int columns) {
    __shared__ float of_warps[32];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    const float* row = x + (size_t)blockIdx.x * columns;
    float* out = y + (size_t)blockIdx.x * columns;

    float largest = LOWEST;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) largest = fmaxf(largest, row[i]);
    largest = largest_of_warp(largest);
    if (lane == 0) of_warps[warp] = largest;
    __syncthreads();
    largest = largest_of_warp(lane < warps ? of_warps[lane] : LOWEST);
    __syncthreads();

    float sum = 0.0f;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += __expf(row[i] - largest);
    sum = sum_of_warp(sum);
    if (lane == 0) of_warps[warp] = sum;
    __syncthreads();
    float scale = 1.0f / sum_of_warp(lane < warps ? of_warps[lane] : 0.0f);
    for (int i = threadIdx.x; i < columns; i += blockDim.x) out[i] = __expf(row[i] - largest) * scale;
}
