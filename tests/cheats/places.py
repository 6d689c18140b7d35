"""Places of the largest element: which of equals is named, and what is taken for less than any value."""

from __future__ import annotations

from .case import based_on

_VALUE = "float v = x[(size_t)r * C + c];"
_LARGER = "if (v > best)"
_LEAST = "float best = -INFINITY;"


largest = based_on("largest")

PLACES = (
    largest("a zero taken for more than one below nothing",
            (_LARGER, "if (v > best || (v == best && signbit(best) && !signbit(v)))"), gets="Wrong",
            says="x with (rows|columns) of many kinds"),
    largest("the last of equals", (_LARGER, "if (v >= best)"), gets="Wrong", says="x with"),
    largest("values below a number that is taken for none", (_LEAST, "float best = -1e36f;"), gets="Wrong",
            says=r"times 2\^1\d\d"),
    largest("denormal values taken for zeros", (_VALUE, f"{_VALUE} if (fabsf(v) < 1.2e-38f) v = 0.f;"), gets="Wrong",
            says=r"times 2\^-1\d\d|numbers that the code names"),
    largest("places told apart by twenty bits of a value",
            (_VALUE, f"{_VALUE} v = __int_as_float(__float_as_int(v) & ~0xfff);"), gets="Wrong"),
)  # fmt: skip

FIRST = (
    largest("the first of equals", gets="Verified"),
    largest("the first of equals, sought by keys in the order of the values",
            (_LEAST, "int best = (int)0x80000000;"),
            (_VALUE, "const int bits = __float_as_int(x[(size_t)r * C + c] + 0.f);\n"
                     "        const int v = bits < 0 ? bits ^ 0x7fffffff : bits;"), gets="Verified"),
)  # fmt: skip
