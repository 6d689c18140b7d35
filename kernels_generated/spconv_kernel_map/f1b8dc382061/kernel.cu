// /// kernel
// task = "spconv_kernel_map"
// constants = ["KS", "STRIDE"]
// tags = ["hash", "packed", "vectorized", "coalesced", "fused", "balanced", "tiled"]
//
// [tune]
// ROWS = [32, 64, 16]                   # input sites of a block
// THREADS = [256, 128, 512]
// HIGH = [6, 14]                        # sites of one column that share a slot
//
// [let]
// CAP = "pow2ceil(NV + NV // 2 + 2)"    # slots; never more than two thirds full
// WORDS = "HIGH // 2 + 1"               # of 8 bytes in a slot: the key, then HIGH rows
//
// [[buffer]]
// name = "table"
// shape = ["CAP", "WORDS"]
// dtype = "int64"
// init = -1                             # no key, and no row at any height
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

// A slot of the hash table is a piece of a column of voxels, and with HIGH = 6 one sector of memory:
//
//     | key: batch, x, y, z / 6 | row at z % 6 = 0 | 1 | 2 | 3 | 4 | 5 |       -1: nobody there
//
// One probe therefore answers for the KS neighbours above each other, or two do where they lie across a joint.
//
//   insert   a thread a site: claims its column's slot, writes its row
//   lead     (stride 2) a thread a site: the least row among the eight sites of its coarse cell leads
//   meet     a block takes ROWS sites: sums the leaders before it, lists its own, writes their sites; then
//
//              threads -> (site, x, y)    probe -> KS rows -> shared memory -> kmap, in the order it lies there
//
// With stride 1 every site leads, so nothing is counted. Outputs stand in the order of their leaders' rows, whatever
// order the table was filled in.
typedef unsigned long long Key;

constexpr int LINES = KS * KS, OFFSETS = LINES * KS;
constexpr int LIFT = 3 * 5460;    // moves heights below 0 up

static_assert(sizeof(coords_t) == 4 && sizeof(kmap_t) == 4, "coordinates and rows are 32-bit integers");
static_assert(HIGH % 2 == 0 && LIFT % 2 == 0, "a slot is a whole number of words, and no coarse cell is cut");
static_assert(HIGH + 1 >= KS, "neighbours above each other lie in two pieces at most");
static_assert(ROWS <= 256 && 256 % ROWS == 0, "the sites of a block are counted together");
static_assert(ROWS <= THREADS && THREADS % 32 == 0, "a thread looks at no more than one site");
static_assert(ROWS % 16 == 0 && ROWS <= 64, "a block's leaders are bits of at most two words");
static_assert(ROWS * OFFSETS * 4 <= 40 * 1024, "a block's part of the map lies in shared memory");

__device__ int piece_of(int z) { return (unsigned)(z + LIFT) / HIGH; }
__device__ int height_of(int z) { return (unsigned)(z + LIFT) % HIGH; }

__device__ Key key_of(int b, int x, int y, int piece)
{
    return (Key)(unsigned)b << 48 | (Key)(unsigned)(x + 16384) << 32 | (unsigned)(y + 16384) << 16 | (unsigned)piece;
}

__device__ unsigned slot_of(Key key, int CAP)
{
    key *= 0x9E3779B97F4A7C15ull;
    return (unsigned)(key >> 32 ^ key >> 47) & (CAP - 1);
}

// The rows of a piece of a column, or null.
__device__ const int* find(const long long* __restrict__ table, Key key, int CAP)
{
    for (unsigned slot = slot_of(key, CAP);; slot = (slot + 1) & (CAP - 1)) {
        const long long* at = table + slot * WORDS;
        const Key found = (Key)at[0];
        if (found == key) return reinterpret_cast<const int*>(at + 1);
        if (found == ~0ull) return nullptr;
    }
}

__global__ void insert(const int* __restrict__ coords, long long* __restrict__ table, int NV, int CAP)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= NV) return;
    const int4 at = reinterpret_cast<const int4*>(coords)[i];
    const Key key = key_of(at.x, at.y, at.z, piece_of(at.w));
    for (unsigned slot = slot_of(key, CAP);; slot = (slot + 1) & (CAP - 1)) {
        Key* words = reinterpret_cast<Key*>(table) + slot * WORDS;
        const Key old = atomicCAS(words, ~0ull, key);
        if (old != ~0ull && old != key) continue;
        reinterpret_cast<int*>(words + 1)[height_of(at.w)] = i;
        return;
    }
}

__global__ void lead(const int* __restrict__ coords, const long long* __restrict__ table, int* __restrict__ leaders,
                     int* __restrict__ counts, int NV, int CAP)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    int least = -1;
    if (i < NV) {
        const int4 at = reinterpret_cast<const int4*>(coords)[i];
        least = i;
#pragma unroll
        for (int side = 0; side < 4; side++) {
            const int x = at.y / 2 * 2 + side / 2, y = at.z / 2 * 2 + side % 2, z = at.w / 2 * 2;
            const int* rows = find(table, key_of(at.x, x, y, piece_of(z)), CAP);
            if (!rows) continue;
            // An even height and the next one lie in one piece.
            const unsigned low = rows[height_of(z)], high = rows[height_of(z) + 1];
            least = min((unsigned)least, min(low, high));
        }
    }
    const bool leads = i < NV && least == i;
    const unsigned votes = __ballot_sync(~0u, leads);
    if (threadIdx.x % 32 == 0 && i < NV) leaders[i / 32] = votes;
    const int count = __syncthreads_count(leads);
    if (threadIdx.x == 0) counts[blockIdx.x] = count;
}

// Leaders before this block's sites.
__device__ int before(const int* __restrict__ leaders, const int* __restrict__ counts)
{
    __shared__ int sums[THREADS / 32];
    const int first = blockIdx.x * ROWS, whole = first / 256;
    int sum = 0;
    for (int i = threadIdx.x; i < whole; i += THREADS) sum += counts[i];
    // Then the words and the part of one between the last 256 and the block.
    const int word = whole * 8 + threadIdx.x, bits = first - word * 32;
    if (bits > 0 && threadIdx.x < 8) sum += __popc(leaders[word] & (bits >= 32 ? ~0u : (1u << bits) - 1));
#pragma unroll
    for (int step = 16; step; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
    __syncthreads();
    int total = 0;
#pragma unroll
    for (int warp = 0; warp < THREADS / 32; warp++) total += sums[warp];
    return total;
}

__global__ void __launch_bounds__(THREADS)
meet(const int* __restrict__ coords, const long long* __restrict__ table, const int* __restrict__ leaders,
     const int* __restrict__ counts, int* __restrict__ out_coords, int* __restrict__ kmap, int* __restrict__ n_out, int NV,
     int CAP)
{
    __shared__ int4 sites[ROWS];
    __shared__ int part[ROWS * OFFSETS];
    const int first = blockIdx.x * ROWS, i = first + threadIdx.x;
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
        at.y = at.y / STRIDE * STRIDE;
        at.z = at.z / STRIDE * STRIDE;
        at.w = at.w / STRIDE * STRIDE;
        sites[place] = at;
        reinterpret_cast<int4*>(out_coords)[start + place] = at;
    }
    if (threadIdx.x == 0 && first + ROWS >= NV) n_out[0] = start + count;
    __syncthreads();
    for (int task = threadIdx.x; task < count * LINES; task += THREADS) {
        const int site = task / LINES, line = task % LINES;
        const int4 at = sites[site];
        const int x = at.y + line / KS - KS / 2, y = at.z + line % KS - KS / 2, z = at.w - KS / 2;
        const int piece = piece_of(z);
        const int* low = find(table, key_of(at.x, x, y, piece), CAP);
        const int* high = low;
        // The first piece may end below the highest neighbour.
        const int joint = HIGH - height_of(z);
        if (joint < KS) high = find(table, key_of(at.x, x, y, piece + 1), CAP);
#pragma unroll
        for (int step = 0; step < KS; step++) {
            const int* rows = step < joint ? low : high;
            const int height = height_of(z) + step;
            part[task * KS + step] = rows ? rows[height < HIGH ? height : height - HIGH] : -1;
        }
    }
    __syncthreads();
    for (int j = threadIdx.x; j < count * OFFSETS; j += THREADS) kmap[(size_t)start * OFFSETS + j] = part[j];
}
