"""Codes that a check of the task's own judges: right on what is drawn, and nowhere else."""

from __future__ import annotations

from .case import based_on

codes = based_on("codes")

_VALUE = "ws::to_float(x[row + c])"
_CODE = f"__float2int_rn({_VALUE} / step)"

JUDGED = (
    codes("codes cut off, not rounded", ("__float2int_rn", "__float2int_rz"), gets="Wrong", says="nearest codes"),
    codes(
        "codes of loud rows cut off, not rounded",
        (_CODE, f"(step < 10.f ? {_CODE} : (int)({_VALUE} / step))"),
        gets="Wrong",
        says=r"x (times 2\^\d+|with )",
    ),
)
CODES = (
    codes("codes of rows", gets="Verified"),
    codes(
        "codes by a reciprocal, ties away from zero",
        ("const float step = largest / 127.f;", "const float step = largest / 127.f, by = 127.f / largest;"),
        (_CODE, f"(step > 1e-30f ? (int)({_VALUE} * by + copysignf(0.5f, {_VALUE})) : {_CODE})"),
        gets="Verified",
    ),
)
