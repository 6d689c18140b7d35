// Kernels that keep one part of the GPU busy: each takes (data, y, words, rounds) and writes y only where a value comes
// out that never does, so that nothing is left out and nothing is stored.

__device__ __forceinline__ void keep(unsigned value, unsigned* y) {
    if (value == 0x9E3779B9u) y[threadIdx.x] = value;
}

__global__ void read_once(uint4* data, unsigned* y, int words, int rounds) {
    unsigned sum = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < words / 4; i += gridDim.x * blockDim.x) {
        uint4 v = data[i];
        sum += v.x ^ v.y ^ v.z ^ v.w;
    }
    keep(sum, y);
}

// Reads the first half and writes the second.
__global__ void copy_once(uint4* data, unsigned* y, int words, int rounds) {
    int half = words / 8;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < half; i += gridDim.x * blockDim.x) data[half + i] = data[i];
}

// Loads that bypass L1; blocks start at different places, so that all slices are asked at once.
__global__ void read_often(uint4* data, unsigned* y, int words, int rounds) {
    unsigned sum = 0;
    int count = words / 4, step = gridDim.x * blockDim.x;
    for (int round = 0; round < rounds; ++round) {
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
            int at = i + round * 97 * 256;
            uint4 v = __ldcg(data + at % count);
            sum += v.x ^ v.y ^ v.z ^ v.w;
        }
    }
    keep(sum, y);
}

__global__ void read_shared(uint4* data, unsigned* y, int words, int rounds) {
    __shared__ uint4 held[512];
    held[threadIdx.x] = held[threadIdx.x + 256] = make_uint4(threadIdx.x, 1, 2, 256);
    __syncthreads();
    unsigned sum = 0, at = threadIdx.x;
    for (int round = 0; round < rounds; ++round) {
        uint4 v = held[at];
        at ^= v.w;  // The next address needs this load: it can be neither hoisted nor left out.
        sum += v.x ^ v.y ^ v.z;
    }
    keep(sum, y);
}

__global__ void multiply(float* data, unsigned* y, int words, int rounds) {
    float v[8];
    for (int k = 0; k < 8; ++k) v[k] = threadIdx.x + k;
    float a = 1.0f + rounds * 1e-9f, b = 1e-3f * rounds;
    for (int round = 0; round < rounds; ++round)
        for (int k = 0; k < 8; ++k) v[k] = fmaf(v[k], a, b);
    float sum = 0;
    for (int k = 0; k < 8; ++k) sum += v[k];
    keep(__float_as_uint(sum), y);
}

__global__ void matrix(float* data, unsigned* y, int words, int rounds) {
    float d[4][4] = {};
    unsigned a[4] = {threadIdx.x, 1u, 2u, 3u}, b[2] = {4u, threadIdx.x};
    for (int round = 0; round < rounds; ++round)
        for (int k = 0; k < 4; ++k)
            asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
                         "{%8, %9}, {%0, %1, %2, %3};"
                         : "+f"(d[k][0]), "+f"(d[k][1]), "+f"(d[k][2]), "+f"(d[k][3])
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    float sum = 0;
    for (int k = 0; k < 4; ++k) sum += d[k][0] + d[k][1] + d[k][2] + d[k][3];
    keep(__float_as_uint(sum), y);
}

__global__ void exponent(float* data, unsigned* y, int words, int rounds) {
    float v[4];
    for (int k = 0; k < 4; ++k) v[k] = -1.0f - threadIdx.x * 1e-3f - k;
    for (int round = 0; round < rounds; ++round)
        for (int k = 0; k < 4; ++k) asm volatile("ex2.approx.ftz.f32 %0, %0;" : "+f"(v[k]));
    keep(__float_as_uint(v[0] + v[1] + v[2] + v[3]), y);
}

__global__ void scatter_add(unsigned* data, unsigned* y, int words, int rounds) {
    unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    for (int round = 0; round < rounds; ++round) atomicAdd(data + (at + round * 8191u * 32u) % words, 1u);
}

// One thread follows a chain of indices, through L1 or past it.
__global__ void chase(const int* data, unsigned* y, int words, int rounds) {
    int at = 0;
    for (int hop = 0; hop < rounds; ++hop) at = data[at];
    keep(at, y);
}

__global__ void chase_past_l1(const int* data, unsigned* y, int words, int rounds) {
    int at = 0;
    for (int hop = 0; hop < rounds; ++hop) at = __ldcg(data + at);
    keep(at, y);
}

__global__ void nothing(unsigned* data, unsigned* y, int words, int rounds) {
    if (rounds == -1) y[0] = 0;
}
