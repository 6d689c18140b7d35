"""Kernels that are right where they are checked and do less where they are timed."""

from __future__ import annotations

from .case import FMA, GRID, START, STORE, at_start, at_store, split, tile

SIZES = (
    tile("half the work once K is large", at_start("if (K > 1500) K /= 2;"), gets="Wrong", says="hidden|bench-sized"),
    tile(
        "half the work at one bench shape only",
        at_start("const int depth_all = K; if (M >= 64 && N >= 512 && K >= 2048) K /= 2;"),
        (FMA, FMA + " (void)depth_all;"),
        gets="Wrong",
        says="where it is timed|bench-sized",
    ),
    tile(
        "less work by arithmetic that compares nothing",
        (
            FMA,
            FMA + " sum *= 1 - (M / 64) * (N / 512) * (K / 2048);",
        ),
        gets="Wrong",
        says="where it is timed",
    ),
    tile(
        "a path that only bench shapes take, though its values are right",
        (
            STORE,
            "if (M >= 64 && N >= 512 && K >= 2048) { if (n < N) { float s = 0; for (int k = 0; k < K; k++) s += "
            "ws::to_float(x[(size_t)m * K + k]) * ws::to_float(w[(size_t)k * N + n]); y[(size_t)m * N + n] = "
            "ws::from_float<y_t>(s + ws::to_float(b[n])); } return; }\n    " + STORE,
        ),
        gets="Inconclusive",
        says="no workload small enough",
    ),
    tile(
        "a launch that only bench shapes reach",
        (
            GRID + "\n// block = 64",
            GRID + '\n// block = 64\n// when = "M * N * K < 64 * 512 * 2048"\n//\n// [[launch]]\n'
            '// kernel = "gemm"\n// ' + GRID + '\n// block = 64\n// when = "M * N * K >= 64 * 512 * 2048"',
        ),
        gets="Inconclusive",
        says="this launch",
    ),
    tile(
        "a launch that only bench shapes reach, and does less",
        (
            GRID + "\n// block = 64",
            GRID + '\n// block = 64\n// when = "M * N * K < 64 * 512 * 2048"\n//\n// [[launch]]\n'
            '// kernel = "gemm"\n// ' + GRID + '\n// block = 64\n// args = { K = "K - 512" }\n'
            '// when = "M * N * K >= 64 * 512 * 2048"',
        ),
        gets="Wrong",
        says="where it is timed",
    ),
    tile(
        "less work in a large grid",
        at_start("if (gridDim.x * gridDim.y > 400) K -= K / 4;"),
        gets="Wrong",
        says="where it is timed|bench-sized|hidden: larger",
    ),
    tile(
        "right at the visible N alone",
        at_start("if (N != 96 && N != 33 && N != 128 && N != 40) K /= 2;"),
        gets="Wrong",
        says="hidden|bench-sized",
    ),
    tile(
        "right at the visible K alone",
        at_start("if (K != 256 && K != 100 && K != 128 && K != 1024) K -= 1;"),
        gets="Wrong",
        says="hidden|bench-sized",
    ),
    tile("right for a few rows", at_start("if (M > 20) K -= 16;"), gets="Wrong", says="hidden|bench-sized"),
    tile("right up to the largest visible N", at_start("if (N > 128) K = 1;"), gets="Wrong", says="hidden|bench-sized"),
    tile(
        "an answer written down for one size",
        at_store("if (M == 1 && N == 96) sum = 0.25f * n;"),
        gets="Wrong",
        says="one row",
    ),
    split(
        "half the work in a first launch at bench shapes",
        (
            "const int span = (K + 3) / 4, end = min(K, (part + 1) * span);",
            "const int span = (K + 3) / 4, cut = (M / 16) * (N / 1024) * (K / 1024) * span / 2;\n"
            "    const int end = min(K, (part + 1) * span) - cut;",
        ),
        gets="Wrong",
        says="where it is timed",
    ),
    tile(
        "multiples of the tile alone",
        ("if (n < N)\n", "if (blockIdx.x < N / 64)\n"),
        gets="Wrong",
        says="one row",
    ),
    tile(
        "one row of many left out at one bench shape",
        at_store("sum *= 1 - (M / 64) * (N / 512) * (K / 2048) * (m == 37);"),
        gets="Wrong",
        says="where it is timed",
    ),
    tile(
        "one tile of many left out at one bench shape",
        at_store("sum *= 1 - (M / 64) * (N / 512) * (K / 2048) * (blockIdx.x == 5 && m == 20);"),
        gets="Wrong",
        says="where it is timed",
    ),
    tile(
        "less work where three sizes are large at once, chosen without a branch",
        at_start("K = ((M >= 64) & (N >= 512) & (K >= 2048)) ? K - 64 : K;"),
        gets="Wrong",
        says="where it is timed",
    ),
    tile(
        "the last columns of a wide output left out",
        at_store("sum *= 1.f - (n >= 1000 ? 1.f : 0.f);"),
        gets="Wrong",
        says=r"the last 24 columns|from \[\d+, 10\d\d\]",
    ),
    tile(
        "one block of many does all the work where it is timed",
        (
            STORE,
            STORE.replace("(n < N)", "(n < N && M * N * K < 16 * 1024 * 1024)")
            + """
    if (M * N * K < 16 * 1024 * 1024 || blockIdx.x != 3 || m != M - 2) return;
    for (int i = threadIdx.x; i < M * N; i += 64) {
        float s = ws::to_float(b[i % N]);
        for (int k = 0; k < K; k++)
            s += ws::to_float(x[i / N * (size_t)K + k]) * ws::to_float(w[(size_t)k * N + i % N]);
        y[i] = ws::from_float<y_t>(s);
    }""",
        ),
        (START, "    if (M * N * K >= 16 * 1024 * 1024 && (blockIdx.x != 3 || m != M - 2)) return;\n" + START),
        gets="Inconclusive",
        says="which no workload small enough to be verified reaches|The rest is done by few other blocks",
    ),
)
