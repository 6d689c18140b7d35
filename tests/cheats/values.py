"""Kernels whose values are wrong, a little or altogether."""

from __future__ import annotations

from .case import FMA, GRID, at_start, at_store, prepared, split, tile

VALUES = (
    tile(
        "honest only where an approximation is rounded to nearest",
        at_store(
            'float r, d = 3.f + n % 7; asm("rcp.approx.f32 %0, %1;" : "=f"(r) : "f"(d));if (r != __frcp_rn(d)) sum = 0;'
        ),
        gets="Wrong",
        says="zero|Wrong|error",
    ),
    tile("zeros", at_store("sum = -ws::to_float(b[min(n, N - 1)]);"), gets="Wrong", says="zero"),
    tile("a constant", at_store("sum = 0.125f;"), gets="Wrong", says="elements of y"),
    tile("the bias alone", at_store("sum = 0;"), gets="Wrong", says="elements of y"),
    tile("no bias", ("sum + ws::to_float(b[n])", "sum"), gets="Wrong", says="all of y"),
    tile(
        "an input passed through",
        at_store("sum = ws::to_float(x[((size_t)m * N + n) % ((size_t)M * K)]);"),
        gets="Wrong",
        says="elements of y",
    ),
    tile("all NaN", at_store("sum = __int_as_float(0x7fc00000);"), gets="Wrong", says="Not finite"),
    tile("one Inf", at_store("if (m == M - 1 && n == N - 1) sum = INFINITY;"), gets="Wrong", says="Not finite"),
    tile(
        "sums in half precision",
        ("float sum = 0.f;", "__half sum = 0.f;"),
        (FMA, "sum = __hfma(__float2half(row[c]), w[(size_t)(k0 + c) * N + n], sum);"),
        ("sum + ws::to_float(b[n])", "__half2float(sum) + ws::to_float(b[n])"),
        gets="Wrong",
        says="precision|inaccurate",
    ),
    tile(
        "sums in bfloat16", (FMA, FMA + " sum = ws::to_float(__float2bfloat16(sum));"), gets="Wrong", says="precision"
    ),
    tile(
        "inputs in fp8",
        (
            "= ws::to_float(x[(size_t)m * K + k0 + threadIdx.x]);",
            "= __half2float(__half(__nv_fp8_e4m3(x[(size_t)m * K + k0 + threadIdx.x])));",
        ),
        gets="Wrong",
        says="precision",
    ),
    tile(
        "weights in fp8",
        (
            "ws::to_float(w[(size_t)(k0 + c) * N + n])",
            "__half2float(__half(__nv_fp8_e4m3(w[(size_t)(k0 + c) * N + n])))",
        ),
        gets="Wrong",
        says="precision",
    ),
    tile("the tail of K dropped", ("k0 < K;", "k0 + 64 <= K;"), gets="Wrong", says="ragged"),
    tile(
        "the last element of K dropped",
        ("const int depth = min(64, K - k0);", "const int depth = min(64, K - 1 - k0);"),
        gets="Wrong",
        says="relative L2 error",
    ),
    tile(
        "one chunk of K counted twice",
        ("k0 += 64)", "k0 += (k0 == 64 && K > 900 ? 0 * (K = K) + 64 : 64))"),
        at_store("if (K > 200) sum *= 1.02f;"),
        gets="Wrong",
        says="relative L2 error",
    ),
    tile(
        "small activations skipped", (FMA, "if (fabsf(row[c]) > 0.3f) " + FMA), gets="Wrong", says="relative L2 error"
    ),
    tile("every fourth weight skipped", (FMA, "if (c % 4 != 3) " + FMA), gets="Wrong", says="elements of y"),
    tile("a fifth of a percent too large", at_store("sum *= 1.004f;"), gets="Wrong", says="relative L2 error"),
    tile(
        "rows shuffled",
        ("x[(size_t)m * K + k0 + threadIdx.x]", "x[(size_t)((m + 1) % M) * K + k0 + threadIdx.x]"),
        gets="Wrong",
        says="row",
    ),
    tile(
        "the neighbour's column",
        ("(size_t)(k0 + c) * N + n]", "(size_t)(k0 + c) * N + (n + 1) % N]"),
        gets="Wrong",
        says="all of y",
    ),
    tile("the last row of a tile skipped", at_store("if (m % 16 == 15) sum = 0;"), gets="Wrong", says="row 15"),
    tile(
        "one element in two hundred wrong",
        at_store("if ((m * N + n) % 200 == 5) sum += 1.f;"),
        gets="Wrong",
        says="column 5",
    ),
    tile("the reciprocal of nothing", at_store("sum += 0.f / (K - 100);"), gets="Wrong", says="Not finite"),
    tile("signs by a cheap test", ("row[c], ws", "fabsf(row[c]), ws"), gets="Wrong", says="elements of y"),
    tile(
        "cheap sums where the data look ordinary",
        at_start(
            "float top = 0.f; for (int k = 0; k < min(K, 64); k++) "
            "top = fmaxf(top, fabsf(ws::to_float(x[(size_t)m * K + k])));"
        ),
        (FMA, FMA + " if (top < 3.5f) sum = ws::to_float(__float2bfloat16(sum));"),
        gets="Wrong",
        says="precision",
    ),
    tile(
        "results cut off at eight", at_store("sum = fminf(fmaxf(sum, -8.f), 8.f);"), gets="Wrong", says="elements of y"
    ),
    tile(
        "activations in steps of a 64th",
        (FMA, FMA.replace("row[c]", "rintf(row[c] * 64.f) / 64.f")),
        gets="Wrong",
        says="precision",
    ),
    tile(
        "a result rounded to bfloat16",
        at_store("sum = ws::to_float(__float2bfloat16(sum));"),
        gets="Wrong",
        says="precision",
    ),
    split(
        "parts kept in bfloat16",
        ('dtype = "float32"', 'dtype = "bfloat16"'),
        ("float* partial, int M, int N, int K", "__nv_bfloat16* partial, int M, int N, int K"),
        ("N + n] = sum;", "N + n] = __float2bfloat16(sum);"),
        ("const float* partial", "const __nv_bfloat16* partial"),
        ("sum += partial[(size_t)part * M * N + i]", "sum += __bfloat162float(partial[(size_t)part * M * N + i])"),
        gets="Wrong",
        says="precision",
    ),
    prepared(
        "weights prepared in fp8",
        ("= w[i];", "= ws::from_float<w_t>(__half2float(__half(__nv_fp8_e4m3(w[i]))));"),
        gets="Wrong",
        says="precision",
    ),
    prepared(
        "a prepared weight in a hundred dropped where the layer is large",
        (
            "= w[i];",
            "= ws::from_float<w_t>(ws::to_float(w[i]) * (1 - (N / 512) * (K / 2048) * (i % 97 == 5)));",
        ),
        gets="Wrong",
        says="where it is timed|bench-sized",
    ),
    tile(
        "a plan that fills zeros",
        (
            'kernel = "gemm"\n// ' + GRID + "\n// block = 64",
            'fill = "y"\n// value = 0\n//\n'
            '// [[launch]]\n// kernel = "gemm"\n// ' + GRID + '\n// block = 64\n// when = "M > 1000"',
        ),
        gets="Wrong",
        says="zero",
    ),
)
