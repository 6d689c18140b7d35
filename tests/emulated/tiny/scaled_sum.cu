// /// kernel
// task = "scaled_sum"
//
// [tune]
// BLOCK = [32, 64, 128, 256]
// EACH = [1, 2, 4]                        # elements of one thread
//
// [[launch]]
// kernel = "scaled_sum"
// grid = "cdiv(N, BLOCK * EACH)"
// block = "BLOCK"
// ///

__global__ void scaled_sum(const x_t* __restrict__ x, const b_t* __restrict__ b, y_t* __restrict__ y, int N, int A)
{
#pragma unroll
    for (int e = 0; e < EACH; e++) {
        const int i = (blockIdx.x * EACH + e) * BLOCK + threadIdx.x;
        if (i < N) y[i] = A * x[i] + b[i];
    }
}
