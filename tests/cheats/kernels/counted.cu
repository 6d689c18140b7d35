// /// kernel
// task = "counted"
//
// [[launch]]
// fill = "y"
// value = 0
//
// [[launch]]
// kernel = "count"
// grid = "cdiv(N, 1024)"
// block = 256
// ///

// Each block counts 1024 codes in shared memory and adds what it found to everybody's counts.
__global__ void count(const int* x, int* y, int N)
{
    __shared__ int found[256];
    found[threadIdx.x] = 0;
    __syncthreads();
    for (int i = blockIdx.x * 1024 + threadIdx.x; i < min(N, (int)blockIdx.x * 1024 + 1024); i += 256)
        atomicAdd(&found[x[i]], 1);
    __syncthreads();
    if (found[threadIdx.x]) atomicAdd(&y[threadIdx.x], found[threadIdx.x]);
}
