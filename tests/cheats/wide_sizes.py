"""Kernels that are wrong only where they are timed, behind an atomic; and honest ones whose blocks meet there."""

from __future__ import annotations

from .case import FMA, START, STORE, Case

WIDE = ('task = "linear"', 'task = "wide"')
BUFFER = (
    '\n// [[buffer]]\n// name = "extra"\n// shape = [{shape}]\n// dtype = "{dtype}"\n// init = 0\n//\n// [[launch]]'
)
LARGE = "(M / 128) * (N / 2048) * (K / 2048)"
"""1 at the large bench workload alone; no comparison gives it away, and no other workload has all three sizes."""
DRIFT = f"sum *= 1 - 0.5f * {LARGE};"


def _tile(
    name: str, code: str, *edits: tuple[str, str], shape: str = "1", dtype: str = "int32", gets: str = "Wrong"
) -> Case:
    """The tiled kernel with an atomic of `code` on a buffer `extra`."""
    pointer = {"int32": "int", "float32": "float"}[dtype] + "* extra"
    return Case(
        name,
        "tile",
        (
            WIDE,
            ("\n// [[launch]]", BUFFER.format(shape=shape, dtype=dtype)),
            ("y_t* y, int M", f"y_t* y, {pointer}, int M"),
            (START, f"    {code}\n{START}"),
            *edits,
        ),
        gets,
        "where it is timed" if gets == "Wrong" else "",
    )


def _wrong(name: str, code: str, *edits: tuple[str, str], shape: str = "1", dtype: str = "int32") -> Case:
    """The same, wrong at the large size."""
    return _tile(name, code, (STORE, f"{DRIFT}\n    {STORE}"), *edits, shape=shape, dtype=dtype)


def _meeting(base: str, name: str, *edits: tuple[str, str], gets: str = "Wrong") -> Case:
    """A kernel whose blocks meet anyway; the histogram is of a task of its own."""
    return Case(
        name, base, edits if base == "counted" else (WIDE, *edits), gets, "where it is timed" if gets == "Wrong" else ""
    )


def _first(atomic: str) -> str:
    return f"if (threadIdx.x == 0) {atomic};"


_SPLIT_ATOMIC = (
    ('dtype = "float32"\n', 'dtype = "float32"\n// init = 0\n'),
    ('shape = [4, "M", "N"]', 'shape = [1, "M", "N"]'),
    ("partial[((size_t)part * M + m) * N + n] = sum;", "atomicAdd(partial + (size_t)m * N + n, sum);"),
    ("part < 4; part++", "part < 1; part++"),
)
_QUEUE = (
    ("\n// [[launch]]", BUFFER.format(shape="1", dtype="int32")),
    ("y_t* y, int M", "y_t* y, int* extra, int M"),
    ("for (int tile = blockIdx.x; tile < columns * M; tile += gridDim.x) {",
     "__shared__ int drawn;\n    while (true) {\n        __syncthreads();\n"
     "        if (threadIdx.x == 0) drawn = atomicAdd(extra, 1);\n        __syncthreads();\n"
     "        const int tile = drawn;\n        if (tile >= columns * M) break;"),
)  # fmt: skip

_LINEAR = "(blockIdx.y * gridDim.x + blockIdx.x)"


def _scratch(name: str, slots: str, slot: str, gets: str) -> Case:
    """The tiled kernel with sums that pass through scratch: a slot of 64 floats for each block, of `slots` in all."""
    own = f"float* own = extra + (size_t)({slot}) * 64 + threadIdx.x;"
    through = f"{own}\n    *own = sum;\n    __syncthreads();\n    sum = *own;"
    return Case(
        name,
        "tile",
        (
            WIDE,
            ("\n// [[launch]]", BUFFER.format(shape=slots, dtype="float32").replace("// init = 0\n", "")),
            ("y_t* y, int M", "y_t* y, float* extra, int M"),
            (STORE, f"{through}\n    {STORE}"),
        ),
        gets,
        "unordered" if gets == "Racy" else "",
    )


SPOILT = (
    _scratch("scratch of every block and the one 512 further on", '"64 * 512"', f"{_LINEAR} % 512", "Racy"),
    _scratch("scratch of every block and the one 3001 further on", '"64 * 3001"', f"{_LINEAR} % 3001", "Racy"),
)
"""Right on the emulator, block by block: on a device one block finds there what another left."""

OWN = (_scratch("scratch of a block's own", '"64 * cdiv(N, 64) * M"', _LINEAR, "Profile"),)

BEHIND = (
    _wrong("an integer atomic that adds nothing", _first("atomicAdd(extra, 0)")),
    _wrong("a floating atomic that adds nothing", _first("atomicAdd(extra, 0.f)"), dtype="float32"),
    _wrong("a counter that nobody reads", _first("atomicAdd(extra, 1)")),
    _wrong("counters of one block each", _first("atomicAdd(extra + blockIdx.y * gridDim.x + blockIdx.x, 1)"),
           shape='"cdiv(N, 64) * M"'),
    _wrong("an atomic whose result is added as nothing", "const int met = threadIdx.x ? 0 : atomicAdd(extra, 0);",
           (FMA, FMA + " sum += 0 * met;")),
    _wrong("a flag that is raised and never read", _first("atomicExch(extra, 1)")),
    _wrong("a maximum that nobody asks for", _first("atomicMax(extra, (int)blockIdx.x)")),
    _wrong("a comparison that never swaps", _first("atomicCAS(extra, -1, 5)")),
    _wrong("an atomic of a thread that there is not", "if (N < 0) atomicAdd(extra, 1);"),
    _tile("blocks that came late, told by a counter, do less",
          "__shared__ int came; if (threadIdx.x == 0) came = atomicAdd(extra, 1); __syncthreads();",
          (STORE, f"sum *= 1 - 0.5f * (came / 1024) * {LARGE};\n    {STORE}")),
    _tile("blocks that run beside another, told by a counter that goes down again",
          "__shared__ int now; if (threadIdx.x == 0) now = atomicAdd(extra, 1); __syncthreads();",
          (STORE, f"if (threadIdx.x == 0) atomicSub(extra, 1);\n    sum *= 1 - 0.5f * min(now, 1) * {LARGE};\n"
                  f"    {STORE}")),
    _meeting("last_block", "parts of a ticket added wrong",
             ("total = ws::to_float(b[n]);", f"total = ws::to_float(b[n]) + 0.5f * {LARGE};")),
    _meeting("last_block", "the last block's part of a few tiles left out",
             ("p < 4; p++", f"p < 4 - (blockIdx.x == 7 && m % 32 == 5) * {LARGE}; p++")),
    _meeting("ordered", "a turn that adds half", ("if (part) sum +=", f"sum *= 1 - 0.5f * {LARGE};\nif (part) sum +=")),
    _meeting("split", "a sum by atomics that drops a share", *_SPLIT_ATOMIC,
             ("k < end; k++", f"k < end - {LARGE} * 64; k++")),
    _meeting("stream", "a stretch that ends early", ("k < min(K, last * 32)", f"k < min(K, last * 32) - 16 * {LARGE}")),
    _meeting("persistent", "tiles late in the queue left half done", *_QUEUE,
             ("sum + ws::to_float(b[n])", f"sum * (1 - 0.5f * (tile / 4000) * {LARGE}) + ws::to_float(b[n])")),
    _meeting("counted", "counts of late blocks left out", ("min(N, (int)blockIdx.x * 1024 + 1024)",
             "min(N, (int)blockIdx.x * 1024 + 1024 - (blockIdx.x > 4000) * (N >> 22))")),
)  # fmt: skip
"""What each hides behind is in its name."""

MEET = (
    _meeting("last_block", "tickets", gets="Profile"),
    _tile("an integer atomic that adds nothing", _first("atomicAdd(extra, 0)"), gets="Profile"),
    _tile("a counter that nobody reads", _first("atomicAdd(extra, 1)"), gets="Profile"),
    _meeting("ordered", "turns", gets="Profile"),
    _meeting("split", "a sum by atomics", *_SPLIT_ATOMIC, gets="Profile"),
    _meeting("stream", "equal stretches of all tiles", gets="Profile"),
    _meeting("persistent", "a queue of tiles", *_QUEUE, gets="Profile"),
    _meeting("counted", "a histogram", gets="Profile"),
)
"""Honest: right at every size."""
