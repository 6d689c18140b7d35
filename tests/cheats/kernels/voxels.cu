// /// kernel
// task = "voxels"
// tags = ["naive"]
// constants = ["KS", "STRIDE"]
//
// [let]
// CAP = "pow2ceil(2 * max(NV, 1))"      # slots of a hash table that is at most half full
//
// [[buffer]]
// name = "site"                         # key of the input site in a slot, or -1
// shape = ["CAP"]
// dtype = "int64"
// init = -1
//
// [[buffer]]
// name = "row"                          # its row
// shape = ["CAP"]
// dtype = "int32"
//
// [[buffer]]
// name = "cell"                         # key of the coarse cell in a slot, or -1
// shape = ["CAP"]
// dtype = "int64"
// init = -1
//
// [[buffer]]
// name = "leader"                       # first row of the cell; -1 is the largest unsigned number
// shape = ["CAP"]
// dtype = "int32"
// init = -1
//
// [[buffer]]
// name = "place"                        # where a row's output goes, or -1
// shape = ["NV"]
// dtype = "int32"
//
// [[launch]]
// kernel = "insert"
// grid = "cdiv(NV, 128)"
// block = 128
//
// [[launch]]
// kernel = "number"
// grid = 1
// block = 1024
//
// [[launch]]
// kernel = "emit"
// grid = "cdiv(NV, 128)"
// block = 128
//
// [[launch]]
// kernel = "meet"
// grid = "cdiv(NV * V, 128)"
// block = 128
// ///

// insert   every site into a hash table, and its coarse cell into another, where the first row of a cell leads
// number   one block counts the leaders and gives each its place: a thread a stretch of rows, then a scan over threads
// emit     each leader writes its output site
// meet     a thread an (output, offset): looks the neighbour up
//
// Outputs stand in order of their cells' first rows, whatever order the table was filled in.
typedef unsigned long long Key;

__device__ Key key_of(int b, int x, int y, int z)
{
    // 16 bits an axis, moved up so that neighbours below 0 are keys of their own.
    return (Key)(unsigned)b << 48 | (Key)(unsigned)(x + 16384) << 32 | (Key)(unsigned)(y + 16384) << 16 |
           (Key)(unsigned)(z + 16384);
}

__device__ int slot_of(Key key, int CAP)
{
    key ^= key >> 31;
    key *= 0x9E3779B97F4A7C15ull;
    return (int)(key >> 40) & (CAP - 1);
}

__device__ int claim(long long* table, Key key, int CAP)
{
    for (int slot = slot_of(key, CAP);; slot = (slot + 1) & (CAP - 1)) {
        const Key old = atomicCAS((Key*)table + slot, ~0ull, key);
        if (old == ~0ull || old == key) return slot;
    }
}

__device__ int find(const long long* table, Key key, int CAP)
{
    for (int slot = slot_of(key, CAP);; slot = (slot + 1) & (CAP - 1)) {
        const Key found = (Key)table[slot];
        if (found == key) return slot;
        if (found == ~0ull) return -1;
    }
}

__device__ Key cell_of(const int* site)
{
    return key_of(site[0], site[1] / STRIDE, site[2] / STRIDE, site[3] / STRIDE);
}

__global__ void insert(const int* __restrict__ coords, long long* site, int* row, long long* cell, int* leader, int NV,
                       int CAP)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= NV) return;
    const int* at = coords + 4 * (size_t)i;
    row[claim(site, key_of(at[0], at[1], at[2], at[3]), CAP)] = i;
    if (STRIDE > 1) atomicMin((unsigned*)leader + claim(cell, cell_of(at), CAP), (unsigned)i);
}

__global__ void number(const int* __restrict__ coords, const long long* __restrict__ cell,
                       const int* __restrict__ leader, int* __restrict__ place, int* __restrict__ n_out, int NV, int CAP)
{
    __shared__ int counts[1024];
    const int stretch = (NV + blockDim.x - 1) / blockDim.x;
    const int begin = min(NV, (int)threadIdx.x * stretch), end = min(NV, begin + stretch);
    int count = 0;
    for (int i = begin; i < end; i++) {
        const bool leads = STRIDE == 1 || leader[find(cell, cell_of(coords + 4 * (size_t)i), CAP)] == i;
        place[i] = leads ? count++ : -1;
    }
    counts[threadIdx.x] = count;
    __syncthreads();
    for (int step = 1; step < blockDim.x; step *= 2) {
        const int before = threadIdx.x >= step ? counts[threadIdx.x - step] : 0;
        __syncthreads();
        counts[threadIdx.x] += before;
        __syncthreads();
    }
    const int start = counts[threadIdx.x] - count;
    for (int i = begin; i < end; i++)
        if (place[i] >= 0) place[i] += start;
    if (threadIdx.x == blockDim.x - 1) n_out[0] = counts[threadIdx.x];
}

__global__ void emit(const int* __restrict__ coords, const int* __restrict__ place, int* __restrict__ out_coords, int NV)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= NV || place[i] < 0) return;
    int* out = out_coords + 4 * (size_t)place[i];
    out[0] = coords[4 * (size_t)i];
    for (int axis = 1; axis < 4; axis++) out[axis] = coords[4 * (size_t)i + axis] / STRIDE * STRIDE;
}

__global__ void meet(const int* __restrict__ out_coords, const int* __restrict__ n_out,
                     const long long* __restrict__ site, const int* __restrict__ row, int* __restrict__ kmap, int V,
                     int CAP)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const int o = (int)(i / V), v = (int)(i % V);
    if (o >= n_out[0]) return;
    const int* at = out_coords + 4 * (size_t)o;
    const int x = v / (KS * KS) - KS / 2, y = v / KS % KS - KS / 2, z = v % KS - KS / 2;
    const int slot = find(site, key_of(at[0], at[1] + x, at[2] + y, at[3] + z), CAP);
    kmap[i] = slot < 0 ? -1 : row[slot];
}
