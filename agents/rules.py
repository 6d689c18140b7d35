"""What an expert would say to a bottleneck, as a table.

A rule speaks when the limiter is one of its own and its condition holds; of those that speak, the first whose technique
is neither in the kernel nor tried before, or whose knob the kernel has, is the Judge's answer. The conditions follow
the CUDA C++ Best Practices Guide 13.0 (coalescing, shared memory, occupancy) and the Nsight Compute 2025 guide's
metric notes (sectors per request, wavefronts, stall reasons).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from warpsmith.agents.reading import Reading


@dataclass(frozen=True, slots=True)
class Rule:
    """One piece of advice."""

    bottleneck: str
    limiters: frozenset[str]
    holds: Callable[[Reading], bool]
    action: str
    evidence: tuple[str, ...]
    """Names of `Reading.metric` that prove it."""
    techniques: tuple[str, ...] = ()
    """Tags that answer it, the best first."""
    knobs: tuple[str, ...] = ()
    """Words in names of knobs that answer it: `SPLIT` fits `SPLIT_K`."""
    direction: int = 0
    """Of the knob: 1 larger, -1 smaller."""


MEMORY = frozenset({"dram", "l2", "l1", "lsu"})
COMPUTE = frozenset({"fma", "alu", "half", "fp64", "sfu", "issue"})
WAITING = frozenset({"latency"})
ON_CHIP = COMPUTE | {"l1", "lsu", "shared", "tensor"}
ANY = MEMORY | COMPUTE | WAITING | {"shared", "tensor", "atomics", "launch"}

TILES = ("BM", "BN", "TILE", "ROWS", "COLS", "BLOCK")
WARPS = ("THREADS", "WARPS", "BLOCK")
DEPTH = ("STAGE", "UNROLL", "DEPTH", "PIPELINE")


def starved(reading: Reading) -> bool:
    """Whether the grid is too small to fill even half of the chip's warps: more blocks would hide more latency."""
    occupancy = reading.launch.occupancy
    return reading.launch.waves < 1 and occupancy.limiter == "grid" and occupancy.fraction < 0.5


RULES: tuple[Rule, ...] = (
    Rule(
        "registers spill to local memory",
        ANY,
        lambda it: it.spilled_bytes > 0,
        "Keep fewer values alive per thread: a smaller tile, or more threads for the same tile.",
        ("spilled bytes per thread", "registers per thread"),
        knobs=TILES,
        direction=-1,
    ),
    Rule(
        "global loads are not coalesced",
        MEMORY | {"latency", "issue"},
        lambda it: it.load_efficiency < 0.6,
        "Let neighbouring lanes read neighbouring addresses, so that every loaded sector is used whole.",
        ("sectors per load request", "load efficiency"),
        techniques=("coalesced", "vectorized", "tiled"),
    ),
    Rule(
        "global stores are not coalesced",
        MEMORY,
        lambda it: it.store_efficiency < 0.6,
        "Let neighbouring lanes write neighbouring addresses; transpose through shared memory where needed.",
        ("store efficiency",),
        techniques=("coalesced",),
    ),
    Rule(
        "atomics on one address run one after another",
        frozenset({"atomics", "l2", "latency"}),
        lambda it: it.limiter == "atomics" or it.atomic_passes > 4,
        "Reduce within the warp and the block first, then add once per block.",
        ("serial passes per atomic",),
        techniques=("warp_reduce", "privatized", "split_k"),
    ),
    Rule(
        "too few blocks to fill the chip",
        WAITING | ON_CHIP,
        starved,
        "Cut the reduction dimension across blocks, or use smaller tiles, until every multiprocessor has work.",
        ("waves", "grid blocks", "occupancy"),
        techniques=("split_k", "stream_k", "split"),
        knobs=("SPLIT",),
        direction=1,
    ),
    Rule(
        "too few blocks to fill the chip",
        WAITING | ON_CHIP,
        starved,
        "Use smaller tiles until every multiprocessor has work.",
        ("waves", "grid blocks", "occupancy"),
        knobs=TILES,
        direction=-1,
    ),
    Rule(
        "the same data is fetched again and again",
        MEMORY | {"latency", "issue"},
        lambda it: it.reload_factor > 4,
        "Stage a tile in shared memory or registers and reuse it for more outputs before fetching the next.",
        ("reload factor",),
        techniques=("tensor_core", "tiled", "shared_tile", "register_tile"),
        knobs=TILES,
        direction=1,
    ),
    Rule(
        "global loads are narrow",
        MEMORY | {"latency", "issue", "alu"},
        lambda it: 0 < it.bytes_per_lane < 8,
        "Load 16 bytes per lane at a time.",
        ("bytes per lane and load", "warp instructions"),
        techniques=("vectorized",),
        knobs=("VEC", "WIDTH"),
        direction=1,
    ),
    Rule(
        "shared-memory banks conflict",
        frozenset({"shared", "latency", "issue"}),
        lambda it: it.bank_conflict > 1.25,
        "Pad rows or swizzle columns so that the lanes of one access fall into different banks.",
        ("bank conflict factor",),
        techniques=("swizzled", "padded"),
        knobs=("PAD", "SWIZZLE"),
    ),
    Rule(
        "shared memory feeds too few operations per load",
        frozenset({"shared"}),
        lambda it: it.bank_conflict <= 1.25,
        "Hold a larger tile of outputs in registers, so that each value read from shared memory serves more of them.",
        ("bank conflict factor",),
        techniques=("tensor_core", "register_tile"),
        knobs=TILES,
        direction=1,
    ),
    Rule(
        "arithmetic runs outside the tensor cores",
        COMPUTE,
        lambda it: not it.uses_tensor_cores and it.workload.bound.limit.startswith("tensor"),
        "Move the inner product to tensor cores (mma).",
        ("warp instructions",),
        techniques=("tensor_core",),
    ),
    Rule(
        "lanes of a warp go different ways",
        COMPUTE | {"latency", "lsu"},
        lambda it: it.diverges,
        "Let the lanes of a warp take one branch: give each warp one case, or select values instead of branching.",
        ("branch efficiency", "active lanes per warp instruction"),
        techniques=("uniform_branches", "balanced"),
    ),
    Rule(
        "index arithmetic and unpacking fill the issue slots",
        frozenset({"alu", "issue", "latency"}),
        lambda it: it.share("alu") + it.share("control") > 0.4,
        "Unpack several values per instruction, hoist addresses out of the inner loop, and unroll it.",
        ("alu share", "warp instructions"),
        techniques=("tensor_core", "lop3_dequant", "packed_half", "vectorized", "unrolled"),
        knobs=DEPTH,
        direction=1,
    ),
    Rule(
        "arithmetic fills its pipe",
        COMPUTE,
        lambda it: not it.uses_tensor_cores,
        "Do the inner product with fewer instructions: tensor cores, or packed half precision.",
        ("warp instructions",),
        techniques=("tensor_core", "packed_half", "register_tile"),
    ),
    Rule(
        "too few warps to hide latency",
        WAITING,
        lambda it: it.launch.occupancy.fraction < 0.25 and it.launch.occupancy.limiter in ("registers", "shared"),
        "Let more blocks reside: smaller tiles or fewer pipeline stages.",
        ("occupancy", "registers per thread"),
        knobs=(*TILES, "STAGE"),
        direction=-1,
    ),
    Rule(
        "each warp waits for one load at a time",
        WAITING | {"dram", "l2"},
        lambda it: it.launch.counters.outstanding_loads < 4,
        "Start several independent loads before using the first: prefetch, unroll, or copy asynchronously.",
        ("loads in flight", "occupancy"),
        techniques=("pipelined", "async_copy", "unrolled", "vectorized"),
        knobs=DEPTH,
        direction=1,
    ),
    Rule(
        "blocks do unequal work",
        ANY,
        lambda it: it.launch.counters.heaviest_block > 1.5,
        "Give each block an equal share: cut heavy items, or let blocks fetch work.",
        ("heaviest block over mean",),
        techniques=("balanced", "persistent", "stream_k"),
    ),
    Rule(
        "starting launches takes most of the time",
        frozenset({"launch"}),
        lambda it: True,
        "Fuse neighbouring launches into one, and leave out memsets.",
        ("waves", "grid blocks"),
        techniques=("fused",),
        knobs=("SPLIT",),
        direction=-1,
    ),
    Rule(
        "latency that neither memory nor arithmetic explains",
        WAITING,
        lambda it: True,
        "Give each multiprocessor more independent work in flight: more warps, deeper unrolling, fewer barriers.",
        ("occupancy", "waves", "barriers", "loads in flight"),
        techniques=("split_k", "pipelined", "warp_reduce"),
        knobs=("SPLIT", *WARPS, *DEPTH),
    ),
    Rule(
        "memory traffic",
        MEMORY,
        lambda it: True,
        "Move fewer bytes: reuse more per fetch, fuse neighbouring launches, keep partial results on chip.",
        ("reload factor", "load efficiency"),
        techniques=("fused", "tiled", "vectorized"),
        knobs=("SPLIT", *TILES),
    ),
    Rule(
        "tensor cores wait for their operands",
        frozenset({"tensor"}),
        lambda it: True,
        "Overlap loading the next tile with multiplying this one, and use larger tiles.",
        ("waves", "occupancy"),
        techniques=("pipelined", "async_copy"),
        knobs=(*DEPTH, *TILES),
        direction=1,
    ),
)
