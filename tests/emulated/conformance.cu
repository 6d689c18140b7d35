// Kernels that both executors run for test_conformance_executors.py: each takes (input, output, count).
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

using namespace nvcuda;
typedef const unsigned* __restrict__ in_t;
typedef unsigned* __restrict__ out_t;

extern "C" __global__ void integer_mix(in_t x, out_t y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int a = x[i], b = x[(i + 7) % n] | 1, c = x[(i * 3) % n];
    long long wide = (long long)a * b + c;
    unsigned r = __popc(a) + __clz(b) * __ffs(c) + __brev(a) + __byte_perm(a, b, c & 0x7777);
    r ^= (unsigned)(a / b) + a % b + __mulhi(a, b) + __umulhi(a, b) + (unsigned)(wide / (b | 3)) + (unsigned)(wide >> (c & 63));
    r += __funnelshift_l(a, b, c) ^ __dp4a(a, b, c) ^ __sad(a, b, c) ^ max(min(a, b), c) ^ abs(b);
    r ^= (unsigned char)a * (signed char)b + (short)c;
    y[i] = r + (unsigned)((unsigned long long)wide % 1000003ull);
}

extern "C" __global__ void float_mix(in_t x, out_t y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float a = (int)x[i] * 1e-7f, b = __int_as_float(x[(i + 1) % n]), c = (x[(i + 2) % n] & 0xFFFF) * 0.01f + 0.5f;
    float r = a * c + __fdividef(a, c) + sqrtf(c) + rsqrtf(c) + expf(-c * 0.01f) + logf(c) + sinf(c) + tanhf(a);
    r += fminf(a, b) > fmaxf(c, a) ? 1.0f : -1.0f;
    r += rintf(a) + floorf(c) + truncf(a) + (float)(int)a + __float2int_rn(c) + erff(a) + powf(c, 0.3f);
    r += (float)((double)a / (double)c + sqrt((double)c)) + fmodf(c, 3.0f) + __fadd_rz(a, c) + __fmul_rd(a, c);
    y[i] = __float_as_uint(r);
}

extern "C" __global__ void half_mix(in_t x, out_t y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float f = (x[i] & 0xFFF) * 0.01f - 20.0f, g = (x[i] >> 20) * 0.02f - 7.0f;
    __half2 h = __floats2half2_rn(f, g), k = __float2half2_rn(1.5f);
    h = __hfma2(h, k, __hmul2(h, h));
    h = __hmax2(h, __hneg2(k));
    __nv_bfloat162 b = __floats2bfloat162_rn(f, g);
    b = __hadd2(__hmul2(b, b), __float2bfloat162_rn(0.25f));
    bool less = __hlt(__low2half(h), __high2half(h));
    y[i] = *(unsigned*)&h ^ *(unsigned*)&b ^ (less ? 1u : 0u) ^ (unsigned)__half2int_rn(__low2half(k)) ^
           (unsigned)__bfloat16_as_ushort(__float2bfloat16(f * g));
}

extern "C" __global__ void block_scan(in_t x, out_t y, int n) {
    __shared__ unsigned sums[32];
    int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    unsigned v = i < n ? x[i] : 0, before = v;
    for (int d = 1; d < 32; d *= 2) {
        unsigned o = __shfl_up_sync(~0u, v, d);
        if (lane >= d) v += o;
    }
    if (lane == 31) sums[warp] = v;
    __syncthreads();
    if (warp == 0) {
        unsigned s = lane < blockDim.x / 32 ? sums[lane] : 0;
        for (int d = 1; d < 32; d *= 2) {
            unsigned o = __shfl_up_sync(~0u, s, d);
            if (lane >= d) s += o;
        }
        sums[lane] = s;
    }
    int odd = __syncthreads_count(before & 1);
    if (warp) v += sums[warp - 1];
    unsigned vote = __ballot_sync(~0u, v & 1) ^ __match_any_sync(~0u, v & 3) ^ __reduce_add_sync(~0u, lane);
    if (i < n) y[i] = v + odd + vote;
}

extern "C" __global__ void diverging(in_t x, out_t y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned v = x[i] % 97 + 1, steps = 0, table[8];
    for (int k = 0; k < 8; k++) table[k] = v * k;
    while (v != 1 && steps < 60) {
        switch (v % 4) {
            case 0: v /= 4; break;
            case 1: v = 3 * v + 1; if (steps > 30) goto out;
            case 2: v /= 2; steps += 2; continue;
            default: v = 3 * v + 1;
        }
        table[v % 8] ^= steps++;
    }
out:
    y[i] = steps * 1000 + v + table[x[i] % 8];
}

extern "C" __global__ void histogram(in_t x, out_t y, int n) {
    __shared__ unsigned bins[64];
    if (threadIdx.x < 64) bins[threadIdx.x] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        atomicAdd(&bins[x[i] % 64], 1u);
        atomicMax(&bins[63], x[i] % 50);
        atomicXor(&bins[62], x[i]);
    }
    __syncthreads();
    if (blockIdx.x == 0 && threadIdx.x < 64) y[threadIdx.x] = bins[threadIdx.x];
}

extern "C" __global__ void tiled(in_t x, out_t y, int n) {
    __shared__ float a[8][9], b[8][9];
    int row = threadIdx.y, column = threadIdx.x;
    float sum = 0;
    for (int k = 0; k < 16; k += 8) {
        a[row][column] = (int)x[row * 16 + k + column] * 1e-9f;
        b[row][column] = (int)x[(k + row) * 8 + column] * 1e-9f;
        __syncthreads();
        for (int j = 0; j < 8; j++) sum += a[row][j] * b[j][column];
        __syncthreads();
    }
    y[row * 8 + column] = __float_as_uint(sum);
}

extern "C" __global__ void wmma_product(in_t x, out_t y, int n) {
    __shared__ __half a[256], b[256];
    for (int i = threadIdx.x; i < 256; i += 32) {
        a[i] = __float2half((x[i] & 0xFF) * 0.01f);
        b[i] = __float2half((x[i] >> 24) * 0.02f - 1.0f);
    }
    __syncwarp();
    wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> fa;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::col_major> fb;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
    wmma::fill_fragment(fc, 0.5f);
    wmma::load_matrix_sync(fa, a, 16);
    wmma::load_matrix_sync(fb, b, 16);
    wmma::mma_sync(fc, fa, fb, fc);
    for (int i = 0; i < fc.num_elements; i++) fc.x[i] *= 2.0f;
    wmma::store_matrix_sync((float*)y, fc, 16, wmma::mem_col_major);
}

extern "C" __global__ void mma_product(in_t x, out_t y, int n) {
    __shared__ alignas(16) __nv_bfloat16 a[16 * 16], b[16 * 8];
    for (int i = threadIdx.x; i < 256; i += 32) a[i] = __float2bfloat16((int)(x[i] % 200) * 0.1f - 10.0f);
    for (int i = threadIdx.x; i < 128; i += 32) b[i] = __float2bfloat16((int)(x[i] / 7 % 100) * 0.3f);
    __syncwarp();
    unsigned fa[4], fb[2], lane = threadIdx.x;
    unsigned pa = (unsigned)__cvta_generic_to_shared(&a[(lane % 16) * 16 + lane / 16 * 8]);
    unsigned pb = (unsigned)__cvta_generic_to_shared(&b[(lane % 16) * 8]);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(fa[0]), "=r"(fa[1]), "=r"(fa[2]), "=r"(fa[3]) : "r"(pa));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(fb[0]), "=r"(fb[1]) : "r"(pb));
    float c[4] = {1, 2, 3, 4};
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(fa[0]), "r"(fa[1]), "r"(fa[2]), "r"(fa[3]), "r"(fb[0]), "r"(fb[1]));
    for (int i = 0; i < 4; i++) y[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = __float_as_uint(c[i]);
}

extern "C" __global__ void integer_mma(in_t x, out_t y, int n) {
    unsigned l = threadIdx.x;
    int c[4] = {1, -2, 3, -4};
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(x[l]), "r"(x[l + 32]), "r"(x[l + 64]), "r"(x[l + 96]), "r"(x[l + 128]), "r"(x[l + 160]));
    for (int i = 0; i < 4; i++) y[l * 4 + i] = c[i];
}

extern "C" __global__ void pipelined(in_t x, out_t y, int n) {
    __shared__ alignas(16) unsigned stage[2][128];
    int t = threadIdx.x;
    unsigned sum = 0;
    auto fetch = [&](int k) {
        unsigned to = (unsigned)__cvta_generic_to_shared(&stage[k & 1][t * 4]);
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(x + k * 128 + t * 4), "r"(k == 3 ? 8 : 16));
        asm volatile("cp.async.commit_group;");
    };
    fetch(0);
    for (int k = 0; k < 4; k++) {
        if (k < 3) {
            fetch(k + 1);
            asm volatile("cp.async.wait_group 1;");
        } else {
            asm volatile("cp.async.wait_group 0;");
        }
        __syncthreads();
        sum += stage[k & 1][(t * 5) % 128] ^ stage[k & 1][127 - t];
        __syncthreads();
    }
    y[t] = sum;
}

extern "C" __global__ void printing(in_t x, out_t y, int n) {
    if (threadIdx.x < 2) printf("%d %5.2f %s %x %c|%lld\n", (int)threadIdx.x, x[1] * 1e-9, "text", x[2], 'c', (long long)x[0] << 8);
    y[threadIdx.x] = 1;
}
