// /// kernel
// task = "row_argmax"
// [[launch]]
// kernel = "last_largest"
// grid = "cdiv(R, 64)"
// block = 64
// ///
// One thread a row; the last of equal elements wins, where the reference takes the first.
__global__ void last_largest(const x_t* x, value_t* value, int* index, int R, int C) {
    int r = blockIdx.x * 64 + threadIdx.x;
    if (r >= R) return;
    float best = -INFINITY;
    int at = 0;
    for (int c = 0; c < C; c++) {
        float v = ws::to_float(x[(size_t)r * C + c]);
        if (v >= best) { best = v; at = c; }
    }
    value[r] = ws::from_float<value_t>(best);
    index[r] = at;
}
