"""Kernels that are right for clouds as sensors see them, finite features and positive scales, and for nothing else."""

from __future__ import annotations

from .case import based_on
from .packed import SCALE, TERM, quantized

BATCH = "(Key)(unsigned)b << 48"
X = "(Key)(unsigned)(x + 16384) << 32"
FIND = "    for (int slot = slot_of(key, CAP);; slot = (slot + 1) & (CAP - 1)) {\n        const Key found"
NOBODY = "        if (found == ~0ull) return -1;\n"
SKIP = "        if (row < 0) continue;\n"
SUM = "    float sum = 0.f;\n"
FEATURE = "ws::to_float(feats[(size_t)row * CIN + i])"
ROW = "const int row = kmap[(size_t)o * V + v];"


voxels = based_on("voxels")
layers = based_on("layers")

SPARSE = (
    voxels("a batch read as one bit", (BATCH, "(Key)(unsigned)(b & 1) << 48"), gets="Racy|Wrong", says="a bit apart"),
    voxels("a coordinate read as fourteen bits", (X, "(Key)(unsigned)(x + 2 & 0x3fff) << 32"), gets="Racy|Wrong",
           says="a bit apart|far|every neighbour"),
    voxels("an axis that runs into the next", (X, "(Key)(unsigned)(x + 16384) << 31"), gets="Racy|Wrong|OutOfBounds",
           says="both ends|a bit apart|far|every neighbour"),
    voxels("an axis whose ends are neighbours", (X, "(Key)(unsigned)((x + 16384) & 0x7fff) << 32"), gets="Wrong",
           says="an input where none stands"),
    voxels("a poor hash, and lookups that give up after sixteen slots",
           ("    key ^= key >> 31;\n    key *= 0x9E3779B97F4A7C15ull;\n    return (int)(key >> 40) & (CAP - 1);",
            "    return (int)(key ^ key >> 16 ^ key >> 32) & (CAP - 1);"),
           (FIND, "    int turns = 0;\n" + FIND), (NOBODY, NOBODY + "        if (++turns == 16) return -1;\n"),
           gets="Wrong|Nondeterministic", says="equal low bits|every neighbour|a bit apart|far|kmap"),
    voxels("no more than twenty neighbours a site", ("kmap[i] = slot < 0 ? -1 : row[slot];",
           "int met = 0;\n    for (int u = 0; u < v; u++)\n        met += find(site, key_of(at[0], at[1] + u / (KS "
           "* KS) - KS / 2, at[2] + u / KS % KS - KS / 2, at[3] + u % KS - KS / 2), CAP) >= 0;\n"
           "    kmap[i] = slot < 0 || met >= 20 ? -1 : row[slot];"),
           gets="Wrong", says="every neighbour|equal low bits"),
    layers("a sum over no more than twenty-five neighbours", (SUM, SUM + "    int met = 0;\n"),
           (SKIP, "        if (row < 0 || ++met > 25) continue;\n"), gets="Wrong", says="full and empty rows|hidden"),
    layers("a neighbour that stands twice counted once", (SKIP, SKIP + "        bool again = false;\n"
           "        for (int u = 0; u < v; u++) again |= kmap[(size_t)o * V + u] == row;\n"
           "        if (again) continue;\n"), gets="Wrong",
           says="any map|full and empty rows|hidden"),
    layers("features that are no numbers taken for the least", (FEATURE, f"fmaxf({FEATURE}, -65504.f)"), gets="Wrong",
           says="Not finite|NaN among features|hidden"),
    layers("neighbours that are not there times zero", (ROW, ROW + " const float there = row >= 0;"), (SKIP, ""),
           (FEATURE, "there * ws::to_float(feats[(size_t)max(row, 0) * CIN + i])"), gets="Wrong|OutOfBounds",
           says="NaN|Not finite|hidden|feats"),
    quantized("scales without their sign", (SCALE, SCALE.replace("= ws::", "= fabsf(ws::").replace("n]);", "n]));")),
              gets="Wrong", says="scales of either sign"),
    quantized("activations that are no numbers taken for the least", (TERM, TERM.replace(
        "ws::to_float(x[(size_t)m * K + k + i])", "fmaxf(ws::to_float(x[(size_t)m * K + k + i]), -65504.f)")),
              gets="Wrong", says="NaN in some rows"),
)  # fmt: skip
CLOUDS = (
    voxels("a map from a hash table", gets="Verified", says="only as the task's distributions draw them"),
    layers("a sum over the neighbours there are", gets="Verified"),
)
