"""Outputs with a count, in place, or summed in any order: what of them is left out, spoilt or invented."""

from __future__ import annotations

from .case import based_on

compact = based_on("compact")
inplace = based_on("inplace")

_COUNT = "= before + keep;"
_KEEP = "if (keep) vals"
_VALUE = "vals[before] = x[i] * 2"
_UPDATE = "fmaf(state[i], 0.9f, v)"
_SUM = "atomicAdd(norm + blockIdx.y, v * v);"

OUTPUTS = (
    compact("NaN dropped", ("v > l || v != v", "v > l"), gets="Wrong", says=r"n_out\[0\] is \d+, expected"),
    compact(
        "a count one too large",
        (_COUNT, "= before + keep + 1;"),
        gets="Unwritten",
        says=r"n_out says that \d+ rows count",
    ),
    compact("a count below zero", (_COUNT, "= -1;"), gets="Wrong", says=r"n_out\[0\] is -1"),
    compact(
        "the last element that counts left out", (_KEEP, "if (keep && i < N - 1) vals"), gets="Unwritten", says="vals"
    ),
    compact(
        "infinities clamped",
        (_VALUE, "vals[before] = fminf(x[i], 1.7e38f) * 2"),
        gets="Wrong",
        says=r"is 1.7e\+38, expected (inf|nan)",
    ),
    compact(
        "NaN made infinite",
        (_VALUE, "vals[before] = (x[i] != x[i] ? INFINITY : x[i]) * 2"),
        gets="Wrong",
        says="is inf, expected nan",
    ),
    compact(
        "an input spoilt through a cast",
        (_KEEP, "if (i == 0) ((float*)x)[0] = 1.5f * x[0];\n    if (keep) vals"),
        gets="OutOfBounds",
        says="of x .*read-only",
    ),
    inplace(
        "one column slightly off",
        (_UPDATE, f"{_UPDATE} + (c == 40 ? 1e-3f : 0.f)"),
        gets="Wrong",
        says="Wrong values in column 40 of state",
    ),
    inplace(
        "denormals taken for zeros",
        ("v = g[i];", "v = fabsf(g[i]) < 1e-37f ? 0.f : g[i];"),
        gets="Wrong",
        says="denormal",
    ),
    inplace("a state that stays", (f"state[i] = {_UPDATE};", ""), gets="Wrong", says="of state"),
    inplace(
        "whoever comes last",
        (_SUM, "atomicExch(norm + blockIdx.y, v * v);"),
        gets="Nondeterministic",
        says=r"norm\[0\] is \S+ in one run and",
    ),
    inplace(
        "a sum that is not cleared",
        ('// [[launch]]\n// fill = "norm"\n// value = 0\n//\n', ""),
        gets="Uninitialised",
        says="norm",
    ),
)
PACKED = (
    compact("packed by two launches", gets="Verified"),
    compact(
        "values past the count", (_KEEP, "if (i == N - 1 && !keep) vals[i] = 7.f;\n    if (keep) vals"), gets="Verified"
    ),
    inplace("norms summed by atomics", gets="Verified", says="order of floating-point atomics"),
)
