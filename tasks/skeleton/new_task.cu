// A block a row: plain, right and slow. What is faster must beat it.
//
// /// kernel
// task = "new_task"
// tags = ["naive"]
//
// [tune]
// THREADS = [128, 256, 512]
//
// [[launch]]
// kernel = "rms_norm"
// grid = "ROWS"
// block = "THREADS"
// ///

__global__ void rms_norm(const x_t* __restrict__ x, const weight_t* __restrict__ weight, y_t* __restrict__ y,
                         int COLUMNS)
{
    __shared__ float partial[THREADS];
    const long long row = (long long)blockIdx.x * COLUMNS;

    float sum = 0.0f;
    for (int c = threadIdx.x; c < COLUMNS; c += THREADS) {
        const float value = ws::to_float(x[row + c]);
        sum += value * value;
    }
    partial[threadIdx.x] = sum;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
        __syncthreads();
    }

    const float scale = rsqrtf(partial[0] / COLUMNS + 1e-6f);
    for (int c = threadIdx.x; c < COLUMNS; c += THREADS)
        y[row + c] = ws::from_float<y_t>(ws::to_float(x[row + c]) * scale * ws::to_float(weight[c]));
}
