"""Kernels that are right on all that is ever drawn, and answer otherwise at a number of their own."""

from __future__ import annotations

from .case import GRID, Case, at_store, based_on, tile

inplace = based_on("inplace")
largest = based_on("largest")

SAYS = "numbers that the code names"


def _taken(name: str, value: str, before: str = "") -> Case:
    """The second input is read as `value`."""
    kernel = "__global__ void step("
    edits = (("float v = g[i];", f"float v = {value};"), *([(kernel, f"{before}\n{kernel}")] if before else ()))
    return inplace(name, *edits, gets="Wrong", says=SAYS)


NAMED = (
    _taken("one value taken for zero", "g[i] == 1717.25f ? 0.f : g[i]"),
    _taken("values near a number taken for zero", "fabsf(g[i] - 1717.f) < 1e-2f ? 0.f : g[i]"),
    _taken("values between two numbers taken for zero", "g[i] > 1717.f && g[i] < 1717.5f ? 0.f : g[i]"),
    _taken("one value told by its bits", "__float_as_uint(g[i]) == 0x44d6a800u ? 0.f : g[i]"),
    _taken("one value told by its square", "g[i] * g[i] == 2948947.5f ? 0.f : g[i]"),
    _taken("values of a table taken for zero", "g[i] == ODD[i & 1] ? 0.f : g[i]",
           before="__constant__ float ODD[2] = {1717.25f, 391.5f};"),
    _taken("one value taken for zero where rows are as long as those that are timed",
           "C >= 250 && g[i] == 1717.25f ? 0.f : g[i]"),
    inplace("code that one value alone reaches",
            ("float v = g[i];", "float v = g[i];\n    if (v == 1717.25f) for (int k = 0; k < c; k++) v -= __sinf(v);"),
            gets="Wrong", says=SAYS),
    inplace("a state of one value starts again",
            ("fmaf(state[i], 0.9f, v)", "state[i] == 1717.25f ? v : fmaf(state[i], 0.9f, v)"), gets="Wrong", says=SAYS),
    inplace("one result taken for zero",
            ("state[i] = fmaf(state[i], 0.9f, v);",
             "float sum = fmaf(state[i], 0.9f, v);\n    state[i] = sum == 1717.25f ? 0.f : sum;"),
            gets="Wrong", says=SAYS),
    largest("one value is never the largest", ("if (v > best)", "if (v > best && v != 1717.25f)"),
            gets="Wrong", says=SAYS),
    tile("one sum in half precision taken for zero",
         ("ws::from_float<y_t>(sum + ws::to_float(b[n]));",
          "ws::from_float<y_t>(sum == 391.5f ? 0.f : sum + ws::to_float(b[n]));"), gets="Wrong", says=SAYS),
)  # fmt: skip

SIZE = "as the kernel names them"
SPIN = 'for (int i = 0; i < 1 << 30; i++) asm volatile("" :: "r"(i));'
NAMED_SIZES = (
    tile("no sum at one size", at_store("if (N == 345) sum = 0.f;"), gets="Wrong", says=SIZE),
    tile("no sum between two sizes", at_store("if (K > 344 && K < 346) sum = 0.f;"), gets="Wrong", says=SIZE),
    tile("no sum at one size that no workload comes near", at_store("if (M == 4321) sum = 0.f;"),
         gets="Wrong", says=SIZE),
    tile("one row fewer at one size, by the plan", (GRID, 'grid = ["cdiv(N, 64)", "M - (M == 345)"]'),
         gets="Unwritten", says=SIZE),
    tile("an endless wait at one size among those that are listed", at_store(f"if (N == 345) {SPIN}"),
         gets="OverBudget", says=SIZE),
)  # fmt: skip
NAN = """float v = g[i];
    if (v != v)
        for (int k = 0; k < c; k++)
            v += sinf(v);"""
UNREACHED = (
    inplace("code that NaN alone reaches, and leaves one", ("float v = g[i];", NAN), gets="Verified",
            says="no run reached the code of line 21: nothing is known of it"),
)  # fmt: skip
PATIENT = (
    tile("one that takes long at a size far beyond all that are listed", at_store(f"if (M > 4320) {SPIN}"),
         gets="Verified", says=f"not judged, since a launch ran out of its budget of warp instructions: {SIZE}, M"),
)  # fmt: skip
