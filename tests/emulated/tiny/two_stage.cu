// /// kernel
// task = "row_sums"
//
// [tune]
// BLOCK = [256, 128]
//
// [[buffer]]
// name = "partial"
// shape = ["M", "64"]
// dtype = "float32"
//
// [[launch]]
// kernel = "row_sums"
// grid = "min(RESIDENT, cdiv(64 * M, BLOCK))"
// block = "BLOCK"
// cooperative = true
// ///
#include <cooperative_groups.h>

// Every thread sums a sixty-fourth of a row; behind the grid barrier a thread adds up a row's parts.
__global__ void row_sums(const x_t* __restrict__ x, float* partial, y_t* __restrict__ y, int M, int N)
{
    const int threads = gridDim.x * blockDim.x, first = blockIdx.x * blockDim.x + threadIdx.x;
    for (int i = first; i < M * 64; i += threads) {
        float sum = 0.f;
        for (int c = i % 64; c < N; c += 64) sum += ws::to_float(x[i / 64 * N + c]);
        partial[i] = sum;
    }
    cooperative_groups::this_grid().sync();
    for (int m = first; m < M; m += threads) {
        float sum = 0.f;
        for (int c = 0; c < 64; c++) sum += partial[m * 64 + c];
        y[m] = sum;
    }
}
