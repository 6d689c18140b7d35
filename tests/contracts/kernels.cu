#include <cuda_fp16.h>

__global__ void copy(const int* x, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}

__global__ void scale(const float* x, const float* bias, float* y, float by, double shift, long long n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * by + float(shift) + (bias ? bias[i] : 0.0f);
}

__global__ void store_at(int* y, long long where) { y[where] = 1; }

__global__ void load_at(const int* x, int* y, long long where) { y[threadIdx.x] = x[where]; }

__global__ void write_input(int* x, int* y) {
    y[threadIdx.x] = 1;
    if (threadIdx.x == 0) x[3] = 7;
}

__global__ void add_into(int* y, const int* x) { atomicAdd(y + threadIdx.x % 4, x[threadIdx.x]); }

__global__ void misaligned(char* y) { *reinterpret_cast<int*>(y + 2) = 1; }

__global__ void stop(int* y) {
    y[threadIdx.x] = 1;
    __trap();
}

__global__ void endless(volatile int* y) {
    while (true) y[threadIdx.x] = 1;
}

__global__ void reversed(const int* x, int* y, int n) {
    extern __shared__ int held[];
    for (int i = threadIdx.x; i < n; i += blockDim.x) held[i] = x[i];
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = held[n - 1 - i];
}

// Blocks wait for each other, so all of them have to be on the device at once.
__global__ void spread(const int* x, int* arrived, int* parts, int* y) {
    parts[blockIdx.x] = x[blockIdx.x];
    __threadfence();
    atomicAdd(arrived, 1);
    while (atomicAdd(arrived, 0) < int(gridDim.x)) {}
    __threadfence();
    int sum = 0;
    for (int i = 0; i < int(gridDim.x); i++) sum += __ldcg(parts + i);
    y[blockIdx.x] = sum;
}

__global__ void twice(const int* w, int* packed) { packed[threadIdx.x] = 2 * w[threadIdx.x]; }

__global__ void shifted(const int* x, const int* packed, int* y) { y[threadIdx.x] = x[threadIdx.x] + packed[threadIdx.x]; }
