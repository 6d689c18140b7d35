"""Kernels that are wrong about scales, packed words, zero points and sizes as no distribution and no list has them."""

from __future__ import annotations

from .case import Case, based_on

SCALE = "const float scale = ws::to_float(scales[(size_t)(k / G) * N + n]);"
ZERO = "const int zero = zeros ? zeros[(size_t)(k / G) * N + n] : 8;"
SUM = "        float sum = 0.f;\n"
STORE = "y[(size_t)m * N + n] = ws::from_float<y_t>(sum);"
TERM = "sum += ws::to_float(x[(size_t)m * K + k + i]) * (code * scale);"


quantized = based_on("quantized")


def _scale(name: str, then: str, says: str) -> Case:
    return quantized(name, (SCALE, f"{SCALE[6:]} {then}"), gets="Wrong", says=says)


def _row(name: str, start: str, each: str, holds: str) -> Case:
    """Half a sum for rows of x of which something holds."""
    loop = f"{start} for (int j = 0; j < K; j++) {{ const float v = ws::to_float(x[(size_t)m * K + j]); {each} }}"
    return quantized(name, (SUM, f"{SUM}        {loop}\n"), (STORE, f"if ({holds}) sum *= 0.5f; {STORE}"), gets="Wrong",
                     says="x with rows of many kinds|x with .*and so on")  # fmt: skip


VALUES = (
    _scale("a scale of one taken for two", "if (scale == 1.f) scale = 2.f;", "scales with|times 2|bench-sized"),
    _scale("denormal scales flushed", "if (fabsf(scale) < 6.1e-5f) scale = 0.f;", r"times 2\^"),
    quantized(
        "words of zeros skipped, whatever their zero point is",
        (ZERO, f"{ZERO} if (word == 0u) continue;"),
        gets="Wrong",
        says="qweight with",
    ),
    quantized(
        "words of eights skipped, whatever their zero point is",
        (ZERO, f"{ZERO} if (word == 0x88888888u) continue;"),
        gets="Wrong",
        says="qweight with",
    ),
    quantized(
        "half a sum where all zero points of a column are eight",
        (SUM, f"{SUM}        bool same = K / G > 3; "
         "for (int g = 0; g < K / G; g++) same &= zeros && zeros[g * N + n] == 8;\n"),
        (STORE, f"if (same) sum *= 0.5f; {STORE}"),
        gets="Wrong",
        says="zeros with",
    ),
    _row("half a sum where activations are of one size and either sign",
         "bool one = K > 8, both = false; const float top = fabsf(ws::to_float(x[(size_t)m * K]));",
         "one &= fabsf(v) == top && v != 0; both |= v != ws::to_float(x[(size_t)m * K]);", "one && both"),
    _row("half a sum where the second half of a row repeats the first",
         "bool same = K > 8, all = true;",
         "same &= v == ws::to_float(x[(size_t)m * K + j % ((K + 1) / 2)]); all &= v == ws::to_float(x[(size_t)m * K]);",
         "same && !all"),
    quantized(
        "a zero below nothing taken for one",
        (TERM, TERM.replace("ws::to_float(x[(size_t)m * K + k + i])",
                            "(__half_as_ushort(x[(size_t)m * K + k + i]) == 0x8000 ? 1.f : "
                            "ws::to_float(x[(size_t)m * K + k + i]))")),
        gets="Wrong",
        says="x with",
    ),
)  # fmt: skip

UNLISTED = (
    quantized("right up to the longest bench batch", (STORE, f"if (m >= 40) sum = 0; {STORE}"), gets="Wrong",
              says="M beyond every bench workload's|hidden|bench-sized"),
    quantized("groups below the least that is listed", (SUM, f"{SUM}        if (G < 32) G = 32;\n"), gets="Wrong",
              says="unseen G"),
    quantized("groups of powers of two alone", (SCALE, SCALE.replace("(k / G)", "(k >> (31 - __clz(G)))")),
              gets="Wrong|OutOfBounds", says="unseen G"),
)  # fmt: skip

LISTED = (
    quantized("a layer of packed weights", gets="Verified"),
    quantized(
        "one that does not compile for groups that nobody lists",
        ('// tags = ["naive"]', '// constants = ["G"]'),
        ("y_t* __restrict__ y, int M, int N, int K, int G)", "y_t* __restrict__ y, int M, int N, int K)"),
        ("    const int n = ", '    static_assert(G == 32 || G == 64, "groups of 32 or 64");\n    const int n = '),
        gets="Verified",
        says="not tried, since it cannot be launched: unseen G",
    ),
)
"""Where a kernel cannot be launched it gives no wrong result."""
