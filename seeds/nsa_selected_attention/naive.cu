// /// kernel
// task = "nsa_selected_attention"
// tags = ["naive"]
//
// [[launch]]
// kernel = "attend"
// grid = ["T", "HQ"]
// block = 128
// shared = "4 * S * BS + 4 * 128"
// ///

// One block a query head of a token: all scores into shared memory, their softmax, then one thread a value column.
//
//   threads ->  keys of the S selected blocks     threads ->  DV columns
//   score:     [ . . . | . . . | . . . ]           sum over the same keys of weight * v
//
// Keys that must not be seen (holes, later tokens) score -inf and are never read.
__device__ float over_block(float value, float* slots, bool largest)
{
    slots[threadIdx.x] = value;
    __syncthreads();
    for (int step = 64; step; step /= 2) {
        if (threadIdx.x < step) {
            const float other = slots[threadIdx.x + step];
            slots[threadIdx.x] = largest ? fmaxf(slots[threadIdx.x], other) : slots[threadIdx.x] + other;
        }
        __syncthreads();
    }
    const float result = slots[0];
    __syncthreads();
    return result;
}

__global__ void attend(const q_t* __restrict__ q, const k_t* __restrict__ k, const v_t* __restrict__ v,
                       const int* __restrict__ block_ids, const int* __restrict__ cu_seqlens,
                       const float* __restrict__ key_bias, out_t* __restrict__ out, float* __restrict__ lse,
                       int T, int B, int H, int G, int D, int DV, int BS, int S)
{
    extern __shared__ float shared[];
    float *slots = shared, *score = shared + 128;
    const int t = blockIdx.x, head = blockIdx.y, h = head / G;
    int b = 0;
    while (b + 1 < B && cu_seqlens[b + 1] <= t) b++;
    const int first = cu_seqlens[b], place = t - first;
    const q_t* query = q + ((size_t)t * H * G + head) * D;

    float largest = -INFINITY;
    for (int i = threadIdx.x; i < S * BS; i += blockDim.x) {
        const int id = block_ids[((size_t)h * T + t) * S + i / BS];
        const int local = id * BS + i % BS;
        float sum = -INFINITY;
        if (id >= 0 && local <= place) {
            const k_t* key = k + ((size_t)(first + local) * H + h) * D;
            float dot = 0.f;
            for (int d = 0; d < D; d++) dot += ws::to_float(query[d]) * ws::to_float(key[d]);
            sum = dot * rsqrtf((float)D) + (key_bias ? key_bias[(size_t)(first + local) * H + h] : 0.f);
        }
        score[i] = sum;
        largest = fmaxf(largest, sum);
    }
    largest = over_block(largest, slots, true);
    float part = 0.f;
    for (int i = threadIdx.x; i < S * BS; i += blockDim.x) {
        const float weight = score[i] == -INFINITY ? 0.f : expf(score[i] - largest);
        score[i] = weight;
        part += weight;
    }
    const float total = over_block(part, slots, false);

    for (int d = threadIdx.x; d < DV; d += blockDim.x) {
        float sum = 0.f;
        for (int i = 0; i < S * BS; i++) {
            if (score[i] > 0.f) {
                const int local = block_ids[((size_t)h * T + t) * S + i / BS] * BS + i % BS;
                sum += score[i] * ws::to_float(v[((size_t)(first + local) * H + h) * DV + d]);
            }
        }
        out[((size_t)t * H * G + head) * DV + d] = ws::from_float<out_t>(total > 0.f ? sum / total : 0.f);
    }
    if (threadIdx.x == 0) lse[(size_t)head * T + t] = total > 0.f ? largest + logf(total) : -INFINITY;
}
