// /// kernel
// task = "moe_routing_metadata"
// requires = "E <= 1024"                  # a row of counters per warp has to fit shared memory
// tags = ["coalesced", "scan", "warp_reduce", "privatized", "shared_tile", "vectorized", "balanced", "unrolled"]
//
// [tune]
// THREADS = [256, 512, 128]
// STEPS = [8, 4, 16]                      # entries a thread sorts
//
// [let]
// CHUNK = "THREADS * STEPS"               # entries a block sorts
// ENTRIES = "T * TOPK"
// BLOCKS = "max(1, cdiv(ENTRIES, CHUNK))"
// PITCH = "align(E, 4)"                   # a row of counters is read 16 bytes at a time
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
// shared = "16 * PITCH + 4 * PITCH * (THREADS // 32) + 4 * CHUNK"
// ///

// A stable counting sort by expert, cut into chunks of neighbouring entries, one a block. Few entries take one launch.
//
//   count     block b:   entries b * CHUNK ...   ->   counts[b][e]
//
//   scatter   block b:   counts, all rows        ->   total[e], before[e] (rows above b): where b's entries of e begin
//             warp w:    its 32 * STEPS entries, 32 at a time. Lanes with one expert find each other by match; their
//                        rank is the warp's running count plus the lanes of the group below. No atomics, no order lost
//
//                            lane     0 1 2 3 4 ...
//                            expert   7 2 7 7 2         running[w][7] = 5 before:   ranks 5 0 6 7 1
//
//             block:     warps' counts are summed downwards, expert by expert; with all experts below they give a place
//                        in the chunk. Entries are put there in shared memory and leave as runs of one expert each:
//
//                            chunk    | expert 0 | expert 1   | expert 2 | ...
//                            order    ...|expert 0 of b|...        ...|expert 1 of b|...        a run is contiguous

static_assert(THREADS % 32 == 0 && THREADS <= 1024, "whole warps, and no more than a block may have");
static_assert(CHUNK <= 65536, "an entry's place in the chunk has 16 bits");

constexpr int WARPS = THREADS / 32;
constexpr unsigned ALL = 0xFFFFFFFFu;

// Everything of one expert that a block needs to know, in shared memory.
struct Shared {
    int* total;    // entries in all chunks; then where the expert begins in `order`
    int* before;   // entries in the chunks before this one
    int* local;    // entries in this chunk; then where the expert begins in it
    int* shift;    // from a place in the chunk to one in `order`
    int* running;  // [WARPS][PITCH]
    int* sorted;   // [CHUNK]: expert << 16 | place of the entry in the chunk

    __device__ Shared(int* memory, int PITCH)
        : total(memory), before(total + PITCH), local(before + PITCH), shift(local + PITCH), running(shift + PITCH),
          sorted(running + WARPS * PITCH)
    {
    }
};

// Sum of `own` over the lanes up to this one.
__device__ long long warp_sum(long long own)
{
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
        const long long other = __shfl_up_sync(ALL, own, step);
        if (threadIdx.x % 32 >= step) own += other;
    }
    return own;
}

// Totals and local counts become where each expert begins: exclusive sums, both at once as halves of 64 bits.
__device__ void begin_experts(Shared& s, int E)
{
    __shared__ long long warps[WARPS];
    long long carry = 0;
    for (int base = 0; base < E; base += THREADS) {
        const int e = base + threadIdx.x;
        const long long own = e < E ? (long long)s.total[e] << 32 | s.local[e] : 0;
        long long sum = warp_sum(own);
        if (threadIdx.x % 32 == 31) warps[threadIdx.x / 32] = sum;
        __syncthreads();
        long long all = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            if (w < threadIdx.x / 32) sum += warps[w];
            all += warps[w];
        }
        sum += carry - own;
        carry += all;
        if (e < E) {
            s.total[e] = sum >> 32;
            s.local[e] = (int)sum;
            s.shift[e] = s.total[e] + s.before[e] - s.local[e];
        }
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

// total and before from the counters of all chunks; four experts and every so-many-th row a thread.
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
    for (int i = threadIdx.x; i < (4 + WARPS) * PITCH; i += THREADS) memory[i] = 0;
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
        s.local[e] = sum;
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
        const int where = s.local[e] + own[e] + rank[step];
        s.sorted[where] = e << 16 | (i - begin);
        place[i] = s.shift[e] + where;
    }
    __syncthreads();
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        const int where = step * THREADS + threadIdx.x;
        if (begin + where >= end) continue;
        const int packed = s.sorted[where];
        order[s.shift[packed >> 16] + where] = begin + (packed & 0xFFFF);
    }
}
