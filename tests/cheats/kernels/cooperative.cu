// /// kernel
// task = "linear"
//
// [[buffer]]
// name = "partial"
// shape = [2, "M", "N"]
// dtype = "float32"
//
// [[launch]]
// kernel = "gemm"
// grid = "min(RESIDENT, 64)"
// block = 128
// cooperative = true
// ///

// Both halves of K in one launch, added behind a grid-wide barrier.
#include <cooperative_groups.h>
__global__ void gemm(const x_t* x, const w_t* w, const b_t* b, float* partial, y_t* y, int M, int N, int K)
{
    const int step = gridDim.x * 128, mn = M * N;
    for (int i = blockIdx.x * 128 + threadIdx.x; i < 2 * mn; i += step) {
        const int part = i / mn, m = i % mn / N, n = i % mn % N;
        const int half_k = K / 2, from = part ? half_k : 0, to = part ? K : half_k;
        float sum = 0.f;
        for (int k = from; k < to; k++) sum = fmaf(ws::to_float(x[(size_t)m * K + k]), ws::to_float(w[(size_t)k * N + n]), sum);
        partial[i] = sum;
    }
    cooperative_groups::this_grid().sync();
    for (int i = blockIdx.x * 128 + threadIdx.x; i < mn; i += step)
        y[i] = ws::from_float<y_t>(partial[i] + partial[i + mn] + ws::to_float(b[i % N]));
}
