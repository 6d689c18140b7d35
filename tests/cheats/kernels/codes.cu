// A warp a row: its largest magnitude by shuffles, then its codes.
//
// /// kernel
// task = "codes"
//
// [[launch]]
// kernel = "codes"
// grid = "R"
// block = 32
// ///
__global__ void codes(const x_t* x, q_t* q, scale_t* scale, int C)
{
    const size_t row = (size_t)blockIdx.x * C;
    float largest = 0.f;
    for (int c = threadIdx.x; c < C; c += 32) largest = fmaxf(largest, fabsf(ws::to_float(x[row + c])));
    for (int o = 16; o; o /= 2) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, o));
    const float step = largest / 127.f;
    if (threadIdx.x == 0) scale[blockIdx.x] = step;
    for (int c = threadIdx.x; c < C; c += 32) q[row + c] = step > 0.f ? (q_t)__float2int_rn(ws::to_float(x[row + c]) / step) : 0;
}
