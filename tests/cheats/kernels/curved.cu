// /// kernel
// task = "curved"
//
// [[launch]]
// kernel = "second"
// grid = ["cdiv(N, 128)", "R"]
// block = 128
// ///
__global__ void second(const u_t* u, y_t* y, int N)
{
    int c = blockIdx.x * 128 + threadIdx.x;
    if (c >= N) return;
    const u_t* at = u + (size_t)blockIdx.y * (N + 2) + c;
    y[(size_t)blockIdx.y * N + c] = at[0] + at[2] - 2 * at[1];
}
