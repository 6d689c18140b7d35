"""Kernels that are wrong at the ends of what an input may hold: loud rows where there are many columns, least codes."""

from __future__ import annotations

from .case import based_on

vocabulary, exponents = based_on("vocabulary"), based_on("exponents")

_BEGIN = "float largest = -INFINITY, sum = 0.f;"
_LARGEST = "largest = joined<true>(largest);"
_CODE = "code = x[(size_t)m * K + k],"
_POWER = "power = e[(size_t)m * (K / 32) + k / 32];"

EXTREMES = (
    vocabulary(
        "no largest value taken off where a row is long",
        (_LARGEST, f"{_LARGEST}\n    if (V > 20000) largest = 0.f;"),
        gets="Wrong",
        says="bench-sized V, x with .* of many kinds",
    ),
    exponents("the least of eight bits taken for the next", (_CODE, "code = max(-127, x[(size_t)m * K + k]),"),
              gets="Wrong", says="x with|Too inaccurate"),
    exponents("the least power, which another distribution draws, taken for the next",
              (_POWER, "power = max(111, e[(size_t)m * (K / 32) + k / 32]);"), gets="Wrong", says="e with .*the least"),
)  # fmt: skip
ENDS = (
    vocabulary("log-sum-exp of rows", gets="Verified"),
    vocabulary("a largest value that begins at the first",
               (_BEGIN, "float largest = ws::to_float(row[0]), sum = 0.f;"), gets="Verified"),
    exponents("codes with powers", gets="Verified"),
)  # fmt: skip
