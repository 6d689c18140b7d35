// /// kernel
// task = "layers"
// tags = ["naive"]
//
// [[launch]]
// kernel = "convolve"
// grid = ["NOUT", "cdiv(COUT, 64)"]
// block = 64
// ///

// One thread an output channel of a site: it walks over the offsets, skips those without a neighbour, and sums.
//
//   threads -> COUT      kmap[o]: [ 7 -1 3 ... ]      y[o, c] = sum_v sum_i feats[kmap[o, v], i] * w[v, i, c]
__global__ void convolve(const feats_t* __restrict__ feats, const w_t* __restrict__ w, const int* __restrict__ kmap,
                         y_t* __restrict__ y, int V, int CIN, int COUT)
{
    const int o = blockIdx.x, c = blockIdx.y * blockDim.x + threadIdx.x;
    if (c >= COUT) return;
    float sum = 0.f;
    for (int v = 0; v < V; v++) {
        const int row = kmap[(size_t)o * V + v];
        if (row < 0) continue;
        for (int i = 0; i < CIN; i++)
            sum += ws::to_float(feats[(size_t)row * CIN + i]) * ws::to_float(w[((size_t)v * CIN + i) * COUT + c]);
    }
    y[(size_t)o * COUT + c] = ws::from_float<y_t>(sum);
}
