"""Kernels whose blocks share the work: by tickets, tiles taken in turn, atomics, or a barrier across the grid."""

from __future__ import annotations

from .case import Case

_FENCE = "    __threadfence();\n    __syncthreads();\n    if (threadIdx"


def _of(base: str, name: str, *edits: tuple[str, str], gets: str = "Verified", says: str = "") -> Case:
    return Case(name, base, edits, gets, says)


MEETING = (
    _of("last_block", "a ticket without a fence", (_FENCE, _FENCE.replace("    __threadfence();\n", "")),
        ("        __threadfence();\n", ""), gets="Racy", says="partial"),
    _of("last_block", "a ticket left from before", ("// init = 0\n", ""), gets="Uninitialised", says="tickets"),
    _of("last_block", "a ticket taken without an atomic",
        ("atomicAdd(tickets + (size_t)blockIdx.y * gridDim.x + blockIdx.x, 1) == 3",
         "tickets[(size_t)blockIdx.y * gridDim.x + blockIdx.x]++ == 3"), gets="Racy", says="tickets"),
    _of("last_block", "parts added when three are there", ("== 3;", "== 2;"), gets="Uninitialised", says="partial"),
    _of("persistent", "a sum that is not reset from tile to tile", ("        sum = 0.f;\n", ""), gets="Wrong",
        says="hidden|bench-sized|timed|3 multiprocessors"),
    _of("persistent", "every other tile of a block left out", ("tile += gridDim.x", "tile += 2 * gridDim.x"),
        gets="Unwritten", says="y"),
    _of("stream", "the last chunk of a long stretch left out",
        ("k < min(K, last * 32)", "k < min(K, last * 32) - (each > 64 ? 32 : 0)"), gets="Wrong",
        says="hidden|bench-sized"),
    _of("stream", "stretches rounded down", ("(all + gridDim.x - 1) / gridDim.x", "max(1LL, all / gridDim.x)"),
        gets="Wrong", says="one row|ragged|whole tiles|long K"),
    _of("ordered", "a turn taken before the fence",
        ("    __threadfence();\n    __syncthreads();\n    if (threadIdx.x == 0) atomicExch",
         "    __syncthreads();\n    if (threadIdx.x == 0) atomicExch"), gets="Racy", says="sums"),
    _of("ordered", "a turn that never comes", ("atomicExch(turn, part + 1)", "atomicExch(turn, part + 2)"),
        gets="Deadlocked", says="waits in a loop"),
    _of("pairs", "the odd column left to a partner that is not there", ("if (n + 1 < N) s1", "if (false) s1"),
        gets="Wrong", says="modulo 2 is 1"),
    _of("pairs", "pairs where rows begin at odd places", ("n + 1 < N && N % 2 == 0 && ", "n + 1 < N && "),
        gets="Crashed", says="multiple of 4"),
    _of("cooperative", "no barrier between the halves", ("    cooperative_groups::this_grid().sync();\n", ""),
        gets="Racy|Uninitialised", says="of partial"),
    _of("cooperative", "a launch that is not cooperative", ("// cooperative = true\n", ""), gets="Rejected",
        says="cooperative"),
)  # fmt: skip

MET = (
    _of("last_block", "the last block to come adds the parts"),
    _of("persistent", "as many blocks as fit, tile after tile"),
    _of("stream", "equal stretches of all tiles' chunks"),
    _of("ordered", "blocks that add in order, each after the one before"),
    _of("pairs", "two columns a thread, and the odd one alone"),
    _of("cooperative", "a barrier across the grid"),
)
