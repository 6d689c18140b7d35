// Control flow that lanes leave in every direction: nested loops, continue, break, a switch that falls through,
// a local array at computed places, an early return.
extern "C" __global__ void divergence(const int* x, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int v = x[i], sum = 0, table[32];
    for (int k = 0; k < 32; k++) table[k] = k * v;
    for (int a = 0; a < (v & 15); a++) {
        if ((a ^ v) % 3 == 0) continue;
        for (int b = 0; b < a; b++) {
            if (b * v > 97) break;
            sum += table[(a * b + v) & 31];
        }
        switch (v & 7) {
            case 0: sum *= 3; break;
            case 1: sum ^= v; break;
            case 2: sum += 7;  // falls through
            case 3: sum -= 2; break;
            case 5: sum = __clz(sum); break;
            default: sum += __popc(v);
        }
        if (sum > 1000000) {
            y[i] = -1;
            return;
        }
    }
    y[i] = sum;
}
