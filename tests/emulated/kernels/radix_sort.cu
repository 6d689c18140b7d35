// Least significant digit first, one block: warps rank their keys by match, digits are scanned in between.
constexpr int THREADS = 256, WARPS = THREADS / 32, KEYS = 2048, ITEMS = KEYS / THREADS;

extern "C" __global__ void radix_sort(unsigned* keys) {
    __shared__ unsigned from[KEYS], to[KEYS], starts[256], counts[WARPS][256];
    int i = threadIdx.x, warp = i / 32, lane = i % 32;
    for (int k = i; k < KEYS; k += THREADS) from[k] = keys[k];
    for (int shift = 0; shift < 32; shift += 8) {
        for (int w = 0; w < WARPS; w++) counts[w][i] = 0;
        __syncthreads();
        unsigned key[ITEMS], rank[ITEMS];
        for (int q = 0; q < ITEMS; q++) {
            key[q] = from[warp * 32 * ITEMS + q * 32 + lane];
            unsigned digit = key[q] >> shift & 255, peers = __match_any_sync(~0u, digit), before = counts[warp][digit];
            rank[q] = before + __popc(peers & ((1u << lane) - 1));
            __syncwarp();  // read
            if (lane == 31 - __clz(peers)) counts[warp][digit] = before + __popc(peers);
            __syncwarp();  // written
        }
        __syncthreads();
        unsigned total = 0;
        for (int w = 0; w < WARPS; w++) {
            unsigned count = counts[w][i];
            counts[w][i] = total;
            total += count;
        }
        starts[i] = total;
        __syncthreads();
        for (int d = 1; d < 256; d <<= 1) {
            unsigned below = i >= d ? starts[i - d] : 0;
            __syncthreads();  // scan
            starts[i] += below;
            __syncthreads();
        }
        for (int q = 0; q < ITEMS; q++) {
            unsigned digit = key[q] >> shift & 255;
            to[(digit ? starts[digit - 1] : 0) + counts[warp][digit] + rank[q]] = key[q];
        }
        __syncthreads();
        for (int k = i; k < KEYS; k += THREADS) from[k] = to[k];
        __syncthreads();
    }
    for (int k = i; k < KEYS; k += THREADS) keys[k] = from[k];
}
