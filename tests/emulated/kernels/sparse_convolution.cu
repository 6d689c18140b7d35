// Sparse convolution in three launches: a hash of coordinates, the pairs of each of the 27 offsets, gather-multiply-add.
#include <cuda_fp16.h>

using Key = unsigned long long;
constexpr Key EMPTY = ~0ull;

__device__ Key key_of(int batch, int x, int y, int z) {
    return (Key)(batch & 0xFFFF) << 48 | (Key)(x & 0xFFFF) << 32 | (Key)(y & 0xFFFF) << 16 | (Key)(z & 0xFFFF);
}
__device__ unsigned hash(Key key) { return (unsigned)((key ^ key >> 33) * 0xFF51AFD7ED558CCDull >> 33); }

extern "C" __global__ void build_hash(const int4* points, Key* keys, int* indices, int n, int capacity) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int4 p = points[i];
    Key key = key_of(p.x, p.y, p.z, p.w);
    for (unsigned slot = hash(key) & (capacity - 1);; slot = (slot + 1) & (capacity - 1)) {
        Key found = atomicCAS(&keys[slot], EMPTY, key);
        if (found != EMPTY && found != key) continue;
        atomicExch(&indices[slot], i);
        break;
    }
}

extern "C" __global__ void find_pairs(const int4* points, const Key* keys, const int* indices, int2* pairs,
                                      int* counts, int n, int capacity) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, offset = blockIdx.y;
    if (i >= n) return;
    int4 p = points[i];
    Key key = key_of(p.x, p.y + offset % 3 - 1, p.z + offset / 3 % 3 - 1, p.w + offset / 9 - 1);
    int neighbour = -1;
    for (unsigned slot = hash(key) & (capacity - 1); keys[slot] != EMPTY; slot = (slot + 1) & (capacity - 1))
        if (keys[slot] == key) {
            neighbour = indices[slot];
            break;
        }
    unsigned found = __ballot_sync(__activemask(), neighbour >= 0);
    int lane = threadIdx.x % 32;
    if (neighbour < 0) return;
    int leader = __ffs(found) - 1, base = 0;
    if (lane == leader) base = atomicAdd(&counts[offset], __popc(found));
    base = __shfl_sync(found, base, leader);
    pairs[(size_t)offset * n + base + __popc(found & ((1u << lane) - 1))] = make_int2(neighbour, i);
}

extern "C" __global__ void multiply_pairs(const half* X, const half* W, float* Y, const int2* pairs,
                                          const int* counts, int n, int inputs, int outputs) {
    extern __shared__ float row[];
    int offset = blockIdx.y;
    for (int p = blockIdx.x; p < counts[offset]; p += gridDim.x) {
        int2 pair = pairs[(size_t)offset * n + p];
        __syncthreads();
        for (int i = threadIdx.x; i < inputs; i += blockDim.x) row[i] = __half2float(X[(size_t)pair.x * inputs + i]);
        __syncthreads();
        for (int o = threadIdx.x; o < outputs; o += blockDim.x) {
            float sum = 0.0f;
            for (int i = 0; i < inputs; i++)
                sum += row[i] * __half2float(W[((size_t)offset * inputs + i) * outputs + o]);
            atomicAdd(&Y[(size_t)pair.y * outputs + o], sum);
        }
    }
}
