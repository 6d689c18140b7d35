// Two warps fill a ring of two buffers that two others empty, by named barriers: full is 1 and 2, empty 3 and 4.
__device__ void arrive(int barrier) { asm volatile("bar.arrive %0, 128;" ::"r"(barrier) : "memory"); }
__device__ void wait(int barrier) { asm volatile("bar.sync %0, 128;" ::"r"(barrier) : "memory"); }

extern "C" __global__ void named_barriers(float* y, const float* x, int rounds) {
    __shared__ float ring[2][64];
    int i = threadIdx.x % 64;
    if (threadIdx.x < 64) {
        for (int r = 0; r < rounds; r++) {
            if (r > 1) wait(3 + r % 2);
            ring[r % 2][i] = x[r * 64 + i];
            arrive(1 + r % 2);
        }
        return;
    }
    float sum = 0;
    for (int r = 0; r < rounds; r++) {
        wait(1 + r % 2);
        sum += ring[r % 2][63 - i];
        if (r + 2 < rounds) arrive(3 + r % 2);
    }
    y[i] = sum;
}
