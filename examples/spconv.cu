// /// kernel
// task = "submanifold_conv3d"
// constants = ["R", "CIN", "COUT"]       # odd kernel edge R: V = R*R*R offsets, x slowest
//
// [tune]
// TO = [32, 64]                          # sites per block
//
// [let]
// CAP = "pow2ceil(2 * max(NV, 1))"       # slots of the hash table: a power of two, at most half full
// MASK = "CAP - 1"
//
// [[buffer]]
// name = "keys"
// shape = ["CAP"]
// dtype = "int64"
// init = -1
//
// [[buffer]]
// name = "rows"
// shape = ["CAP"]
// dtype = "int32"
//
// [[launch]]
// kernel = "insert"
// grid = "cdiv(NV, 256)"                 # a launch whose grid is empty is skipped
// block = 256
//
// [[launch]]
// kernel = "conv"
// grid = "cdiv(NV, TO)"
// block = 128
// shared = "TO * CIN * 4 + TO * 4"
// ///

__device__ __forceinline__ long long pack(int b, int x, int y, int z)
{
    return ((long long)(b & 0xffff) << 48) | ((long long)(x & 0xffff) << 32) | ((long long)(y & 0xffff) << 16) | (z & 0xffff);
}
__device__ __forceinline__ unsigned mix(unsigned long long k)
{
    k ^= k >> 33; k *= 0xff51afd7ed558ccdULL; k ^= k >> 33;
    return (unsigned)k;
}

__global__ void insert(const int* __restrict__ coords, long long* keys, int* rows, int NV, int MASK)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= NV) return;
    const long long key = pack(coords[4 * i], coords[4 * i + 1], coords[4 * i + 2], coords[4 * i + 3]);
    for (unsigned s = mix(key) & MASK;; s = (s + 1) & MASK)
        if (atomicCAS((unsigned long long*)&keys[s], ~0ULL, (unsigned long long)key) == ~0ULL) { rows[s] = i; return; }
}

__global__ void conv(const int* __restrict__ coords, const feats_t* __restrict__ feats, const w_t* __restrict__ w,
                     const long long* __restrict__ keys, const int* __restrict__ rows, y_t* __restrict__ y, int NV, int MASK)
{
    extern __shared__ float xs[];                // [TO][CIN], then int src[TO]
    int* src = (int*)(xs + TO * CIN);
    const int o0 = blockIdx.x * TO;
    constexpr int PER = (TO * COUT + 127) / 128;
    float acc[PER] = {};
    for (int v = 0; v < R * R * R; v++) {
        const int dx = v / (R * R) - R / 2, dy = v / R % R - R / 2, dz = v % R - R / 2;
        __syncthreads();
        for (int t = threadIdx.x; t < TO; t += 128) {
            int found = -1;
            const int o = o0 + t;
            if (o < NV) {
                const long long key = pack(coords[4 * o], coords[4 * o + 1] + dx, coords[4 * o + 2] + dy, coords[4 * o + 3] + dz);
                for (unsigned s = mix(key) & MASK;; s = (s + 1) & MASK) {
                    const long long seen = keys[s];
                    if (seen == key) { found = rows[s]; break; }
                    if (seen == -1) break;
                }
            }
            src[t] = found;
        }
        __syncthreads();
        for (int i = threadIdx.x; i < TO * CIN; i += 128)
            xs[i] = src[i / CIN] >= 0 ? ws::to_float(feats[(size_t)src[i / CIN] * CIN + i % CIN]) : 0.f;
        __syncthreads();
#pragma unroll
        for (int p = 0; p < PER; p++) {
            const int i = p * 128 + threadIdx.x, t = i / COUT, c = i % COUT;
            if (t < TO && src[t] >= 0)
                for (int k = 0; k < CIN; k++)
                    acc[p] = fmaf(xs[t * CIN + k], ws::to_float(w[((size_t)v * CIN + k) * COUT + c]), acc[p]);
        }
    }
#pragma unroll
    for (int p = 0; p < PER; p++) {
        const int i = p * 128 + threadIdx.x, o = o0 + i / COUT;
        if (i < TO * COUT && o < NV) y[(size_t)o * COUT + i % COUT] = ws::from_float<y_t>(acc[p]);
    }
}
