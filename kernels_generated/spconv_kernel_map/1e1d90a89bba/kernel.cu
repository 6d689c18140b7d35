// /// kernel
// task = "spconv_kernel_map"
// constants = ["KS", "STRIDE"]
// tags = ["hash", "packed", "bitmask", "cooperative", "persistent", "shared_tile", "coalesced", "fused"]
//
// [tune]
// THREADS = [512, 256]
// BLOCKS = [4, 3, 2]                    # of a multiprocessor, at most
//
// [let]
// CAP = "pow2ceil(NV + NV // 6 + 2)"    # bricks that the table has room for; never more than six sevenths are used
// WARPS = "THREADS // 32"
// AREA = "(KS + 3) * (KS + 3) * ((KS + 3) // 2 * 2 + 1)"
// SCRATCH = "432 * (1 + 3 * (KS <= 3)) + max(16, align(4 * AREA, 16) * (KS > 3)) + 8 * 68"   # bytes of a warp
//
// [[buffer]]
// name = "bricks"                       # key, and the complement of a mask of the 64 cells that hold a site
// shape = ["CAP", "2"]
// dtype = "int64"
//
// [[buffer]]
// name = "rows"                         # the input row in each cell of a brick that the mask names; -1 behind the last
// shape = ["CAP + 1", "64"]
// dtype = "int32"
//
// [[buffer]]
// name = "list"                         # slots of the bricks that hold a site, in no order; then how many
// shape = ["NV + 1"]
// dtype = "int32"
//
// [[buffer]]
// name = "cells"                        # (stride 2) where in `rows` each site stands
// shape = ["NV * (STRIDE > 1)"]
// dtype = "int32"
//
// [[buffer]]
// name = "places"                       # (stride 2) the output row of each of the eight coarse cells of a brick
// shape = ["CAP * (STRIDE > 1)", "8"]
// dtype = "int32"
//
// [[buffer]]
// name = "leaders"                      # (stride 2) output sites of each block's share
// shape = ["SMS * 32"]
// dtype = "int32"
//
// [[launch]]
// kernel = "build"
// cooperative = true
// grid = "max(1, min(RESIDENT, cdiv(NV, 192 + 64 * (STRIDE > 1))))"
// block = "THREADS"
// shared = "WARPS * SCRATCH"
// ///

// Space is cut into bricks of 4 x 4 x 4 cells. A hash table has a key and a mask for every brick that holds a site, 16
// bytes; rows lie beside it, 256 bytes a brick, and are read for cells that the mask names only. One launch builds all:
//
//     clear    every block a share of the table                                                    | barrier of the grid
//     insert   a thread a site: claims its brick, clears its bit of the complement, writes its row;
//              who claims a brick puts it on the list                                              | barrier of the grid
//     number   (stride 2) the first cell of the eight of a coarse cell leads; leaders are counted by blocks | barrier,
//              summed, and told where they stand in the output                                     | barrier of the grid
//     meet     a warp takes a brick:
//
//                lane -> neighbour of 27   a probe each, where a site of the brick reaches that far
//                lane -> cell              the brick's sites, one after the other, in shared memory
//                lane -> offset            a site at a time: its place in the area plus the offset's says which
//                                          neighbour and which bit, and so the row, or -1 -> kmap, 128 bytes a warp
//
//              With kernels of 4 and 5 the rows of the whole area around the brick, (3 + KS)^3 cells, come to shared
//              memory first, a lane a line along z: ten sites then share what they have around them.
//              Where bricks hold few sites (fewer than three each, stride 1) a warp takes four sites instead, which
//              have two bricks along each axis to look into: lane -> (site, corner).
//
// Within the area a site and an offset are both numbers of words, and their sum is the neighbour.

#include <cooperative_groups.h>

typedef unsigned long long Key;

constexpr unsigned ALL = 0xFFFFFFFFu;
constexpr int OFFSETS = KS * KS * KS, PASSES = (OFFSETS + 31) / 32;
constexpr int BELOW = KS / 2, ABOVE = KS - 1 - BELOW;  // how far an offset leads down and up
constexpr int EDGE = 3 + KS, LINES = EDGE * EDGE;      // of a brick with what lies around it
constexpr int PITCH = EDGE | 1;                        // words from line to line; odd: in different banks
constexpr bool STAGED = KS > 3;                        // rows around a brick are brought to shared memory first
constexpr int AHEAD = STRIDE > 1 || STAGED ? 2 : 4;                // sites of a brick side by side
constexpr int RESIDENTS = STAGED ? 2 : STRIDE > 1 && BLOCKS > 3 ? 3 : BLOCKS;  // blocks of a multiprocessor
constexpr int LIFT = 4100;                             // moves bricks below 0 up
constexpr Key COARSE = 0x0000050500000505ull;          // cells of a brick with even x, y and z

static_assert(sizeof(coords_t) == 4 && sizeof(kmap_t) == 4, "coordinates and rows are 32-bit integers");
static_assert(KS <= 5, "the cells around a brick lie in three bricks an axis");
static_assert(STRIDE <= 2, "a coarse cell lies in one brick");
static_assert(AREA == LINES * PITCH, "the head block knows the size of an area");
static_assert(THREADS % 32 == 0 && WARPS <= 32, "whole warps, counted by one");

// A brick: batch and x, y and z, all moved up.
struct Place {
    unsigned high, low;
};

__device__ Place place_of(int b, int x, int y, int z)
{
    return {(unsigned)b << 16 | (unsigned)((x >> 2) + LIFT),
            (unsigned)((y >> 2) + LIFT) << 16 | (unsigned)((z >> 2) + LIFT)};
}

__device__ Key key_of(Place place) { return (Key)place.high << 32 | place.low; }

__device__ unsigned slot_of(Place place, int CAP)
{
    unsigned mixed = place.high * 0x9E3779B1u + place.low * 0x85EBCA77u;
    mixed = (mixed ^ mixed >> 15) * 0x2C1B3C6Du;
    return __umulhi(mixed, (unsigned)CAP);
}

__device__ unsigned cell_of(int x, int y, int z) { return (x & 3) << 4 | (y & 3) << 2 | z & 3; }

// A brick's slot and the cells that hold a site; none of a brick that is not there.
struct Brick {
    unsigned slot;
    Key cells;
};

__device__ Brick find(const Key* bricks, Place place, int CAP)
{
    const Key key = key_of(place);
    for (unsigned slot = slot_of(place, CAP);; slot = (slot + 1) & (CAP - 1)) {
        const ulonglong2 at = reinterpret_cast<const ulonglong2*>(bricks)[slot];
        if (at.x == key || at.x == ~0ull) return {slot, ~at.y};
    }
}

// What all warps of a block read.
struct Constants {
    unsigned lookup[STAGED ? 1 : AREA];  // cell of the area -> bytes to its half brick << 16 | 31 - its bit there
    int shift[OFFSETS];                  // offset -> words from the least cell around a site
    Key reach[27];                       // cells from which some offset leads into the neighbour
    int sums[2][WARPS];
};

// One of the 27 bricks around one, in halves of 32 cells: a mask of those that hold a site, and the row of the last one
// plus what `lookup` says of where the half lies, so that the row of a cell is `last` minus its entry there.
struct Half {
    unsigned cells, last;
};

// An output site: bytes from the least cell of the area to the least one around it, and its row.
struct Site {
    int base, row;
};

// What a warp knows: the bricks around one (or around each of four sites), the rows of the area, the sites to be written.
struct Scratch {
    alignas(16) Half around[STAGED ? 1 : 4][27][2];
    int area[STAGED ? (AREA + 3) / 4 * 4 : 4];
    Site sites[64 + 4];
};

static_assert(sizeof(Scratch) == SCRATCH, "the head block knows how much shared memory a warp has");
static_assert(AHEAD <= 4, "there is room for so many sites behind the last");

__device__ void put(Half (*around)[2], int neighbour, Brick brick)
{
    const unsigned last = brick.slot * 64 + 31 + (STAGED ? 0 : neighbour << 20);
    *reinterpret_cast<uint4*>(around[neighbour]) =
        make_uint4((unsigned)brick.cells, last, (unsigned)(brick.cells >> 32), last + 32 + (STAGED ? 0 : 8 << 16));
}

// How many threads of the block before this one say yes, and in `total` how many do.
__device__ int rank_of(bool yes, int* sums, int& total)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned votes = __ballot_sync(ALL, yes);
    __syncthreads();
    if (lane == 0) sums[warp] = __popc(votes);
    __syncthreads();
    const int its = lane < WARPS ? sums[lane] : 0;
    total = __reduce_add_sync(ALL, its);
    return __reduce_add_sync(ALL, lane < warp ? its : 0) + __popc(votes & ((1u << lane) - 1));
}

__device__ Key planes(int width, Key plane, int step, bool from_above)
{
    Key cells = 0;
    for (int i = 0; i < width; i++) cells |= plane << step * (from_above ? 3 - i : i);
    return cells;
}

__device__ Key reaching(int side, Key plane, int step)
{
    return side == 1 ? ~0ull : side == 0 ? planes(BELOW, plane, step, false) : planes(ABOVE, plane, step, true);
}

__device__ void prepare(Constants& constants)
{
    if (!STAGED)
        for (int i = threadIdx.x; i < AREA; i += THREADS) {
            const int x = i / (EDGE * PITCH) + 4 - BELOW, y = i / PITCH % EDGE + 4 - BELOW, z = i % PITCH + 4 - BELOW;
            constants.lookup[i] = (x / 4 * 9 + y / 4 * 3 + z / 4) << 20 | (x & 2) << 18 | 31 - (cell_of(x, y, z) & 31);
        }
    for (int v = threadIdx.x; v < OFFSETS; v += THREADS)
        constants.shift[v] = (v / (KS * KS) * EDGE + v / KS % KS) * PITCH + v % KS;
    if (threadIdx.x < 27)
        constants.reach[threadIdx.x] = reaching(threadIdx.x / 9, 0xFFFFull, 16) &
                                       reaching(threadIdx.x / 3 % 3, 0x000F000F000F000Full, 4) &
                                       reaching(threadIdx.x % 3, 0x1111111111111111ull, 1);
}

__device__ unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

__device__ unsigned word_at(unsigned address)
{
    unsigned value;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(value) : "r"(address) : "memory");
    return value;
}

__device__ Half half_at(unsigned address)
{
    Half value;
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(value.cells), "=r"(value.last) : "r"(address) : "memory");
    return value;
}

// The maps of N sites: rows that lie in shared memory, or are looked up among the bricks around; EACH has its own there.
// `from` is where the lane's offsets lie from the least cell around a site, in `area` or in `lookup`.
template <int N, bool EACH>
__device__ void emit(const Site* sites, unsigned around, const int* rows, int nobody, const unsigned (&from)[PASSES],
                     char* kmap)
{
    int base[N];
    char* to[N];
#pragma unroll
    for (int k = 0; k < N; k++) {
        const int2 site = reinterpret_cast<const int2*>(sites)[k];
        base[k] = site.x;
        to[k] = kmap + (long long)site.y * (4 * OFFSETS);
    }
#pragma unroll
    for (int pass = 0; pass < PASSES; pass++) {
        unsigned found[N];
#pragma unroll
        for (int k = 0; k < N; k++) found[k] = word_at(from[pass] + base[k]);
        if (!STAGED) {
            Half half[N];
#pragma unroll
            for (int k = 0; k < N; k++)
                half[k] = half_at(around + (EACH ? k * (int)sizeof(Scratch::around[0]) : 0) + (found[k] >> 16));
#pragma unroll
            for (int k = 0; k < N; k++) {
                const bool there = (int)__funnelshift_l(0, half[k].cells, found[k]) < 0;
                found[k] = rows[there ? half[k].last - found[k] : nobody];
            }
        }
        if (threadIdx.x % 32 + 32 * pass < OFFSETS) {
#pragma unroll
            for (int k = 0; k < N; k++) *reinterpret_cast<int*>(to[k] + 128 * pass) = found[k];
        }
    }
}

__global__ void __launch_bounds__(THREADS, RESIDENTS)
build(const int* __restrict__ coords, long long* bricks, int* rows, int* list, int* cells, int* places, int* leaders,
      int* __restrict__ out_coords, int* __restrict__ kmap, int* __restrict__ n_out, int NV, int CAP)
{
    __shared__ Constants constants;
    __shared__ int start;
    extern __shared__ __align__(16) unsigned char memory[];
    const cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, blocks = gridDim.x;
    Key* const table = reinterpret_cast<Key*>(bricks);

    // Clear.
    for (int slot = blockIdx.x * THREADS + threadIdx.x; slot < CAP; slot += blocks * THREADS)
        reinterpret_cast<ulonglong2*>(table)[slot] = make_ulonglong2(~0ull, ~0ull);
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        list[NV] = 0;
        if (STRIDE == 1) n_out[0] = NV;
    }
    if (blockIdx.x == 0 && threadIdx.x < 4) rows[CAP * 64 + threadIdx.x] = -1;
    prepare(constants);
    grid.sync();

    // Insert.
    const int share = ((NV + blocks - 1) / blocks + 31) / 32 * 32;
    const int begin = min(NV, (int)blockIdx.x * share), end = min(NV, begin + share);
    int4 at = make_int4(0, 0, 0, 0);  // a thread's last site
    unsigned where = 0;                  // and its place in `rows`
    for (int first = begin; first < end; first += THREADS) {
        const int i = first + threadIdx.x;
        bool claims = false;
        unsigned slot = 0;
        if (i < end) {
            at = reinterpret_cast<const int4*>(coords)[i];
            if (STRIDE == 1) reinterpret_cast<int4*>(out_coords)[i] = at;
            const Place place = place_of(at.x, at.y, at.z, at.w);
            const Key key = key_of(place);
            const unsigned cell = cell_of(at.y, at.z, at.w);
            for (slot = slot_of(place, CAP);; slot = (slot + 1) & (CAP - 1)) {
                const Key old = atomicCAS(table + 2 * slot, ~0ull, key);
                claims = old == ~0ull;
                if (claims || old == key) break;
            }
            atomicAnd(table + 2 * slot + 1, ~(1ull << cell));
            where = slot * 64 + cell;
            rows[where] = i;
            if (STRIDE > 1 && share > THREADS) cells[i] = where;
        }
        int total;
        const int rank = rank_of(claims, constants.sums[0], total);
        if (threadIdx.x == 0) start = atomicAdd(list + NV, total);
        __syncthreads();
        if (claims) list[start + rank] = slot;
    }
    grid.sync();

    if (STRIDE > 1) {
        // Number the coarse cells by their first sites. What a thread has read of its only site it still knows.
        auto leads = [&](int i) {
            if (i >= end) return false;
            if (share > THREADS) where = cells[i];
            const unsigned cell = where & 63;
            return !(~table[where / 64 * 2 + 1] & 0x330033ull << (cell & ~21u) & ((1ull << cell) - 1));
        };
        int count = 0;
        bool one = false;
        for (int first = begin; first < end; first += THREADS) {
            one = leads(first + threadIdx.x);
            count += __syncthreads_count(one);
        }
        if (threadIdx.x == 0) leaders[blockIdx.x] = count;
        grid.sync();
        int before = 0, all = 0;
        for (int b = threadIdx.x; b < blocks; b += THREADS) {
            const int its = leaders[b];
            before += b < blockIdx.x ? its : 0;
            all += its;
        }
        before = __reduce_add_sync(ALL, before);
        all = __reduce_add_sync(ALL, all);
        if (lane == 0) constants.sums[0][warp] = before, constants.sums[1][warp] = all;
        __syncthreads();
        before = __reduce_add_sync(ALL, lane < WARPS ? constants.sums[0][lane] : 0);
        all = __reduce_add_sync(ALL, lane < WARPS ? constants.sums[1][lane] : 0);
        if (blockIdx.x == 0 && threadIdx.x == 0) n_out[0] = all;
        for (int first = begin; first < end; first += THREADS) {
            const int i = first + threadIdx.x;
            if (share > THREADS) {
                one = leads(i);
                if (one) at = reinterpret_cast<const int4*>(coords)[i];
            }
            int total;
            const int to = before + rank_of(one, constants.sums[0], total);
            before += total;
            if (one) {
                places[where / 64 * 8 + (where >> 3 & 4 | where >> 2 & 2 | where >> 1 & 1)] = to;
                reinterpret_cast<int4*>(out_coords)[to] = make_int4(at.x, at.y & ~1, at.z & ~1, at.w & ~1);
            }
        }
        grid.sync();
    }

    const int held = list[NV], nobody = CAP * 64;
    Scratch& scratch = reinterpret_cast<Scratch*>(memory)[warp];
    Half(&around)[27][2] = scratch.around[0];
    char* const map = reinterpret_cast<char*>(kmap + lane);
    const unsigned bricks_at = shared_address(around);
    unsigned from[PASSES];
#pragma unroll
    for (int pass = 0; pass < PASSES; pass++)
        from[pass] = shared_address((STAGED ? (const void*)scratch.area : constants.lookup)) +
                     4 * constants.shift[min(lane + 32 * pass, OFFSETS - 1)];

    if (!STAGED && STRIDE == 1 && held > NV / 3) {
        // Few sites a brick: four sites at a time.
        const int corner = lane % 8;
        for (int group = warp * blocks + blockIdx.x; 4 * group < NV; group += WARPS * blocks) {
            const int4 at = reinterpret_cast<const int4*>(coords)[min(4 * group + lane / 8, NV - 1)];
            const int x = at.y & 3, y = at.z & 3, z = at.w & 3;
            // To which side an offset leads out of the brick: -1 or 1, or 0 if none does.
            const int out_x = (corner & 4) ? (x > 3 - ABOVE) - (x < BELOW) : 0;
            const int out_y = (corner & 2) ? (y > 3 - ABOVE) - (y < BELOW) : 0;
            const int out_z = (corner & 1) ? (z > 3 - ABOVE) - (z < BELOW) : 0;
            const int sides = (out_x != 0) * 4 + (out_y != 0) * 2 + (out_z != 0);
            __syncwarp();
            if (sides == corner) {
                Place place = place_of(at.x, at.y, at.z, at.w);
                place.high += out_x;
                place.low += out_y * 65536 + out_z;
                const Brick brick = find(table, place, CAP);
                put(scratch.around[lane / 8], 13 + out_x * 9 + out_y * 3 + out_z, brick);
            }
            if (corner == 0)
                scratch.sites[lane / 8] = {((x * EDGE + y) * PITCH + z) * 4, min(4 * group + lane / 8, NV - 1)};
            __syncwarp();
            emit<4, true>(scratch.sites, bricks_at, rows, nobody, from, map);
        }
        return;
    }

    const Key reach = lane < 27 ? constants.reach[lane] : 0;
    // No warp comes for one brick alone.
    const int number = warp * blocks + blockIdx.x, takers = min(WARPS * blocks, (held + 1) / 2);
    for (int j = number < takers ? number : held; j < held; j += takers) {
        const unsigned slot = list[j];
        const ulonglong2 own = reinterpret_cast<const ulonglong2*>(table)[slot];
        Key out = ~own.y;  // where output sites stand
        if (STRIDE > 1) {
            out |= out >> 1;
            out |= out >> 4;
            out = (out | out >> 16) & COARSE;
        }
        Brick brick = {0, 0};
        if (out & reach) {
            Place place = {(unsigned)(own.x >> 32), (unsigned)own.x};
            place.high += lane / 9 - 1;
            place.low += (lane / 3 % 3 - 1) * 65536 + lane % 3 - 1;
            brick = find(table, place, CAP);
        }
        __syncwarp();
        if (lane < 27) put(around, lane, brick);
        int count = 0;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const unsigned bits = half ? out >> 32 : out;
            if (bits >> lane & 1) {
                const int cell = lane + 32 * half;
                const int row = STRIDE > 1 ? places[slot * 8 + (cell >> 3 & 4 | cell >> 2 & 2 | cell >> 1 & 1)]
                                           : rows[slot * 64 + cell];
                scratch.sites[count + __popc(bits & ((1u << lane) - 1))] = {
                    ((cell / 16 * EDGE + cell / 4 % 4) * PITCH + cell % 4) * 4, row};
            }
            count += __popc(bits);
        }
        __syncwarp();
        if (lane < AHEAD - 1) scratch.sites[count + lane] = scratch.sites[count - 1];  // again and again
        if (STAGED) {
#pragma unroll
            for (int line = lane; line < LINES; line += 32) {
                const unsigned x = line / EDGE + 4 - BELOW, y = line % EDGE + 4 - BELOW;
                const unsigned column = (x / 4 * 3 + y / 4) * 3, pillar = x % 4 * 16 + y % 4 * 4;
                const unsigned low = around[column][pillar / 32].cells >> pillar % 32 & 15;
                const unsigned middle = around[column + 1][pillar / 32].cells >> pillar % 32 & 15;
                const unsigned high = around[column + 2][pillar / 32].cells >> pillar % 32 & 15;
                const unsigned there = low >> (4 - BELOW) | middle << BELOW | high << (4 + BELOW);
                const int* at[3];
#pragma unroll
                for (int b = 0; b < 3; b++) at[b] = rows + (around[column + b][0].last - 31 + pillar);
                int found[EDGE];
#pragma unroll
                for (int step = 0; step < EDGE; step++) {
                    const int z = step + 4 - BELOW;
                    found[step] = (there >> step & 1 ? at[z / 4] : rows + nobody)[z % 4];
                }
#pragma unroll
                for (int step = 0; step < EDGE; step++) scratch.area[line * PITCH + step] = found[step];
            }
        }
        __syncwarp();
        for (int site = 0; site < count; site += AHEAD)
            emit<AHEAD, false>(scratch.sites + site, bricks_at, rows, nobody, from, map);
        __syncwarp();
    }
}
