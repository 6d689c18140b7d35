// /// kernel
// task = "largest"
// [[launch]]
// kernel = "largest"
// grid = "cdiv(R, 64)"
// block = 64
// ///
__global__ void largest(const x_t* x, int* index, int R, int C) {
    int r = blockIdx.x * 64 + threadIdx.x;
    if (r >= R) return;
    float best = -INFINITY;
    int at = 0;
    for (int c = 0; c < C; c++) {
        float v = x[(size_t)r * C + c];
        if (v > best) { best = v; at = c; }
    }
    index[r] = at;
}
