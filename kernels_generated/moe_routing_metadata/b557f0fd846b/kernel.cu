// /// kernel
// task = "moe_routing_metadata"
// requires = "E <= 1024"
//
// [tune]
// THREADS = [256, 512, 128]
// STEPS = [8, 4, 16]
//
// [let]
// CHUNK = "THREADS * STEPS"
// ENTRIES = "T * TOPK"
// BLOCKS = "max(1, cdiv(ENTRIES, CHUNK))"
// PITCH = "align(E, 4)"
//
// [[buffer]]
// name = "counts"
// shape = ["BLOCKS", "PITCH"]
// dtype = "int32"
//
// [[launch]]
// kernel = "count"
// when = "BLOCKS > 1"
// grid = "BLOCKS"
// block = "THREADS"
// shared = "4 * PITCH"
//
// [[launch]]
// kernel = "scatter"
// grid = "BLOCKS"
// block = "THREADS"
// shared = "8 * PITCH + 4 * PITCH * (THREADS // 32)"
// ///





static_assert(THREADS % 32 == 0 && THREADS <= 1024, "");

constexpr int WARPS = THREADS / 32;
constexpr unsigned ALL = 0xFFFFFFFFu;


struct Shared {
    int* total;
    int* before;
    int* running;

    __device__ Shared(int* memory, int PITCH) : total(memory), before(total + PITCH), running(before + PITCH) {}
};


__device__ int warp_sum(int own)
{
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
        const int other = __shfl_up_sync(ALL, own, step);
        if (threadIdx.x % 32 >= step) own += other;
    }
    return own;
}


__device__ void begin_experts(Shared& s, int E)
{
    __shared__ int warps[WARPS];
    int carry = 0;
    for (int base = 0; base < E; base += THREADS) {
        const int e = base + threadIdx.x, own = e < E ? s.total[e] : 0;
        int sum = warp_sum(own);
        if (threadIdx.x % 32 == 31) warps[threadIdx.x / 32] = sum;
        __syncthreads();
        int all = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            if (w < threadIdx.x / 32) sum += warps[w];
            all += warps[w];
        }
        sum += carry - own;
        carry += all;
        if (e < E) s.total[e] = sum;
        __syncthreads();
    }
}

__global__ void __launch_bounds__(THREADS)
count(const int* __restrict__ topk_ids, int* __restrict__ counts, int ENTRIES, int PITCH)
{
    extern __shared__ int found[];
    const int begin = blockIdx.x * CHUNK, end = min(ENTRIES, begin + CHUNK);
    for (int e = threadIdx.x; e < PITCH; e += THREADS) found[e] = 0;
    __syncthreads();
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        const int i = begin + step * THREADS + threadIdx.x;
        const int e = i < end ? topk_ids[i] : -1;
        const unsigned group = __match_any_sync(ALL, e);
        if (e >= 0 && threadIdx.x % 32 == __ffs(group) - 1) atomicAdd(&found[e], __popc(group));
    }
    __syncthreads();
    for (int e = threadIdx.x; e < PITCH; e += THREADS) counts[(size_t)blockIdx.x * PITCH + e] = found[e];
}


__device__ void gather(const int* __restrict__ counts, Shared& s, int PITCH, int BLOCKS)
{
    const int quads = PITCH / 4, rows = max(1, THREADS / quads), quad = threadIdx.x % quads, row = threadIdx.x / quads;
    if (row >= rows) return;
    for (int q = quad; q < quads; q += THREADS) {
        int total[4] = {}, before[4] = {};
#pragma unroll 8
        for (int b = row; b < BLOCKS; b += rows) {
            const int4 v = *reinterpret_cast<const int4*>(counts + (size_t)b * PITCH + 4 * q);
            const int own[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
            for (int j = 0; j < 4; j++) {
                total[j] += own[j];
                before[j] += b < blockIdx.x ? own[j] : 0;
            }
        }
        if (row < BLOCKS) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                atomicAdd(&s.total[4 * q + j], total[j]);
                atomicAdd(&s.before[4 * q + j], before[j]);
            }
        }
    }
}

__global__ void __launch_bounds__(THREADS)
scatter(const int* __restrict__ topk_ids, const int* __restrict__ counts, int* __restrict__ offsets,
        int* __restrict__ order, int* __restrict__ place, int ENTRIES, int BLOCKS, int E, int PITCH)
{
    extern __shared__ __align__(16) int memory[];
    Shared s(memory, PITCH);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, begin = blockIdx.x * CHUNK;
    const int end = min(ENTRIES, begin + CHUNK), first = begin + warp * 32 * STEPS + lane;
    int expert[STEPS], rank[STEPS];
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        const int i = first + 32 * step;
        expert[step] = i < end ? topk_ids[i] : -1;
    }
    for (int i = threadIdx.x; i < (2 + WARPS) * PITCH; i += THREADS) memory[i] = 0;
    __syncthreads();
    if (BLOCKS > 1) gather(counts, s, PITCH, BLOCKS);

    int* own = s.running + warp * PITCH;
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        const int e = expert[step];
        const unsigned group = __match_any_sync(ALL, e), below = group & ((1u << lane) - 1);
        const int already = e >= 0 ? own[e] : 0;
        __syncwarp();
        if (e >= 0 && !below) own[e] = already + __popc(group);
        __syncwarp();
        rank[step] = already + __popc(below);
    }
    __syncthreads();
    for (int e = threadIdx.x; e < E; e += THREADS) {
        int sum = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            const int found = s.running[w * PITCH + e];
            s.running[w * PITCH + e] = sum;
            sum += found;
        }
        if (BLOCKS == 1) s.total[e] = sum;
    }
    __syncthreads();
    begin_experts(s, E);
    if (blockIdx.x == 0) {
        for (int e = threadIdx.x; e < E; e += THREADS) offsets[e] = s.total[e];
        if (threadIdx.x == 0) offsets[E] = ENTRIES;
    }

#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        const int e = expert[step], i = first + 32 * step;
        if (e < 0) continue;
        const int where = s.total[e] + s.before[e] + own[e] + rank[step];
        place[i] = where;
        order[where] = i;
    }
}
