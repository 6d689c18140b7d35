// /// kernel
// task = "spconv_forward"
// requires = "CIN % 16 == 0 and (64 % CIN == 0 or CIN % 64 == 0) and COUT % 16 == 0 and COUT % min(COUT, 128) == 0"
// constants = ["KS", "CIN", "COUT"]
// tags = ["tensor_core", "implicit_gemm", "async_copy", "pipelined", "vectorized", "shared_tile", "padded"]
//
// [tune]
// TM = [128, 64, 256]                     # output sites of a block
// STAGES = [3, 2, 4]                      # tiles of feats and w in shared memory
//
// [let]
// BN = "min(COUT, 128)"                   # output channels of a block
// ACROSS = "max(1, BN // 64)"             # warps side by side along them
// BUFFER = "(TM * 72 + 64 * (BN + 8)) * size(feats)"
//
// [[launch]]
// kernel = "convolve"
// grid = ["cdiv(NOUT, TM)", "COUT // BN"]
// block = "TM * ACROSS"
// shared = "STAGES * BUFFER"
// ///

// Implicit GEMM. A block makes TM sites x BN channels; K runs over the offsets that at least one of its sites meets.
//
//   1  survey     kmap of the TM sites: met[v][i] = whether one of the sites 32 i to 32 i + 31 meets offset v
//   2  list       offsets that any of them meets, in order, found by votes of a warp; the others are never loaded
//   3  steps of 64 k = 64 / CIN offsets, or a part of one       buffer = step % STAGES
//
//         kmap -> rows                  one step ahead, in registers
//         feats[rows] -> a[TM][64]      cp.async of 16 bytes a lane, zeros where there is no neighbour
//         w[offsets]  -> b[64][BN]      cp.async
//         wait | barrier | start step + STAGES - 1 | mma.m16n8k16 of this step
//
//   4  sums -> shared memory -> y in 16-byte stores
//
// A warp has 32 sites x up to 64 channels, and leaves out offsets that none of its 32 sites meets. Rows of a and b are
// padded by 16 bytes, which puts eight rows of an ldmatrix into different banks.

#include <cuda_fp16.h>

constexpr int DEPTH = 64;                              // k of a step
constexpr int PER = CIN < DEPTH ? DEPTH / CIN : 1;     // offsets of a step
constexpr int PARTS = CIN > DEPTH ? CIN / DEPTH : 1;   // steps of an offset
constexpr int OFFSETS = KS * KS * KS;
constexpr int GROUPS = TM / 32;                         // of sites; a warp's rows, and what is left out together
constexpr int THREADS = TM * ACROSS;
constexpr int A_STRIDE = DEPTH + 8, B_STRIDE = BN + 8;
constexpr int GATHERS = TM * (DEPTH / 8) / THREADS;    // 16-byte pieces of a that a thread copies in a step
constexpr int WIDTH = BN / ACROSS, TILES = WIDTH / 8;  // columns of a warp

static_assert(sizeof(feats_t) == 2 && sizeof(w_t) == 2 && sizeof(y_t) == 2, "features and weights are half precision");
static_assert(TM % 32 == 0 && GROUPS <= 8, "one byte of eight for every 32 sites");
static_assert(CIN % 16 == 0, "an mma takes 16 k of one offset");
static_assert(TILES % 2 == 0, "one ldmatrix brings two column tiles");
static_assert(BUFFER % 16 == 0, "every buffer begins at a multiple of 16 bytes");
static_assert(STAGES * BUFFER >= TM * B_STRIDE * 2, "the result fits where the buffers were");

struct Schedule {
    union {
        unsigned char met[OFFSETS][8];             // by group of sites
        unsigned long long any[OFFSETS];
    };
    int list[OFFSETS + PER];                       // offsets met, then -1
    alignas(8) unsigned char groups[OFFSETS + PER][8];  // met[list[slot]]
    int count;
};

__device__ unsigned shared_address(const void* p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}

// 16 bytes, or zeros. The cache hint keeps in L1 what neighbouring sites share.
__device__ void copy(unsigned to, const void* from, bool there)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}

__device__ void mma(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ void load_matrices(unsigned (&r)[4], unsigned at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

__device__ void load_transposed(unsigned (&r)[4], unsigned at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

// Which offsets the tile meets, and the list of them.
__device__ void survey(const int* __restrict__ kmap, Schedule& schedule, int o0, int NOUT)
{
    const int lane = threadIdx.x % 32, there = min(TM, NOUT - o0);
    for (int v = threadIdx.x; v < OFFSETS; v += THREADS) schedule.any[v] = 0;
    __syncthreads();
    for (int group = threadIdx.x / 32; group < GROUPS; group += THREADS / 32) {
        // Lanes read neighbouring words; each lane's are 32 apart, so its offsets are too, modulo their number.
        const int entries = min(32, there - group * 32) * OFFSETS;
        const int* entry = kmap + (size_t)(o0 + group * 32) * OFFSETS + lane;
        int v = lane % OFFSETS;
#pragma unroll 9
        for (int i = 0; i < OFFSETS; i++) {
            const int row = lane + 32 * i < entries ? entry[32 * i] : -1;
            if (row >= 0) schedule.met[v][group] = 1;
            v += 32 % OFFSETS;
            v -= v >= OFFSETS ? OFFSETS : 0;
        }
    }
    __syncthreads();
    if (threadIdx.x < 32) {
        int count = 0;
        for (int first = 0; first < OFFSETS; first += 32) {
            const int v = first + lane;
            const unsigned long long groups = v < OFFSETS ? schedule.any[v] : 0;
            const unsigned votes = __ballot_sync(~0u, groups != 0);
            const int slot = count + __popc(votes & ((1u << lane) - 1));
            if (groups) {
                schedule.list[slot] = v;
                *reinterpret_cast<unsigned long long*>(schedule.groups[slot]) = groups;
            }
            count += __popc(votes);
        }
        if (lane < PER) {
            schedule.list[count + lane] = -1;
            *reinterpret_cast<unsigned long long*>(schedule.groups[count + lane]) = 0;
        }
        if (lane == 0) schedule.count = count;
    }
    __syncthreads();
}

// What a thread copies of a: the 16 bytes at channel 8 * piece of its own sites, which are THREADS / 8 apart.
struct Gather {
    const int* kmap;         // of the first site
    const feats_t* feats;    // at this piece's channels of row 0
    int slot;                // of the step's offsets
    int sites;               // how many there are
    unsigned to;             // address in the first buffer
    int rows[GATHERS];       // of the next step; -1: none

    __device__ void find(const Schedule& schedule, int step)
    {
        const int v = schedule.list[step / PARTS * PER + slot];
        const int* entry = kmap + v;
#pragma unroll
        for (int i = 0; i < GATHERS; i++) {
            rows[i] = -1;
            if (v >= 0 && i * (THREADS / 8) < sites) rows[i] = entry[i * (THREADS / 8) * OFFSETS];
        }
    }

    __device__ void start(int step, unsigned buffer) const
    {
        const feats_t* from = feats + step % PARTS * DEPTH;
#pragma unroll
        for (int i = 0; i < GATHERS; i++)
            copy(to + buffer + i * (THREADS / 8) * A_STRIDE * 2, from + (size_t)(unsigned)max(rows[i], 0) * CIN,
                 rows[i] >= 0);
    }
};

__device__ void start_weights(const w_t* __restrict__ w, const Schedule& schedule, int step, unsigned b)
{
#pragma unroll
    for (int i = threadIdx.x; i < DEPTH * BN / 8; i += THREADS) {
        const int k = i / (BN / 8), n = i % (BN / 8) * 8;
        const int v = schedule.list[step / PARTS * PER + k / CIN % PER];
        const int row = max(v, 0) * CIN + step % PARTS * DEPTH + k % CIN;
        copy(b + (k * B_STRIDE + n) * 2, w + row * COUT + blockIdx.y * BN + n, v >= 0);
    }
}

// One step for a warp: `left` and `right` are its lane's addresses for ldmatrix, in a buffer.
__device__ void multiply(unsigned left, unsigned right, const Schedule& schedule, int step, float (&sum)[2][TILES][4])
{
    const int group = threadIdx.x / 32 / ACROSS;
#pragma unroll
    for (int k = 0; k < DEPTH; k += 16) {
        if (!schedule.groups[step / PARTS * PER + k / CIN % PER][group]) continue;  // the same for the whole warp
        unsigned upper[4], lower[4];
        load_matrices(upper, left + k * 2);
        load_matrices(lower, left + (16 * A_STRIDE + k) * 2);
#pragma unroll
        for (int tile = 0; tile < TILES; tile += 2) {
            unsigned columns[4];
            load_transposed(columns, right + (k * B_STRIDE + tile * 8) * 2);
            mma(sum[0][tile], upper, columns[0], columns[1]);
            mma(sum[1][tile], lower, columns[0], columns[1]);
            mma(sum[0][tile + 1], upper, columns[2], columns[3]);
            mma(sum[1][tile + 1], lower, columns[2], columns[3]);
        }
    }
}

// Sums to shared memory, where rows lie whole, and from there to y.
__device__ void store(const float (&sum)[2][TILES][4], __half* out, y_t* __restrict__ y, int o0, int NOUT)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    __half* corner = out + (warp / ACROSS * 32 + lane / 4) * B_STRIDE + warp % ACROSS * WIDTH + lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            __half* at = corner + 16 * half * B_STRIDE + tile * 8;
            const float(&s)[4] = sum[half][tile];
            *reinterpret_cast<__half2*>(at) = __floats2half2_rn(s[0], s[1]);
            *reinterpret_cast<__half2*>(at + 8 * B_STRIDE) = __floats2half2_rn(s[2], s[3]);
        }
    __syncthreads();
#pragma unroll
    for (int i = threadIdx.x; i < TM * (BN / 8); i += THREADS) {
        const int r = i / (BN / 8), n = i % (BN / 8) * 8;
        if (o0 + r < NOUT)
            *reinterpret_cast<uint4*>(y + (size_t)(o0 + r) * COUT + blockIdx.y * BN + n) =
                *reinterpret_cast<const uint4*>(out + r * B_STRIDE + n);
    }
}

__global__ void __launch_bounds__(THREADS)
convolve(const feats_t* __restrict__ feats, const w_t* __restrict__ w, const int* __restrict__ kmap, y_t* __restrict__ y,
         int NOUT)
{
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ Schedule schedule;
    const int o0 = blockIdx.x * TM, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    survey(kmap, schedule, o0, NOUT);
    const int steps = (schedule.count + PER - 1) / PER * PARTS;

    const unsigned base = shared_address(memory), weights = base + TM * A_STRIDE * 2;
    const int piece = threadIdx.x % 8, first = threadIdx.x / 8;
    Gather gather = {kmap + (size_t)(o0 + first) * OFFSETS,
                     feats + piece * 8 % (CIN < DEPTH ? CIN : DEPTH),
                     piece * 8 / CIN % PER,
                     NOUT - o0 - first,
                     base + (first * A_STRIDE + piece * 8) * 2};
    const unsigned left = base + ((warp / ACROSS * 32 + lane % 16) * A_STRIDE + lane / 16 * 8) * 2;
    const unsigned right = weights + (lane % 16 * B_STRIDE + warp % ACROSS * WIDTH + lane / 16 * 8) * 2;

    // Buffers are used in turn; `fill` is the one to be filled next, `use` the one to be multiplied next.
    unsigned fill = 0, use = 0;
    auto advance = [](unsigned& buffer) { buffer = buffer == (STAGES - 1) * BUFFER ? 0 : buffer + BUFFER; };
    auto start = [&](int step) {
        if (step < steps) {
            gather.start(step, fill);
            start_weights(w, schedule, step, weights + fill);
            gather.find(schedule, min(step + 1, steps - 1));
            advance(fill);
        }
        asm volatile("cp.async.commit_group;" ::: "memory");
    };
    gather.find(schedule, 0);
    for (int step = 0; step < STAGES - 1; step++) start(step);
    float sum[2][TILES][4] = {};
    for (int step = 0; step < steps; step++) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
        __syncthreads();
        start(step + STAGES - 1);
        multiply(left + use, right + use, schedule, step, sum);
        advance(use);
    }
    asm volatile("cp.async.wait_group 0;" ::: "memory");
    __syncthreads();
    store(sum, reinterpret_cast<__half*>(memory), y, o0, NOUT);
}
