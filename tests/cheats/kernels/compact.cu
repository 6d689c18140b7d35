// /// kernel
// task = "compact"
//
// [let]
// HAS = "has_scale"
//
// [[buffer]]
// name = "counts"
// shape = ["BLOCKS"]
// dtype = "int32"
//
// [[launch]]
// kernel = "count"
// grid = "BLOCKS"
// block = 256
//
// [[launch]]
// kernel = "place"
// grid = "BLOCKS"
// block = 256
// ///
__device__ bool keeps(float v, float l) { return v > l || v != v; }
__global__ void count(const x_t* x, const limit_t* limit, int* counts, int N)
{
    int i = blockIdx.x * 256 + threadIdx.x;
    int n = __syncthreads_count(i < N && keeps(x[i], limit[0]));
    if (threadIdx.x == 0) counts[blockIdx.x] = n;
}
__global__ void place(const x_t* x, const limit_t* limit, const scale_t* scale, const int* counts, vals_t* vals, n_out_t* n_out, int N, int HAS, int BLOCKS)
{
    __shared__ int flags[256];
    int i = blockIdx.x * 256 + threadIdx.x, before = 0;
    for (int b = 0; b < blockIdx.x; b++) before += counts[b];
    bool keep = i < N && keeps(x[i], limit[0]);
    flags[threadIdx.x] = keep;
    __syncthreads();
    for (int t = 0; t < threadIdx.x; t++) before += flags[t];
    if (keep) vals[before] = x[i] * 2 * (HAS ? scale[0] : 1.f);
    if (blockIdx.x == BLOCKS - 1 && threadIdx.x == 255) n_out[0] = before + keep;
}
