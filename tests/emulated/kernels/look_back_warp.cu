// Inclusive scan in one pass: a warp looks back over 32 tiles at a time (Merrill and Garland, 2016).
#include <cuda/atomic>

constexpr int TILE = 256;
constexpr unsigned long long PARTIAL = 1ull << 32, WHOLE = 2ull << 32;
using State = cuda::atomic_ref<unsigned long long, cuda::thread_scope_device>;

__device__ int scan_warp(int value) {
    for (int d = 1; d < 32; d <<= 1) {
        int below = __shfl_up_sync(~0u, value, d);
        if (threadIdx.x % 32 >= d) value += below;
    }
    return value;
}

__device__ int look_back(unsigned long long* states, int tile) {
    int before = 0, lane = threadIdx.x % 32;
    for (int last = tile - 1; last >= 0; last -= 32) {
        unsigned long long seen = WHOLE;
        if (last - lane >= 0) do seen = State(states[last - lane]).load(cuda::memory_order_acquire); while (!(seen >> 32));
        unsigned whole = __ballot_sync(~0u, seen >= WHOLE);
        int nearest = whole ? __ffs(whole) - 1 : 31;
        before += __reduce_add_sync(~0u, lane <= nearest ? int(seen) : 0);
        if (whole) break;
    }
    return before;
}

extern "C" __global__ void look_back_scan(int* y, const int* x, unsigned long long* states, int* tickets) {
    __shared__ int ticket, before, sums[TILE / 32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    if (threadIdx.x == 0) ticket = atomicAdd(tickets, 1);
    __syncthreads();
    int tile = ticket, mine = scan_warp(x[tile * TILE + threadIdx.x]);
    if (lane == 31) sums[warp] = mine;
    __syncthreads();
    if (warp == 0) {
        int sum = scan_warp(lane < TILE / 32 ? sums[lane] : 0), total = __shfl_sync(~0u, sum, 31);
        if (lane < TILE / 32) sums[lane] = sum;
        unsigned long long kind = tile ? PARTIAL : WHOLE;
        if (lane == 0) State(states[tile]).store(kind | unsigned(total), cuda::memory_order_release);
        int found = look_back(states, tile);
        if (lane == 0) before = found;
        if (lane == 0 && tile) State(states[tile]).store(WHOLE | unsigned(found + total), cuda::memory_order_release);
    }
    __syncthreads();
    y[tile * TILE + threadIdx.x] = before + mine + (warp ? sums[warp - 1] : 0);
}
