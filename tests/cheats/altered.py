"""Kernels that are right on what a task's distributions draw, and do less where data look otherwise."""

from __future__ import annotations

from .case import Case, at_store, tile


def _row(name: str, start: str, each: str, then: str, says: str) -> Case:
    """`each` sees every activation `v` of the row; `then` decides."""
    loop = f"for (int k = 0; k < K; k++) {{ const float v = ws::to_float(x[(size_t)m * K + k]); {each} }}"
    return tile(name, at_store(f"{start} {loop} {then}"), gets="Wrong", says=f"x with rows of many kinds|{says}")


_ANY = "bool hit = false;"
_LESS = "sum *= 0.5f;"

ALTERED = (
    _row(
        "no bias where a row is zero", _ANY, "hit |= v != 0.f;", "if (!hit && n < N) sum -= ws::to_float(b[n]);",
        "x with rows of zeros",
    ),
    _row("half a sum where activations have one sign", _ANY, "hit |= v < 0.f;", f"if (!hit && K > 8) {_LESS}",
         "x with (one (sign|value)|nine zeros in ten)|hidden"),
    _row("half a sum where a row is one value", _ANY, "hit |= v != ws::to_float(x[(size_t)m * K]);",
         f"if (!hit && K > 8) {_LESS}", "x with (equal columns|one value|rows of zeros)"),
    _row("half a sum where activations are mostly zero", "int zeros = 0;", "zeros += v == 0.f;",
         f"if (zeros * 4 > K * 3 && K > 8) {_LESS}", "x with (nine zeros in ten|rows of zeros|one value a row)"),
    _row("half a sum where activations rise", "float last = -1e30f; bool up = true;", "up &= v >= last; last = v;",
         f"if (up && K > 8) {_LESS}", "x with (rising|equal columns|rows of zeros|one value)"),
    _row("half a sum where activations are whole numbers", _ANY, "hit |= v != rintf(v);",
         f"if (!hit && K > 8) {_LESS}", "x with (few whole|rows of zeros|one value)"),
    tile("half a sum where rows repeat",
         at_store("bool same = m > 0; for (int k = 0; k < K; k++) same &= ws::to_float(x[k]) == "
                  f"ws::to_float(x[(size_t)m * K + k]); if (same && K > 8) {_LESS}"),
         gets="Wrong", says="x with (equal rows|one value|rows of zeros|rows of many kinds)"),
    tile("no bias where weights are zero",
         at_store("bool zero = n < N; for (int k = 0; k < K; k++) "
                  "zero = zero && ws::to_float(w[(size_t)k * N + n]) == 0;\n"
                  "    if (zero && n < N) sum -= ws::to_float(b[n]);"),
         gets="Wrong", says="w with ((rows|columns) of (zeros|many kinds)|nine zeros|one value a row)"),
    tile("no bias where all biases are one", at_store(
        "bool one = N > 1; for (int j = 0; j < N; j++) one &= ws::to_float(b[j]) == ws::to_float(b[0]);"
        " if (one && n < N) sum -= ws::to_float(b[n]);"), gets="Wrong", says="b with (one value|equal|rows of zeros)"),
    _row("half a sum where one activation is far larger than the rest", "float top = 0.f, all = 0.f;",
         "top = fmaxf(top, fabsf(v)); all += fabsf(v);", f"if (top > 60.f * all / K) {_LESS}",
         "x with (an outlier|one value a row|nine zeros)|times 2"),
    _row("half a sum where one activation is all there is", "int some = 0;", "some += v != 0.f;",
         f"if (some == 1 && K > 8) {_LESS}", "x with (one value a row|nine zeros)"),
    tile("results cut off at sixty", at_store("sum = fminf(fmaxf(sum, -60.f), 60.f);"), gets="Wrong",
         says="with (loud values|rows of many)|hidden|times 2"),
    tile("results cut off at sixty where sums are as long as those that are timed",
         at_store("if (K > 1024) sum = fminf(fmaxf(sum, -60.f), 60.f);"), gets="Wrong",
         says="bench-sized .*K.*, [xwb] with "),
)  # fmt: skip
