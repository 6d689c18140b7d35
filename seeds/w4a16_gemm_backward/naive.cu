// /// kernel
// task = "w4a16_gemm_backward"
// tags = ["naive"]
//
// [tune]
// ROWS = [4, 8, 1]                        # rows of dy for which a warp unpacks a word once
// WARPS = [4, 8]
//
// [[launch]]
// kernel = "backward"
// grid = ["cdiv(K // 8, WARPS)", "min(cdiv(M, ROWS), 65535)"]
// block = "32 * WARPS"
// ///

// A warp makes eight neighbouring k of ROWS rows of dx: its lanes walk along a row of qweight, where a word holds just
// those eight k of one column, and sum over columns in float; a butterfly of shuffles joins the lanes.
//
//            n ->                    n ->               k ->
//      dy  [.......]  m    qweight  [|||||||]     dx  [........]  m
//
// Words and gradients of 32 neighbouring columns load together. Nothing is assumed beyond the task's constraints.
__global__ void backward(const dy_t* __restrict__ dy, const qweight_t* __restrict__ qweight,
                         const scales_t* __restrict__ scales, const zeros_t* __restrict__ zeros,
                         dx_t* __restrict__ dx, int M, int N, int K, int G)
{
    const int lane = threadIdx.x % 32, word_row = blockIdx.x * WARPS + threadIdx.x / 32;
    if (word_row >= K / 8) return;  // a whole warp at a time
    const int group = word_row * 8 / G;
    for (int first = blockIdx.y * ROWS; first < M; first += gridDim.y * ROWS) {
        float sums[ROWS][8] = {};
        for (int n = lane; n < N; n += 32) {
            const unsigned word = qweight[(size_t)word_row * N + n];
            const float scale = ws::to_float(scales[(size_t)group * N + n]);
            const int zero = zeros ? zeros[(size_t)group * N + n] : 8;
            float weight[8];
            for (int i = 0; i < 8; i++) weight[i] = ((int)((word >> (4 * i)) & 15u) - zero) * scale;
            for (int row = 0; row < ROWS; row++) {
                if (first + row >= M) break;
                const float gradient = ws::to_float(dy[(size_t)(first + row) * N + n]);
                for (int i = 0; i < 8; i++) sums[row][i] += gradient * weight[i];
            }
        }
        for (int row = 0; row < ROWS; row++) {
            for (int i = 0; i < 8; i++) {
                float sum = sums[row][i];
                for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
                if (lane == i && first + row < M) {
                    dx[(size_t)(first + row) * K + word_row * 8 + i] = ws::from_float<dx_t>(sum);
                }
            }
        }
    }
}
