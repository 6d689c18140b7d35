// /// kernel
// task = "vocabulary"
//
// [[launch]]
// kernel = "vocabulary"
// grid = "N"
// block = 256
// ///

template <bool LARGEST>
__device__ float joined(float value)
{
    __shared__ float parts[256];
    parts[threadIdx.x] = value;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            const float other = parts[threadIdx.x + half];
            parts[threadIdx.x] = LARGEST ? fmaxf(parts[threadIdx.x], other) : parts[threadIdx.x] + other;
        }
        __syncthreads();
    }
    const float result = parts[0];
    __syncthreads();
    return result;
}

__global__ void vocabulary(const x_t* __restrict__ x, float* __restrict__ y, int V)
{
    const x_t* row = x + (size_t)blockIdx.x * V;
    float largest = -INFINITY, sum = 0.f;
    for (int i = threadIdx.x; i < V; i += 256) largest = fmaxf(largest, ws::to_float(row[i]));
    largest = joined<true>(largest);
    for (int i = threadIdx.x; i < V; i += 256) sum += expf(ws::to_float(row[i]) - largest);
    sum = joined<false>(sum);
    if (threadIdx.x == 0) y[blockIdx.x] = largest + logf(sum);
}
