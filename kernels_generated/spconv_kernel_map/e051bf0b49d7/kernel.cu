// /// kernel
// task = "spconv_kernel_map"
// constants = ["KS", "STRIDE"]
// tags = ["hash", "packed", "bitmask", "vectorized", "coalesced", "fused"]
//
// [tune]
// ROWS = [32, 64]                       # input sites of a block
// THREADS = [128, 256]
//
// [let]
// CAP = "pow2ceil(NV + NV // 4 + 2)"    # bricks that the table has room for; never more than four fifths are used
//
// [[buffer]]
// name = "bricks"                       # key, and the complement of a mask of the 64 cells that hold a site
// shape = ["CAP", "2"]
// dtype = "int64"
// init = -1                             # no key, and no cell that holds one
//
// [[buffer]]
// name = "rows"                         # the input row in each cell of a brick; only what the mask names was written
// shape = ["CAP", "64"]
// dtype = "int32"
//
// [[buffer]]
// name = "leaders"                      # bit i % 32 of word i / 32: input site i stands for its coarse cell
// shape = ["cdiv(NV, 32)"]
// dtype = "int32"
//
// [[buffer]]
// name = "counts"                       # leaders among 256 sites
// shape = ["cdiv(NV, 256)"]
// dtype = "int32"
//
// [[launch]]
// kernel = "insert"
// grid = "cdiv(NV, 128)"
// block = 128
//
// [[launch]]
// kernel = "lead"
// when = "STRIDE > 1"
// grid = "cdiv(NV, 256)"
// block = 256
//
// [[launch]]
// kernel = "meet"
// grid = "max(1, cdiv(NV, ROWS))"
// block = "THREADS"
// ///

// Space is cut into bricks of 4 x 4 x 4 cells. A hash table has a key and a mask for every brick that holds a site: 16
// bytes, which say of 64 cells whether anybody is there. Rows lie beside it, 256 bytes a brick, and are read for
// neighbours that exist only; nobody clears them.
//
//     insert   a thread a site: claims its brick, clears its bit of the complement, writes its row
//     lead     (stride 2) a thread a site: the first cell of the eight of a coarse cell leads; a brick cuts none
//     meet     a block takes ROWS sites: sums the leaders before it, lists its own, writes their sites; then a warp
//              takes eight at a time
//
//                lane -> (site, corner of 8)   one probe each: the KS^3 cells around a site lie in 2 x 2 x 2 bricks
//                lane -> (site, x, y)          four bits of the lower brick's mask, four of the upper one's: KS of these
//                                              eight cells -> rows or -1 -> shared memory -> kmap, 16 bytes a lane
//
// The cells above each other are neighbours in a mask and in the table of rows. With stride 1 every site leads, so nothing
// is counted.
typedef unsigned long long Key;

constexpr unsigned ALL = 0xFFFFFFFFu;
constexpr int LINES = KS * KS, OFFSETS = LINES * KS, WARPS = THREADS / 32;
constexpr int LIFT = 4100;                  // moves bricks below 0 up

static_assert(sizeof(coords_t) == 4 && sizeof(kmap_t) == 4, "coordinates and rows are 32-bit integers");
static_assert(KS <= 5, "the cells around a site lie in two bricks an axis");
static_assert(ROWS <= THREADS && THREADS % 32 == 0, "a thread looks at no more than one site");
static_assert(ROWS % 32 == 0 && ROWS <= 64, "a block's leaders are bits of at most two words");
static_assert(256 % ROWS == 0, "the sites of a block are counted together");

// A brick: batch and x, y and z, all moved up.
struct Place {
    unsigned high, low;
};

__device__ Place place_of(int b, int x, int y, int z)
{
    return {(unsigned)b << 16 | (unsigned)((x >> 2) + LIFT), (unsigned)((y >> 2) + LIFT) << 16 | (unsigned)((z >> 2) + LIFT)};
}

__device__ Key key_of(Place place) { return (Key)place.high << 32 | place.low; }

__device__ unsigned slot_of(Place place, int CAP)
{
    unsigned mixed = place.high * 0x9E3779B1u + place.low * 0x85EBCA77u;
    mixed = (mixed ^ mixed >> 15) * 0x2C1B3C6Du;
    return __umulhi(mixed, (unsigned)CAP);
}

__device__ int cell_of(int x, int y, int z) { return (x & 3) << 4 | (y & 3) << 2 | (z & 3); }

// A brick's slot and the cells that hold a site; none of a brick that is not there.
struct Brick {
    int slot;
    Key cells;
};

__device__ Brick find(const Key* __restrict__ bricks, Place place, int CAP)
{
    const Key key = key_of(place);
    for (unsigned slot = slot_of(place, CAP);; slot = (slot + 1) & (CAP - 1)) {
        const ulonglong2 at = reinterpret_cast<const ulonglong2*>(bricks)[slot];
        if (at.x == key || at.x == ~0ull) return {(int)slot, ~at.y};
    }
}

__global__ void insert(const int* __restrict__ coords, long long* __restrict__ bricks, int* __restrict__ rows, int NV,
                       int CAP)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= NV) return;
    const int4 at = reinterpret_cast<const int4*>(coords)[i];
    const Place place = place_of(at.x, at.y, at.z, at.w);
    const Key key = key_of(place);
    const int cell = cell_of(at.y, at.z, at.w);
    for (unsigned slot = slot_of(place, CAP);; slot = (slot + 1) & (CAP - 1)) {
        Key* words = reinterpret_cast<Key*>(bricks) + 2 * slot;
        const Key old = atomicCAS(words, ~0ull, key);
        if (old != ~0ull && old != key) continue;
        atomicAnd(words + 1, ~(1ull << cell));
        rows[slot * 64 + cell] = i;
        return;
    }
}

__global__ void lead(const int* __restrict__ coords, const long long* __restrict__ bricks, int* __restrict__ leaders,
                     int* __restrict__ counts, int NV, int CAP)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    bool leads = false;
    if (i < NV) {
        const int4 at = reinterpret_cast<const int4*>(coords)[i];
        const Key cells = find(reinterpret_cast<const Key*>(bricks), place_of(at.x, at.y, at.z, at.w), CAP).cells;
        const int cell = cell_of(at.y, at.z, at.w), first = cell & ~21;  // of the coarse cell
        leads = !(cells & 0x330033ull << first & ((1ull << cell) - 1));
    }
    const unsigned votes = __ballot_sync(ALL, leads);
    if (threadIdx.x % 32 == 0 && i < NV) leaders[i / 32] = votes;
    const int count = __syncthreads_count(leads);
    if (threadIdx.x == 0) counts[blockIdx.x] = count;
}

// Leaders before this block's sites.
__device__ int before(const int* __restrict__ leaders, const int* __restrict__ counts)
{
    __shared__ int sums[WARPS];
    const int first = blockIdx.x * ROWS, whole = first / 256;
    int sum = 0;
    for (int i = threadIdx.x; i < whole; i += THREADS) sum += counts[i];
    // Then the words and the part of one between the last 256 and the block.
    const int word = whole * 8 + threadIdx.x, bits = first - word * 32;
    if (bits > 0 && threadIdx.x < 8) sum += __popc(leaders[word] & (bits >= 32 ? ALL : (1u << bits) - 1));
    sum = __reduce_add_sync(ALL, sum);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
    __syncthreads();
    int total = 0;
#pragma unroll
    for (int warp = 0; warp < WARPS; warp++) total += sums[warp];
    return total;
}

// What a warp knows of eight sites: where in its brick each one's least cell lies, the cells of its eight bricks, the first
// row of each, and the map.
struct Eight {
    int least[8];
    unsigned cells[8][8][2];
    int first[8][8];
    __align__(16) int map[8 * OFFSETS];
};

__global__ void __launch_bounds__(THREADS)
meet(const int* __restrict__ coords, const long long* __restrict__ bricks, const int* __restrict__ rows,
     const int* __restrict__ leaders, const int* __restrict__ counts, int* __restrict__ out_coords, int* __restrict__ kmap,
     int* __restrict__ n_out, int NV, int CAP)
{
    __shared__ int4 sites[ROWS];
    __shared__ Eight eights[WARPS];
    const int first = blockIdx.x * ROWS, i = first + threadIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int start = first, count = min(ROWS, NV - first), place = threadIdx.x;
    bool leads = threadIdx.x < ROWS && i < NV;
    if (STRIDE > 1) {
        start = before(leaders, counts);
        Key bits = 0;
        if (count > 0) bits = (unsigned)leaders[first / 32];
        if (ROWS > 32 && count > 32) bits |= (Key)(unsigned)leaders[first / 32 + 1] << 32;
        bits = bits >> first % 32 & ~0ull >> (64 - ROWS);
        count = __popcll(bits);
        place = threadIdx.x < ROWS ? __popcll(bits & ((1ull << threadIdx.x) - 1)) : 0;
        leads = threadIdx.x < ROWS && (bits >> threadIdx.x & 1);
    }
    if (leads) {
        int4 at = reinterpret_cast<const int4*>(coords)[i];
        if (STRIDE > 1) at.y &= ~1, at.z &= ~1, at.w &= ~1;
        sites[place] = at;
        reinterpret_cast<int4*>(out_coords)[start + place] = at;
    }
    if (threadIdx.x == 0 && first + ROWS >= NV) n_out[0] = start + count;
    __syncthreads();
    const int corner = lane % 8, right = corner >> 2, back = corner >> 1 & 1, up = corner & 1;
    Eight& eight = eights[warp];
    for (int group = 8 * warp; group < count; group += 8 * WARPS) {
        const int held = min(8, count - group);
#pragma unroll
        for (int site = lane / 8; site < 8; site += 4) {
            // The least cell around a site: its brick, and its place there.
            const int4 at = sites[min(group + site, count - 1)];
            const int x = at.y - KS / 2, y = at.z - KS / 2, z = at.w - KS / 2;
            // Bricks that the cells do not reach are not looked for.
            Brick brick = {0, 0};
            if ((x & 3) + KS > 4 * right && (y & 3) + KS > 4 * back && (z & 3) + KS > 4 * up) {
                Place place = place_of(at.x, x, y, z);
                place.high += right;
                place.low += back << 16 | up;
                brick = find(reinterpret_cast<const Key*>(bricks), place, CAP);
            }
            *reinterpret_cast<Key*>(eight.cells[site][corner]) = brick.cells;
            eight.first[site][corner] = brick.slot * 64;
            if (corner == 0) eight.least[site] = (x & 3) << 8 | (y & 3) << 4 | (z & 3);
        }
        __syncwarp();
        for (unsigned line = lane; line < held * LINES; line += 32) {
            const unsigned site = line / LINES, least = eight.least[site], z = least & 3;
            const unsigned place = least + ((line % LINES / KS) << 8 | (line % KS) << 4);  // x, y and z of 0 to 7 each
            const unsigned low = place >> 8 & 4 | place >> 5 & 2, pillar = place >> 4 & 48 | place >> 2 & 12;
            const unsigned below = eight.cells[site][low][pillar / 32] >> pillar % 32 & 15;
            const unsigned above = eight.cells[site][low + 1][pillar / 32] >> pillar % 32 & 15;
            const unsigned there = (below | above << 4) >> z;
            const int* lower = rows + eight.first[site][low] + pillar + z;
            const int* upper = rows + eight.first[site][low + 1] + pillar + z - 4;
#pragma unroll
            for (int step = 0; step < KS; step++) {
                int row = -1;
                if (there >> step & 1) row = (z + step < 4 ? lower : upper)[step];
                eight.map[line * KS + step] = row;
            }
        }
        __syncwarp();
        int* to = kmap + (size_t)(start + group) * OFFSETS;
        if (STRIDE == 1 && held == 8) {  // a multiple of 16 bytes from the beginning
            for (int j = lane; j < 2 * OFFSETS; j += 32)
                reinterpret_cast<int4*>(to)[j] = reinterpret_cast<const int4*>(eight.map)[j];
        } else {
            for (int j = lane; j < held * OFFSETS; j += 32) to[j] = eight.map[j];
        }
        __syncwarp();
    }
}
