// /// kernel
// task = "inplace"
//
// [[launch]]
// fill = "norm"
// value = 0
//
// [[launch]]
// kernel = "step"
// grid = ["cdiv(C, 64)", "R"]
// block = 64
// ///
__global__ void step(state_t* state, const g_t* g, norm_t* norm, int C)
{
    int c = blockIdx.x * 64 + threadIdx.x;
    if (c >= C) return;
    size_t i = (size_t)blockIdx.y * C + c;
    float v = g[i];
    state[i] = fmaf(state[i], 0.9f, v);
    atomicAdd(norm + blockIdx.y, v * v);
}
