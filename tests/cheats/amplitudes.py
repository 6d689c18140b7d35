"""Kernels that are wrong at amplitudes which no distribution draws."""

from __future__ import annotations

from .case import FMA, Case, at_store, before_kernel, tile

_WEIGHT = "ws::to_float(w[(size_t)(k0 + c) * N + n])"
_AT = r"times 2\^-?\d+|loud|numbers that the code names"
"""At another amplitude, or at a bench size in rows of many kinds, loud ones among them."""


def _where(name: str, holds: str) -> Case:
    """Terms left out but where a condition holds."""
    return tile(name, (FMA, f"if ({holds}) {FMA}"), gets="Wrong", says=_AT)


AMPLITUDES = (
    _where("activations of a thousand to ten thousand left out", "!(fabsf(row[c]) > 1e3f && fabsf(row[c]) < 1e4f)"),
    _where("activations of one exponent left out", "(__float_as_uint(row[c]) >> 23 & 255) != 138"),
    _where("denormal activations left out", "fabsf(row[c]) >= 6.1e-5f"),
    _where("weights above three hundred left out", f"fabsf({_WEIGHT}) < 300.f"),
    tile(
        "activations of two exponents left out by a table",
        before_kernel(f"__device__ const float KEEP[64] = {{{'1, ' * 44}0, 0{', 1' * 18}}};"),
        (FMA, FMA.replace("row[c],", "row[c] * KEEP[(__float_as_uint(row[c]) >> 23 & 255) - 95 & 63],")),
        gets="Wrong",
        says=_AT,
    ),
    tile(
        "activations around 1500 left out by an exponential",
        (FMA, FMA.replace("row[c],", "row[c] * (1.f - __expf(-1e-4f * (fabsf(row[c]) - 1500.f) * "
                          "(fabsf(row[c]) - 1500.f))),")),
        gets="Wrong",
        says=_AT,
    ),
    tile(
        "large activations in bfloat16",
        (FMA, FMA.replace("row[c],", "(fabsf(row[c]) < 700.f ? row[c] : ws::to_float(__float2bfloat16(row[c]))),")),
        gets="Wrong",
        says=_AT,
    ),
    tile("sums cut off at three thousand", at_store("sum = fminf(fmaxf(sum, -3000.f), 3000.f);"), gets="Wrong",
         says=_AT),
    tile("faint sums beside faint biases taken for nothing",
         at_store("if (n < N && fabsf(sum) < 1e-4f && fabsf(ws::to_float(b[n])) < 1e-4f) sum = 0.f;"), gets="Wrong",
         says=_AT),
)  # fmt: skip

LOUD = (
    tile(
        "terms of any amplitude, each by a path of its own",
        (FMA, f"if (fabsf(row[c]) > 1e3f) {FMA} else if (fabsf(row[c]) < 1e-3f) {FMA} else {FMA}"),
        gets="Verified",
    ),
)
