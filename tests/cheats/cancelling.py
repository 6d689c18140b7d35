"""Terms that cancel: no order of them is nearer than another by right, and none excuses what is coarse or left out."""

from __future__ import annotations

from .case import based_on

_VALUE = "at[0] + at[2] - 2 * at[1]"


curved = based_on("curved")

CANCELLING = (
    curved(
        "terms in half precision",
        (_VALUE, "__half2float(__float2half(at[0])) + __half2float(__float2half(at[2])) - 2 * at[1]"),
        gets="Wrong",
        says="of y",
    ),
    curved(
        "terms of sixteen bits where a field is timed",
        (_VALUE, "(N > 500 ? __uint_as_float(__float_as_uint(at[0]) & ~255u) : at[0]) + at[2] - 2 * at[1]"),
        gets="Wrong",
        says="y",
    ),
    curved(
        "the last column as the one in the middle",
        ("+ c;", "+ (N > 500 && c == N - 1 ? N / 2 : c);"),
        gets="Wrong",
        says="y",
    ),
)
EXACT = (
    curved("neighbours added first", gets="Verified"),
    curved("differences of differences", (_VALUE, "(at[2] - at[1]) - (at[1] - at[0])"), gets="Verified"),
    curved("twice the middle fused", (_VALUE, "fmaf(-2.f, at[1], at[0] + at[2])"), gets="Verified"),
)
