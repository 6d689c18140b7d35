// /// kernel
// task = "spconv_forward"
// requires = "(CIN == 16 or CIN % 32 == 0) and (COUT == 16 or COUT % 32 == 0) and COUT % min(COUT, 128) == 0"
// constants = ["KS", "CIN", "COUT"]
// tags = ["tensor_core", "implicit_gemm", "async_copy", "pipelined", "vectorized", "sorted", "prepared_weights"]
//
// [tune]
// MOST = [12, 8, 16]                      # warps of a block, 32 output sites each
// CHUNK = [24576, 32768, 16384]           # bytes of weights of a stage, where not all of them are kept
//
// [let]
// BN = "min(COUT, 128)"                   # output channels of a block
// PER = "max(1, CIN // 32)"               # units of 32 k of a place; a place is an offset, or two of 16 channels
// PLACES = "(CIN >= 32) * KS * KS * KS + (CIN < 32) * cdiv(KS * KS * KS, 2)"
// UNIT = "32 * BN * size(w)"              # bytes of weights
// KEPT = "(PLACES * PER * UNIT <= 114688)"
// GROUP = "KEPT * PLACES + (1 - KEPT) * max(1, CHUNK // (PER * UNIT))"   # places of a stage
// STAGES = "KEPT + 3 * (1 - KEPT)"
// SORTED = "(KS <= 3) * (CIN >= 32)"
// WARPS = "min(MOST, max(4, cdiv(NOUT, 32 * SMS)))"
//
// [[buffer]]
// name = "packed"                         # weights in the order in which lanes take them
// shape = ["COUT // BN * PLACES * PER", "UNIT // 2"]
// dtype = "float16"
// prepared = true
//
// [[buffer]]
// name = "zeros"                          # the features of a neighbour that does not exist
// shape = ["CIN"]
// dtype = "float16"
// prepared = true
//
// [[prepare]]
// kernel = "arrange"
// grid = "cdiv(COUT // BN * PLACES * PER * UNIT // 16, 128)"
// block = 128
//
// [[launch]]
// kernel = "convolve"
// grid = ["cdiv(NOUT, 32 * WARPS)", "COUT // BN"]
// block = "32 * WARPS"
// shared = "STAGES * GROUP * PER * UNIT + SORTED * WARPS * 32 * (V * size(kmap) + 8)"
// ///

// Implicit GEMM whose left operand never touches shared memory: a lane gathers the 16 bytes that it multiplies itself.
//
//   prepare    w -> packed: by unit of 32 k, tile of 8 channels and lane, 16 bytes that are a lane's part of two mma
//
//   block      WARPS x 32 sites x BN channels; as many blocks as there are multiprocessors, or twice as many
//     sort     (kernels up to 3) kmap of the block -> shared memory; a site's kind: along which of the axes it has
//              neighbours; sites by kind. Of a floor's sites nine offsets are ever met, of a wall's nine others
//     stage    weights: cp.async, all of them once where they fit, else STAGES groups of offsets in turn
//     warp     for every place (an offset, or two of 16 channels) that its first or its second 16 sites meet
//
//                kmap -> rows -> pointers; of a neighbour that does not exist: to zeros          two steps ahead
//                feats, 16 bytes a lane: rows g and g + 8 of both halves, k 8q to 8q + 7         a step ahead
//                b: 16 bytes a lane of shared memory, lanes side by side                         each tile
//                mma.m16n8k16 x 2 of each half that meets the place
//
//   lane 4g + q   a0 a1 a2 a3 of step 0 = words x y of rows g, g + 8; of step 1 = words z w: k in another order, in which
//                 `arrange` wrote the weights, too. Their columns it wrote so that four tiles give a lane 8 neighbours
//                 of a row of y: one store of 16 bytes.
//
// With BN = 128 sums fill the registers: features are asked for when they are needed, and other warps fill the wait.
// Warps of a block meet at barriers only where stages change.

#include <cuda_fp16.h>

constexpr int OFFSETS = KS * KS * KS;
constexpr int TILES = BN / 8;                          // of 8 output channels
constexpr int SPAN = TILES < 4 ? TILES : 4;            // tiles that share one piece of a row of y
constexpr int STAGE = GROUP * PER * UNIT, PIECES = STAGE / 16;
constexpr int CHUNKS = (PLACES + GROUP - 1) / GROUP;
constexpr int ABREAST = PER == 1 && KEPT ? 2 : 1;        // places of a step
constexpr bool AHEAD = BN < 128;                       // registers are left for the next step's features
constexpr int PARTS = PER % 2 == 0 && AHEAD ? 2 : 1;    // units of each of them
constexpr int UNITS = ABREAST * PARTS;
constexpr unsigned ALL = 0xFFFFFFFFu;

static_assert(sizeof(feats_t) == 2 && sizeof(w_t) == 2 && sizeof(y_t) == 2, "features and weights are half precision");
static_assert(CIN == 16 || CIN % 32 == 0, "a lane takes 16 bytes of 32 k");
static_assert(BN % 8 == 0 && TILES % SPAN == 0, "whole tiles, which share pieces of y");
static_assert(!SORTED || OFFSETS <= 32, "a word says which offsets a site meets");

// Thread i writes 16 bytes: what lane i % 32 takes of one tile of a unit.
__global__ void arrange(const w_t* __restrict__ w, __half* __restrict__ packed, __half* __restrict__ zeros)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x, lane = i % 32, q = lane % 4, n = lane / 4;
    const int tile = i / 32 % TILES, unit = i / 32 / TILES % (PLACES * PER), y = i / 32 / TILES / (PLACES * PER);
    if (i < CIN) zeros[i] = __float2half(0);
    if (y >= COUT / BN) return;
    const int column = y * BN + tile / SPAN * SPAN * 8 + n / 2 * SPAN * 2 + tile % SPAN * 2 + n % 2;
    const int v = CIN < 32 ? 2 * unit + q / 2 : unit / PER;
    const int channel = CIN < 32 ? q % 2 * 8 : unit % PER * 32 + q * 8;
#pragma unroll
    for (int j = 0; j < 8; j++)
        packed[i * 8 + j] = v < OFFSETS ? w[((size_t)v * CIN + channel + j) * COUT + column] : __float2half(0);
}

__device__ unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

__device__ void mma(float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1)
{
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// One unit, two steps of 16 k: for the first 16 sites of a warp, or the others, or all.
template <bool FIRST, bool SECOND>
__device__ void multiply(float (&sum)[2][TILES][4], const uint4 (&a)[4], unsigned weights)
{
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
        uint4 b;
        asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(b.x), "=r"(b.y), "=r"(b.z), "=r"(b.w)
                     : "r"(weights + tile * 512)
                     : "memory");
        if (FIRST) mma(sum[0][tile], a[0].x, a[1].x, a[0].y, a[1].y, b.x, b.y);
        if (SECOND) mma(sum[1][tile], a[2].x, a[3].x, a[2].y, a[3].y, b.x, b.y);
        if (FIRST) mma(sum[0][tile], a[0].z, a[1].z, a[0].w, a[1].w, b.z, b.w);
        if (SECOND) mma(sum[1][tile], a[2].z, a[3].z, a[2].w, a[3].w, b.z, b.w);
    }
}

// Offsets that lead along an axis: 9 for x, 3 for y, 1 for z.
__device__ constexpr unsigned along(int stride)
{
    unsigned found = 0;
    for (int v = 0; v < OFFSETS && v < 32; v++)
        if (v / (stride == 9 ? KS * KS : stride == 3 ? KS : 1) % KS != KS / 2) found |= 1u << v;
    return found;
}

// The sites of a block by the axes along which they have neighbours.
struct Order {
    unsigned* masks;        // offsets that a site meets, in order
    unsigned short* sites;  // of the block, in order
};

__device__ void sort(const int* __restrict__ kmap, int* map, Order order, int o0, int NOUT)
{
    __shared__ int counts[8][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const int words = min((int)blockDim.x, NOUT - o0) * OFFSETS;
    const int* from = kmap + (size_t)o0 * OFFSETS;
    for (int i = 4 * threadIdx.x; i < (int)blockDim.x * OFFSETS; i += 4 * blockDim.x) {
        int4 got = make_int4(-1, -1, -1, -1);
        if (i + 3 < words) {
            got = *reinterpret_cast<const int4*>(from + i);
        } else {
            if (i < words) got.x = from[i];
            if (i + 1 < words) got.y = from[i + 1];
            if (i + 2 < words) got.z = from[i + 2];
        }
        *reinterpret_cast<int4*>(map + i) = got;
    }
    if (warp == 0)
        for (int k = 0; k < 8; k++) counts[k][lane] = 0;
    __syncthreads();
    unsigned mask = 0;
#pragma unroll
    for (int v = 0; v < OFFSETS; v++) mask |= (map[threadIdx.x * OFFSETS + v] >= 0 ? 1u : 0u) << v;
    const int kind = ((mask & along(9)) != 0) * 4 + ((mask & along(3)) != 0) * 2 + ((mask & along(1)) != 0);
    const unsigned alike = __match_any_sync(ALL, kind);
    const int rank = __popc(alike & ((1u << lane) - 1));
    if (rank == 0) counts[kind][warp] = __popc(alike);
    __syncthreads();
    if (warp == 0) {
        int before = 0;
        for (int k = 0; k < 8; k++) {
            const int its = counts[k][lane];
            int sum = its;
#pragma unroll
            for (int step = 1; step < 32; step *= 2) {
                const int other = __shfl_up_sync(ALL, sum, step);
                if (lane >= step) sum += other;
            }
            counts[k][lane] = before + sum - its;
            before += __shfl_sync(ALL, sum, 31);
        }
    }
    __syncthreads();
    const int place = counts[kind][warp] + rank;
    order.masks[place] = mask;
    order.sites[place] = threadIdx.x;
    __syncthreads();
}

// Weights of one stage; how many 16-byte pieces of it there are.
__device__ void start(const __half* __restrict__ packed, int chunk, unsigned to)
{
    const int there = min(PIECES, (PLACES - chunk * GROUP) * PER * UNIT / 16);
    const char* from =
        reinterpret_cast<const char*>(packed) + (size_t)blockIdx.y * PLACES * PER * UNIT + (size_t)chunk * STAGE;
#pragma unroll 1
    for (int i = threadIdx.x; i < there; i += blockDim.x)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + i * 16), "l"(from + i * 16) : "memory");
}

__global__ void __launch_bounds__(32 * MOST)
convolve(const feats_t* __restrict__ feats, const int* __restrict__ kmap, const __half* __restrict__ packed,
         const __half* __restrict__ zeros, y_t* __restrict__ y, int NOUT)
{
    extern __shared__ __align__(16) unsigned char memory[];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, q = lane % 4, g = lane / 4;
    const int o0 = blockIdx.x * blockDim.x;
    int* const map = reinterpret_cast<int*>(memory + STAGES * STAGE);
    const Order order = {reinterpret_cast<unsigned*>(map + blockDim.x * OFFSETS),
                         reinterpret_cast<unsigned short*>(map + blockDim.x * (OFFSETS + 1))};
    const unsigned weights = shared_address(memory);
#pragma unroll
    for (int chunk = 0; chunk < min(CHUNKS, max(1, STAGES - 1)); chunk++) {
        start(packed, chunk, weights + chunk * STAGE);
        asm volatile("cp.async.commit_group;" ::: "memory");
    }
    unsigned first = ALL, second = ALL;  // offsets that the first 16 sites of the warp meet, and the others
    int site[4];                         // of the lane: g, g + 8, g + 16, g + 24 of the warp
    if (SORTED) {
        sort(kmap, map, order, o0, NOUT);
        const unsigned mask = order.masks[threadIdx.x];
        first = __reduce_or_sync(ALL, lane < 16 ? mask : 0);
        second = __reduce_or_sync(ALL, lane < 16 ? 0 : mask);
    }
    const int* entry[4];  // of the site's first offset
#pragma unroll
    for (int i = 0; i < 4; i++) {
        site[i] = warp * 32 + g + 8 * i;
        if (SORTED) site[i] = order.sites[site[i]];
        entry[i] = SORTED ? map + site[i] * OFFSETS : kmap + (size_t)min(o0 + site[i], NOUT - 1) * OFFSETS;
    }
    const int piece = CIN < 32 ? q % 2 * 8 : q * 8;  // the lane's first channel

    const char* const origin = reinterpret_cast<const char*>(feats + piece);
    const char* const nobody = reinterpret_cast<const char*>(zeros + piece);
    int row[ABREAST][4];
    const char* from[ABREAST][4];
    auto look = [&](const int (&places)[ABREAST]) {
#pragma unroll
        for (int p = 0; p < ABREAST; p++) {
            const int v = CIN < 32 ? 2 * places[p] + q / 2 : places[p];
            const bool there = CIN < 32 ? v < OFFSETS : ABREAST == 1 || places[p] < PLACES;
#pragma unroll
            for (int i = 0; i < 4; i++) row[p][i] = there ? entry[i][v] : -1;
        }
    };
    auto point = [&]() {
#pragma unroll
        for (int p = 0; p < ABREAST; p++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const char* at;
                asm("mad.wide.u32 %0, %1, %2, %3;" : "=l"(at) : "r"(row[p][i]), "n"(CIN * 2), "l"(origin));
                from[p][i] = row[p][i] >= 0 ? at : nobody;
            }
    };
    auto gather = [&](uint4 (&to)[UNITS][4], int part) {
#pragma unroll
        for (int u = 0; u < UNITS; u++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                to[u][i] = *reinterpret_cast<const uint4*>(from[u / PARTS][i] + (part + u % PARTS) * 64);
    };
    unsigned left = SORTED ? first | second : 0;
    auto take = [&](int (&places)[ABREAST]) {  // the next ones; PLACES and more: none
#pragma unroll
        for (int p = 0; p < ABREAST; p++) {
            if (SORTED) {
                places[p] = left ? __ffs(left) - 1 : PLACES;
                left &= left - 1;
            } else {
                places[p] += ABREAST;
            }
        }
    };

    float sum[2][TILES][4] = {};
    uint4 even[UNITS][4], odd[UNITS][4];
    bool turn = false;
    int place[ABREAST], next[ABREAST];
#pragma unroll
    for (int p = 0; p < ABREAST; p++) place[p] = next[p] = p - ABREAST;
    take(place);
    if (AHEAD && place[0] < PLACES) {
        look(place);
        point();
        gather(even, 0);
    }
    if (!SORTED) take(next);
    take(next);
    if (AHEAD && !SORTED && next[0] < PLACES) look(next);
    for (int chunk = 0; chunk < CHUNKS; chunk++) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES > 1 ? STAGES - 2 : 0) : "memory");
        __syncthreads();
        if (STAGES > 1) {
            const int far = chunk + STAGES - 1;
            if (far < CHUNKS) start(packed, far, weights + far % STAGES * STAGE);
            asm volatile("cp.async.commit_group;" ::: "memory");
        }
        const unsigned stage = weights + chunk % STAGES * STAGE + lane * 16 - chunk * STAGE;
        const int end = min(PLACES, (chunk + 1) * GROUP);
        while (place[0] < end) {
#pragma unroll
            for (int part = 0; part < PER; part += PARTS) {
                // Features of the next step are on their way while those of this one are multiplied.
                auto step = [&](uint4 (&now)[UNITS][4], uint4 (&then)[UNITS][4]) {
                    if (!AHEAD) {
                        if (part == 0) {
                            look(place);
                            point();
                        }
                        gather(now, part);
                    } else if (part + PARTS < PER) {
                        gather(then, part + PARTS);
                    } else if (next[0] < PLACES) {
                        if (SORTED) look(next);
                        point();
                        gather(then, 0);
                        if (!SORTED) {
                            int after[ABREAST];
#pragma unroll
                            for (int p = 0; p < ABREAST; p++) after[p] = next[p];
                            take(after);
                            if (after[0] < PLACES) look(after);
                        }
                    }
#pragma unroll
                    for (int u = 0; u < UNITS; u++) {
                        const int its = place[u / PARTS];
                        const unsigned at = stage + (its * PER + part + u % PARTS) * UNIT;
                        const bool low = SORTED ? its < 32 && first >> its & 1 : its < PLACES;
                        const bool high = SORTED ? its < 32 && second >> its & 1 : its < PLACES;
                        if (low && high)
                            multiply<true, true>(sum, now[u], at);
                        else if (SORTED && low)
                            multiply<true, false>(sum, now[u], at);
                        else if (SORTED && high)
                            multiply<false, true>(sum, now[u], at);
                    }
                };
                if (AHEAD && turn)
                    step(odd, even);
                else
                    step(even, odd);
                turn = !turn;
            }
#pragma unroll
            for (int p = 0; p < ABREAST; p++) place[p] = next[p];
            take(next);
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (o0 + site[i] >= NOUT) continue;
        y_t* to = y + (size_t)(o0 + site[i]) * COUT + blockIdx.y * BN + q * SPAN * 2;
#pragma unroll
        for (int tile = 0; tile < TILES; tile += SPAN) {
            unsigned out[SPAN];
#pragma unroll
            for (int t = 0; t < SPAN; t++) {
                const float* its = sum[i / 2][tile + t] + i % 2 * 2;
                asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(out[t]) : "f"(its[1]), "f"(its[0]));
            }
            if (SPAN == 4)
                asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to + tile * 8), "r"(out[0]), "r"(out[1]),
                             "r"(out[SPAN - 2]), "r"(out[SPAN - 1])
                             : "memory");
            else
                asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(to + tile * 8), "r"(out[0]), "r"(out[1])
                             : "memory");
        }
    }
}
