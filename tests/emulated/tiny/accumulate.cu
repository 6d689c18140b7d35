// /// kernel
// task = "accumulate"
// requires = "N < 1000"
//
// [[launch]]
// kernel = "accumulate"
// grid = "cdiv(N, 64)"
// block = "64"
// ///
__global__ void accumulate(acc_t* __restrict__ acc, const x_t* __restrict__ x, scaled_t* __restrict__ scaled, int N, int A)
{
    const int i = blockIdx.x * 64 + threadIdx.x;
    if (i >= N) return;
    acc[i] += x[i];
    scaled[i] = A * x[i];
}
