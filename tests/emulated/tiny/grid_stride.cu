// /// kernel
// task = "scaled_sum"
//
// [[launch]]
// kernel = "scaled_sum"
// grid = "min(cdiv(N, 256), 2 * SMS)"
// block = 256
// ///

__global__ void scaled_sum(const x_t* __restrict__ x, const b_t* __restrict__ b, y_t* __restrict__ y, int N, int A)
{
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < N; i += gridDim.x * blockDim.x) y[i] = A * x[i] + b[i];
}
