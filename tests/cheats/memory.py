"""Kernels that read or write what they must not, or in no order."""

from __future__ import annotations

from .case import GRID, STORE, at_store, split, tile

MEMORY = (
    tile("nothing written", (STORE, ""), gets="Unwritten", says=r"y\[0, 0\] was never written"),
    tile("every other column written", (STORE, "if (n % 2 == 0) " + STORE), gets="Unwritten", says=r"y\[0, 1\]"),
    tile("the last row left out", (GRID, 'grid = ["cdiv(N, 64)", "max(M - 1, 1)"]'), gets="Unwritten", says=r"y\["),
    tile(
        "the ragged columns left out", (GRID, 'grid = ["max(N // 64, 1)", "M"]'), gets="Unwritten", says=r"y\[0, 64\]"
    ),
    tile(
        "what was there kept",
        (STORE, "if (n < N && sum > 0) y[(size_t)m * N + n] = ws::from_float<y_t>(sum + ws::to_float(b[n]));"),
        gets="Unwritten",
        says=r"y\[0, \d+\]",
    ),
    tile(
        "added to what was there",
        ("= ws::from_float<y_t>(sum +", "= ws::from_float<y_t>(ws::to_float(y[(size_t)m * N + n]) + sum +"),
        gets="Uninitialised",
        says="y",
    ),
    tile(
        "computes only where the output looks poisoned",
        (STORE, "if (n < N && ws::to_float(y[(size_t)m * N + n]) != 0) " + STORE),
        gets="Uninitialised",
        says="of y .* never written",
    ),
    split(
        "scratch that is never written",
        ('grid = ["cdiv(N, 64)", "M", 4]', 'grid = ["cdiv(N, 64)", "M", 3]'),
        gets="Uninitialised",
        says="partial",
    ),
    split(
        "scratch as memory between calls",
        ("float sum = 0.f;", "float sum = 0.f; if (partial[0] == 7.f) return;"),
        gets="Uninitialised",
        says="of partial .* never written",
    ),
    tile(
        "shared memory left by the last launch",
        (STORE, "__shared__ float old[64]; sum += 0.f * old[threadIdx.x];\n    " + STORE),
        gets="Uninitialised",
        says="shared",
    ),
    tile(
        "local memory left by the last launch",
        at_store("float old[16]; old[K % 3] = 0; sum += old[(K + n) % 16];"),
        gets="Uninitialised",
        says="local",
    ),
    tile(
        "an input overwritten",
        at_store("if (n < N) const_cast<x_t*>(x)[0] = ws::from_float<x_t>(1.f);"),
        gets="OutOfBounds",
        says="of x .* read-only",
    ),
    tile(
        "a weight overwritten",
        at_store("if (n < N) const_cast<w_t*>(w)[n] = ws::from_float<w_t>(0.f);"),
        gets="OutOfBounds",
        says="of w .* read-only",
    ),
    tile("one past the end", ("y[(size_t)m * N + n] =", "y[(size_t)m * N + n + 1] ="), gets="OutOfBounds", says="y"),
    tile(
        "one before the start",
        ("y[(size_t)m * N + n] =", "y[(ptrdiff_t)m * N + n - 1] ="),
        gets="OutOfBounds",
        says="y",
    ),
    tile(
        "another buffer through a pointer",
        at_store("sum += ws::to_float(x[1LL << 35]);"),
        gets="OutOfBounds|Uninitialised",
        says="past its end|never written",
    ),
    tile(
        "an address made up",
        at_store("sum += *(const float*)0x7f0000001000;"),
        gets="OutOfBounds",
        says="past its end|before its start",
    ),
    tile("a null pointer", at_store("sum += *(const float*)(size_t)(K & 0);"), gets="Crashed", says="trap"),
    tile(
        "shared memory past its end",
        ("if (threadIdx.x < depth) row[threadIdx.x]", "row[threadIdx.x + 1]"),
        gets="OutOfBounds",
        says="shared memory, 4 bytes past its end",
    ),
    tile(
        "wide loads of narrow data",
        at_store("sum += ((const float4*)(x + 1))->x * 0.f;"),
        gets="Crashed",
        says="not a multiple of 4",
    ),
    tile(
        "a register that nothing wrote",
        at_store('asm volatile("{ .reg .f32 t; fma.rn.f32 %0, t, 0f00000000, %0; }" : "+f"(sum));'),
        gets="Uninitialised",
        says="register",
    ),
    tile(
        "the next row, times zero",
        at_store("sum += 0.f * ws::to_float(x[(size_t)m * K + K]);"),
        gets="OutOfBounds",
        says="x",
    ),
    split(
        "a memo recognised in scratch",
        (
            "float sum = 0.f;\n    for (int k =",
            "float sum = 0.f;\n"
            "    if (__float_as_uint(partial[((size_t)part * M + m) * N + n]) == 0x7fc12345u) return;\n"
            "    for (int k =",
        ),
        gets="Uninitialised",
        says="partial",
    ),
    tile(
        "the output read back through the read-only path",
        (STORE, STORE + " if (n < N && ws::to_float(__ldg((const y_t*)y + (size_t)m * N + n)) > 1e30f) y[0] = y_t(0);"),
        gets="Racy",
        says="read-only path",
    ),
)


ORDER = (
    tile("two blocks that write one value", (GRID, 'grid = ["cdiv(N, 64)", "M", 2]'), gets="Racy", says="y"),
    tile(
        "an exchange within a warp without a barrier",
        at_store(
            "__shared__ volatile float ex[64]; ex[threadIdx.x] = sum; sum = ex[threadIdx.x ^ 1]; "
            "sum = __shfl_xor_sync(0xffffffffu, sum, 1);"
        ),
        gets="Racy",
        says="same warp",
    ),
    tile(
        "two lanes store to one word and the one that stores what was there is to win",
        at_store(
            "__shared__ float kept[64]; kept[threadIdx.x] = sum; __syncthreads(); "
            "kept[threadIdx.x | 1] = threadIdx.x & 1 ? sum : 0.f; __syncthreads(); sum = kept[threadIdx.x];"
        ),
        gets="Racy",
        says="same warp",
    ),
    tile(
        "lanes of a warp take tickets as if in the order of their numbers",
        at_store(
            "__shared__ int taken[2]; taken[threadIdx.x / 32] = 0; __syncthreads(); "
            "if (atomicAdd(taken + threadIdx.x / 32, 1) != threadIdx.x % 32) sum += 1.f;"
        ),
        gets="Nondeterministic|Wrong",
        says="y",
    ),
    tile(
        "a barrier for one warp of two",
        (
            "        __syncthreads();  // the chunk is complete\n",
            '        asm volatile("bar.sync 1, 32;" ::: "memory");\n',
        ),
        gets="Racy",
        says="shared",
    ),
    tile(
        "no barrier before the reads",
        ("        __syncthreads();  // the chunk is complete\n", ""),
        gets="Racy|Uninitialised",
        says="shared memory",
    ),
    tile("no barrier before the writes", ("        __syncthreads();\n", ""), gets="Racy", says="shared memory"),
    tile(
        "two blocks write one output",
        (GRID, 'grid = ["cdiv(N, 64)", "M", 2]'),
        at_store("sum += blockIdx.z;"),
        gets="Racy",
        says="of y .* unordered",
    ),
    split(
        "sums without atomics",
        ("partial[((size_t)part * M + m) * N + n] = sum;", "partial[(size_t)m * N + n] += sum;"),
        gets="Racy|Uninitialised",
        says="of partial",
    ),
    split(
        "a flag without a fence",
        (
            'dtype = "float32"\n',
            'dtype = "float32"\n//\n// [[buffer]]\n// name = "flag"\n// shape = [1]\n// dtype = "int32"\n// init = 0\n',
        ),
        ("float* partial, int M, int N, int K)", "float* partial, int* flag, int M, int N, int K)"),
        (
            "    float sum = 0.f;\n",
            "    float sum = 0.f;\n    if (part == 3) { while (*(volatile int*)flag == 0) {} sum = partial[n]; }\n",
        ),
        ("N + n] = sum;", "N + n] = sum;\n    if (part == 0) *(volatile int*)flag = 1;"),
        gets="Racy|Uninitialised",
        says="of (partial|flag)",
    ),
    split(
        "the first block to come decides",
        (
            'dtype = "float32"\n',
            'dtype = "float32"\n//\n// [[buffer]]\n// name = "ticket"\n// shape = [1]\n// dtype = "int32"\n'
            "// init = 0\n",
        ),
        ("float* partial, int M, int N, int K)", "float* partial, int* ticket, int M, int N, int K)"),
        ("N + n] = sum;", "N + n] = sum * (1 + 0.01f * (atomicAdd(ticket, 1) % 2));"),
        gets="Nondeterministic",
        says="y differs between two runs",
    ),
    split(
        "atomics on what was never set",
        ("partial[((size_t)part * M + m) * N + n] = sum;", "atomicAdd(partial + (size_t)m * N + n, sum);"),
        gets="Uninitialised",
        says="partial",
    ),
    tile(
        "a barrier for some",
        ("        __syncthreads();\n", "        if (threadIdx.x < 40) __syncthreads();\n"),
        gets="BarrierMisuse",
        says="reached the barrier by this instruction",
    ),
    tile("an endless loop", ("k0 += 64)", "k0 += 0)"), gets="OverBudget", says="budget"),
    tile(
        "waiting for what never comes",
        at_store("while (*(volatile const unsigned short*)x != 0x7e01) {}"),
        gets="Deadlocked",
        says="waits in a loop",
    ),
    tile("a trap", at_store("if (m == 0) __trap();"), gets="Crashed", says="executed a trap"),
    tile(
        "work without end",
        at_store("for (long long i = 0; i < (1LL << 40); i++) sum = fmaf(sum, 1.0000001f, 1e-9f);"),
        gets="OverBudget",
        says="budget",
    ),
)
