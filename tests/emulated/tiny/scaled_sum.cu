// /// kernel
// task = "scaled_sum"
//
// [tune]
// EACH = [16, 8, 4, 2, 1]                 # neighbouring elements of one thread: one coalesces, sixteen do not
// BLOCK = [64, 256]
//
// [[launch]]
// kernel = "scaled_sum"
// grid = "cdiv(N, BLOCK * EACH)"
// block = "BLOCK"
// ///

__global__ void scaled_sum(const x_t* __restrict__ x, const b_t* __restrict__ b, y_t* __restrict__ y, int N, int A)
{
    const int first = (blockIdx.x * BLOCK + threadIdx.x) * EACH;
    for (int i = first; i < min(first + EACH, N); i++) y[i] = A * x[i] + b[i];
}
