// /// kernel
// task = "quantized"
// tags = []
//
// [[launch]]
// kernel = "gemm"
// grid = ["cdiv(N, 256)", "min(M, 65535)"]
// block = 256
// ///

// One thread makes one output: it walks down a column of W, unpacks eight codes from each word, and sums in float.
//
//             n ->  256 threads
//        x          qweight          y
//   m  [.......]    [ | | | ]    [ | | | ]
//       k ->        k down
//
// A warp reads 32 neighbouring words of qweight and one x for all, so loads coalesce. W is unpacked once for every row
// of x. Nothing is assumed of M, N, K and G beyond the task's own constraints.
__global__ void gemm(const x_t* __restrict__ x, const qweight_t* __restrict__ qweight,
                     const scales_t* __restrict__ scales, const zeros_t* __restrict__ zeros,
                     y_t* __restrict__ y, int M, int N, int K, int G)
{
    const int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= N) return;
    for (int m = blockIdx.y; m < M; m += gridDim.y) {
        float sum = 0.f;
        for (int k = 0; k < K; k += 8) {
            const unsigned word = qweight[(size_t)(k / 8) * N + n];
            const float scale = ws::to_float(scales[(size_t)(k / G) * N + n]);
            const int zero = zeros ? zeros[(size_t)(k / G) * N + n] : 8;
            for (int i = 0; i < 8; i++) {
                const int code = (int)((word >> (4 * i)) & 15u) - zero;
                sum += ws::to_float(x[(size_t)m * K + k + i]) * (code * scale);
            }
        }
        y[(size_t)m * N + n] = ws::from_float<y_t>(sum);
    }
}
