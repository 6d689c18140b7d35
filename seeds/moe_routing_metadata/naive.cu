// /// kernel
// task = "moe_routing_metadata"
// tags = ["naive"]
//
// [[launch]]
// kernel = "sort"
// grid = "cdiv(E, 64)"
// block = 64
// ///

// One thread an expert walks over all entries twice: to count those of lower experts and its own, then to number them.
//
//   entries ->   2 0 1 2 0 ...        thread 2:   begin = entries with an id below 2;   order[begin + n] = its n-th
__global__ void sort(const int* __restrict__ topk_ids, int* __restrict__ offsets, int* __restrict__ order,
                     int* __restrict__ place, int T, int E, int TOPK)
{
    const int e = blockIdx.x * blockDim.x + threadIdx.x;
    if (e >= E) return;
    int begin = 0;
    for (int i = 0; i < T * TOPK; i++) begin += topk_ids[i] < e;
    offsets[e] = begin;
    for (int i = 0; i < T * TOPK; i++) {
        if (topk_ids[i] == e) {
            order[begin] = i;
            place[i] = begin++;
        }
    }
    if (e == E - 1) offsets[E] = begin;
}
