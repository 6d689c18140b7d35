// /// kernel
// task = "scale_rows"
// requires = "N % 4 == 0"
// constants = ["G"]
// tags = ["two_pass"]
//
// [tune]
// BM = [2, 4]
// BN = [64, 32]
// where = "BM * BN <= 128"
//
// [let]
// TILES = "cdiv(N, BN)"
// THREADS = "BM * BN"
//
// [[buffer]]
// name = "partial"
// shape = ["M", "TILES"]
// dtype = "float32"
// init = 0
//
// [[buffer]]
// name = "packed"
// shape = ["N"]
// dtype = "w_t"
// prepared = true
//
// [[prepare]]
// kernel = "pack"
// grid = "cdiv(N, 256)"
// block = 256
//
// [[launch]]
// fill = "y"
// value = 0
//
// [[launch]]
// kernel = "sums<BM>"
// grid = ["TILES", "cdiv(M, BM)"]
// block = ["BN", "BM"]
// shared = "THREADS * size(partial)"
//
// [[launch]]
// kernel = "scale"
// when = "M > 0"
// repeat = "cdiv(M, 2)"
// grid = ["TILES"]
// block = "BN"
// args = { rows = "min(M - 2 * i, 2)", first = "2 * i" }
// ///

__global__ void pack(const w_t* w, w_t* packed, int N)
{
    const int n = blockIdx.x * 256 + threadIdx.x;
    if (n < N) packed[n] = w[n];
}

template <int ROWS>
__global__ void __launch_bounds__(BN* ROWS) sums(const x_t* __restrict__ x, float* __restrict__ partial, int M, int N)
{
    extern __shared__ float tile[];
    const int n = blockIdx.x * BN + threadIdx.x, m = blockIdx.y * ROWS + threadIdx.y;
    float* row = tile + threadIdx.y * BN;
    row[threadIdx.x] = m < M && n < N ? ws::to_float(x[(size_t)m * N + n]) : 0.f;
    __syncthreads();
    if (threadIdx.x == 0 && m < M) {
        float sum = 0.f;
        for (int i = 0; i < BN; i++) sum += row[i];
        partial[(size_t)m * gridDim.x + blockIdx.x] = sum;
    }
}

__global__ void scale(const x_t* x, const w_t* packed, const float* partial, y_t* y, int TILES, int N, int first, int rows)
{
    const int n = blockIdx.x * blockDim.x + threadIdx.x;
    for (int m = first; m < first + rows && n < N; m++) {
        float sum = 0.f;
        for (int t = 0; t < TILES; t++) sum += partial[(size_t)m * TILES + t];
        y[(size_t)m * N + n] = ws::from_float<y_t>(ws::to_float(x[(size_t)m * N + n]) * ws::to_float(packed[n / G * G]) / sum);
    }
}
