// /// kernel
// task = "moe_forward"
// tags = ["naive"]
//
// [[buffer]]
// name = "ids"                          # experts of a token, the largest logit first
// shape = ["T", "TOPK"]
// dtype = "int32"
//
// [[buffer]]
// name = "share"                        # their weights
// shape = ["T", "TOPK"]
// dtype = "float32"
//
// [[buffer]]
// name = "hidden"
// shape = ["T * TOPK", "I"]
// dtype = "bfloat16"
//
// [[launch]]
// kernel = "route"
// grid = "T"
// block = 128
// shared = "4 * E"
//
// [[launch]]
// kernel = "up"
// grid = ["cdiv(I, 64)", "T * TOPK"]
// block = 64
//
// [[launch]]
// kernel = "down"
// grid = ["cdiv(H, 64)", "T"]
// block = 64
// ///

// route   a block a token: logits of all experts, then one thread takes the TOPK largest and their softmax
// up      a thread a hidden unit of a (token, choice): gate and up rows of its expert, silu(g) * u
// down    a thread an element of y: the weighted sum over the token's experts

// Both rows start at a multiple of 16 bytes, since H and I are multiples of 8.
__device__ float dot(const __nv_bfloat16* __restrict__ a, const __nv_bfloat16* __restrict__ b, int count)
{
    float sum = 0.f;
    for (int i = 0; i < count; i += 8) {
        const uint4 left = *(const uint4*)(a + i), right = *(const uint4*)(b + i);
        const unsigned l[4] = {left.x, left.y, left.z, left.w}, r[4] = {right.x, right.y, right.z, right.w};
        for (int j = 0; j < 4; j++) {
            sum += __uint_as_float(l[j] << 16) * __uint_as_float(r[j] << 16);
            sum += __uint_as_float(l[j] & 0xFFFF0000u) * __uint_as_float(r[j] & 0xFFFF0000u);
        }
    }
    return sum;
}

__global__ void route(const x_t* __restrict__ x, const router_t* __restrict__ router, int* __restrict__ ids,
                      float* __restrict__ share, int H, int E, int TOPK)
{
    extern __shared__ float logit[];
    const int t = blockIdx.x;
    for (int e = threadIdx.x; e < E; e += blockDim.x) {
        logit[e] = dot(x + (size_t)t * H, router + (size_t)e * H, H);
    }
    __syncthreads();
    if (threadIdx.x) return;
    float largest = 0.f, total = 0.f;
    for (int k = 0; k < TOPK; k++) {
        int best = -1;
        for (int e = 0; e < E; e++)
            if (logit[e] > -INFINITY && (best < 0 || logit[e] > logit[best])) best = e;
        if (k == 0) largest = logit[best];
        const float weight = expf(logit[best] - largest);
        ids[t * TOPK + k] = best;
        share[t * TOPK + k] = weight;
        total += weight;
        logit[best] = -INFINITY;
    }
    for (int k = 0; k < TOPK; k++) share[t * TOPK + k] /= total;
}

__global__ void up(const x_t* __restrict__ x, const w1_t* __restrict__ w1, const int* __restrict__ ids,
                   hidden_t* __restrict__ hidden, int H, int I, int TOPK)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x, entry = blockIdx.y;
    if (i >= I) return;
    const x_t* token = x + (size_t)(entry / TOPK) * H;
    const w1_t* gate = w1 + ((size_t)ids[entry] * 2 * I + 2 * i) * H;
    const float g = dot(token, gate, H), u = dot(token, gate + H, H);
    hidden[(size_t)entry * I + i] = ws::from_float<hidden_t>(g / (1.f + expf(-g)) * u);
}

__global__ void down(const w2_t* __restrict__ w2, const int* __restrict__ ids, const float* __restrict__ share,
                     const hidden_t* __restrict__ hidden, y_t* __restrict__ y, int H, int I, int TOPK)
{
    const int h = blockIdx.x * blockDim.x + threadIdx.x, t = blockIdx.y;
    if (h >= H) return;
    float sum = 0.f;
    for (int k = 0; k < TOPK; k++) {
        const int entry = t * TOPK + k;
        sum += share[entry] * dot(w2 + ((size_t)ids[entry] * H + h) * I, hidden + (size_t)entry * I, I);
    }
    y[(size_t)t * H + h] = ws::from_float<y_t>(sum);
}
