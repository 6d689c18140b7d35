// Functions that are called and not inlined, for test_calls.py.
struct Record { float a; int b[5]; char c; };
typedef float (*operation)(float, float);

__device__ __noinline__ float scaled(float a, float b) { return a * b + 1.0f; }
__device__ __noinline__ Record changed(Record r, int i) {
    r.a += i;
    r.b[i & 3] = i;
    r.c = (char)i;
    return r;
}
__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
__device__ __noinline__ bool odd(int n);
__device__ __noinline__ bool even(int n) { return n == 0 ? true : odd(n - 1); }
__device__ __noinline__ bool odd(int n) { return n == 0 ? false : even(n - 1); }
__device__ __noinline__ void fill(int* at, int depth) {
    int mine[4];
    for (int i = 0; i < 4; i++) mine[i] = depth * 10 + i;
    if (depth > 0) fill(mine + (depth & 3), depth - 1);
    int sum = 0;
    for (int i = 0; i < 4; i++) sum += mine[i];
    *at = sum;
}
__device__ __noinline__ float plus(float a, float b) { return a + b; }
__device__ __noinline__ float minus(float a, float b) { return a - b; }
__device__ __noinline__ float times(float a, float b) { return a * b; }
__device__ operation operations[3] = {plus, minus, times};
__device__ __noinline__ int one_in_a_thousand(int v) {
    if (v % 7 == 3) return -1;
    for (int i = 0; i < v % 5; i++) v += i;
    return v;
}

extern "C" __global__ void direct(const float* x, float* y) {
    int i = threadIdx.x;
    y[i] = scaled(x[i], 2) + scaled(x[i + 1], x[i]);
}
extern "C" __global__ void structures(const float* x, float* y) {
    Record r;
    r.a = x[0];
    for (int k = 0; k < 5; k++) r.b[k] = k * 3;
    r.c = 3;
    r = changed(r, threadIdx.x & 7);
    y[threadIdx.x] = r.a + r.b[2] + 100 * r.c;
}
extern "C" __global__ void recursive(const float* x, float* y) {
    y[threadIdx.x] = fibonacci(threadIdx.x % 10) + 100 * odd(threadIdx.x);
}
extern "C" __global__ void frames(const float* x, float* y) {
    int result = 0;
    fill(&result, threadIdx.x % 6);
    y[threadIdx.x] = result;
}
extern "C" __global__ void pointers(const float* x, float* y) {
    y[threadIdx.x] = operations[threadIdx.x % 3](x[threadIdx.x], 3.f);
}
extern "C" __global__ void diverging(const float* x, float* y) {
    int i = threadIdx.x, sum = 0;
    for (int k = 0; k < i % 4; k++) sum += one_in_a_thousand(i + k);
    if (i & 1) sum += one_in_a_thousand(sum);
    y[i] = sum;
}
extern "C" __global__ void slow_paths(const double* x, double* y) {
    double a = x[threadIdx.x];
    y[threadIdx.x] = sin(a * 1e7) + cos(a * 3e8) + pow(a, 1.3) + 1 / a + sqrt(a) + exp(-a) + log(a) + fmod(a, 0.7);
}
extern "C" __global__ void endless(const float* x, float* y) {
    int result = 0;
    fill(&result, 1 << 20);
    y[threadIdx.x] = result;
}
