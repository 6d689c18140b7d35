"""Kernels that read or write what they must not, or in no order."""

from __future__ import annotations

from .case import GRID, STORE, at_store, split, tile

MEMORY = (
    tile("nothing written", (STORE, ""), gets="Unwritten"),
    tile("every other column written", (STORE, "if (n % 2 == 0) " + STORE), gets="Unwritten", says=r"y\[0, 1\]"),
    tile("the last row left out", (GRID, 'grid = ["cdiv(N, 64)", "max(M - 1, 1)"]'), gets="Unwritten", says=r"y\["),
    tile("the ragged columns left out", (GRID, 'grid = ["max(N // 64, 1)", "M"]'), gets="Unwritten"),
    tile(
        "what was there kept",
        (STORE, "if (n < N && sum > 0) y[(size_t)m * N + n] = ws::from_float<y_t>(sum + ws::to_float(b[n]));"),
        gets="Unwritten",
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
        gets="Uninitialised|Racy",
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
        gets="OutOfBounds|Racy",
        says="x",
    ),
    tile(
        "a weight overwritten",
        at_store("if (n < N) const_cast<w_t*>(w)[n] = ws::from_float<w_t>(0.f);"),
        gets="OutOfBounds|Racy",
        says="w",
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
        gets="OutOfBounds|Nondeterministic|Uninitialised|Wrong",
    ),
    tile("an address made up", at_store("sum += *(const float*)0x7f0000001000;"), gets="OutOfBounds|Crashed"),
    tile("a null pointer", at_store("sum += *(const float*)(size_t)(K & 0);"), gets="OutOfBounds|Crashed"),
    tile(
        "shared memory past its end",
        ("if (threadIdx.x < depth) row[threadIdx.x]", "row[threadIdx.x + 1]"),
        gets="OutOfBounds",
    ),
    tile(
        "wide loads of narrow data",
        at_store("sum += ((const float4*)(x + 1))->x * 0.f;"),
        gets="Crashed|OutOfBounds",
        says="align|multiple",
    ),
)


ORDER = (
    tile(
        "no barrier before the reads",
        ("        __syncthreads();  // the chunk is complete\n", ""),
        gets="Racy|Uninitialised",
    ),
    tile("no barrier before the writes", ("        __syncthreads();\n", ""), gets="Racy"),
    tile(
        "two blocks write one output",
        (GRID, 'grid = ["cdiv(N, 64)", "M", 2]'),
        at_store("sum += blockIdx.z;"),
        gets="Racy|Nondeterministic",
        says="y",
    ),
    split(
        "sums without atomics",
        ("partial[((size_t)part * M + m) * N + n] = sum;", "partial[(size_t)m * N + n] += sum;"),
        gets="Racy|Uninitialised",
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
        gets="Racy|Uninitialised|Deadlocked|OverBudget",
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
        gets="Nondeterministic|Wrong",
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
        gets="BarrierMisuse|Deadlocked",
    ),
    tile("an endless loop", ("k0 += 64)", "k0 += 0)"), gets="OverBudget", says="budget"),
    tile(
        "waiting for what never comes",
        at_store("while (*(volatile const unsigned short*)x != 0x7e01) {}"),
        gets="OverBudget|Deadlocked",
    ),
    tile("a trap", at_store("if (m == 0) __trap();"), gets="Crashed"),
    tile(
        "work without end",
        at_store("for (long long i = 0; i < (1LL << 40); i++) sum = fmaf(sum, 1.0000001f, 1e-9f);"),
        gets="OverBudget",
    ),
)
