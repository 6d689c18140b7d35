// /// kernel
// task = "nsa_block_topk"
// tags = ["naive"]
// requires = "T // BS <= 5000"      # two floats a block in shared memory
//
// [[launch]]
// kernel = "select"
// grid = ["T", "H"]
// block = 32
// shared = "8 * (T // BS + 1) + 8 * 32"
// ///

// One block a token and key head. Every query head of the group in turn: logits of all complete blocks, their softmax,
// added to the blocks' scores. Then S times the largest score is taken and struck out.
//
//   threads ->  blocks 0 .. own            slots: one value a thread, halved until one is left
//   logit:     [ . . . . . . . ]
//   score:     [ + + + + + + + ]  own and 0 score infinity
struct Best { float value; int place; };

__device__ Best best_of_block(Best mine, Best* slots)
{
    slots[threadIdx.x] = mine;
    __syncthreads();
    for (int step = 16; step; step /= 2) {
        if (threadIdx.x < step) {
            const Best a = slots[threadIdx.x], b = slots[threadIdx.x + step];
            slots[threadIdx.x] = b.value > a.value || (b.value == a.value && b.place < a.place) ? b : a;
        }
        __syncthreads();
    }
    const Best result = slots[0];
    __syncthreads();
    return result;
}

__device__ float sum_of_block(float mine, Best* slots)
{
    slots[threadIdx.x].value = mine;
    __syncthreads();
    for (int step = 16; step; step /= 2) {
        if (threadIdx.x < step) slots[threadIdx.x].value += slots[threadIdx.x + step].value;
        __syncthreads();
    }
    const float result = slots[0].value;
    __syncthreads();
    return result;
}

__global__ void select(const q_t* __restrict__ q, const kc_t* __restrict__ kc, const int* __restrict__ cu_seqlens,
                       const int* __restrict__ cu_blocks, int* __restrict__ block_ids,
                       int T, int B, int H, int G, int D, int BS, int S)
{
    extern __shared__ Best slots[];
    float *logit = (float*)(slots + 32), *score = logit + (T / BS + 1);
    const int t = blockIdx.x, h = blockIdx.y;
    int b = 0;
    while (b + 1 < B && cu_seqlens[b + 1] <= t) b++;
    const int place = t - cu_seqlens[b], own = place / BS, complete = (place + 1) / BS;
    const kc_t* keys = kc + (size_t)cu_blocks[b] * H * D;

    for (int j = threadIdx.x; j <= own; j += blockDim.x) score[j] = 0.f;
    for (int g = 0; g < G; g++) {
        const q_t* query = q + ((size_t)t * H * G + h * G + g) * D;
        Best mine = {-INFINITY, 0};
        for (int j = threadIdx.x; j < complete; j += blockDim.x) {
            float dot = 0.f;
            for (int d = 0; d < D; d++) dot += ws::to_float(query[d]) * ws::to_float(keys[((size_t)j * H + h) * D + d]);
            logit[j] = dot * rsqrtf((float)D);
            mine.value = fmaxf(mine.value, logit[j]);
        }
        const float largest = best_of_block(mine, slots).value;
        float part = 0.f;
        for (int j = threadIdx.x; j < complete; j += blockDim.x) part += expf(logit[j] - largest);
        const float total = sum_of_block(part, slots);
        for (int j = threadIdx.x; j < complete; j += blockDim.x) score[j] += expf(logit[j] - largest) / total;
    }
    __syncthreads();
    if (threadIdx.x == 0) score[0] = score[own] = INFINITY;
    __syncthreads();
    for (int s = 0; s < S; s++) {
        Best mine = {-1.f, -1};
        for (int j = threadIdx.x; j <= own; j += blockDim.x)
            if (score[j] > mine.value) mine = {score[j], j};
        const Best best = best_of_block(mine, slots);
        if (threadIdx.x == 0) {
            block_ids[((size_t)h * T + t) * S + s] = best.place;
            if (best.place >= 0) score[best.place] = -1.f;
        }
        __syncthreads();
    }
}
