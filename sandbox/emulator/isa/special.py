"""Special registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .state import LANES, Thread

if TYPE_CHECKING:
    from .block import Block

AXES = ("x", "y", "z")
TRIPLES = frozenset(("tid", "ntid", "ctaid", "nctaid"))
SINGLES = frozenset(("laneid", "warpid", "nwarpid", "smid", "nsmid", "dynamic_smem_size", "total_smem_size")) | {
    f"lanemask_{order}" for order in ("eq", "lt", "le", "gt", "ge")
}
CLOCKS = {
    "%clock": (0, 32),
    "%clock_hi": (32, 32),
    "%clock64": (0, 64),
    "%globaltimer_lo": (0, 32),
    "%globaltimer_hi": (32, 32),
    "%globaltimer": (0, 64),
}
"""(lowest bit, bits) of a count that grows with the instructions executed: neither cycles nor nanoseconds."""
ALIASES = {
    # A launch without clusters is a grid of clusters of one block.
    **{f"%clusterid.{axis}": f"%ctaid.{axis}" for axis in AXES},
    **{f"%nclusterid.{axis}": f"%nctaid.{axis}" for axis in AXES},
    "%aggr_smem_size": "%total_smem_size",
}
FIXED = {
    **{f"%cluster_ctaid.{axis}": 0 for axis in AXES},
    **{f"%cluster_nctaid.{axis}": 1 for axis in AXES},
    "%cluster_ctarank": 0,
    "%cluster_nctarank": 1,
    "%is_explicit_cluster": 0,
    "%gridid": 0,
    "%current_graph_exec": 0,
}


def is_emulated(name: str) -> bool:
    """Whether the special register, percent sign and component included, has a value here."""
    name = ALIASES.get(name, name)
    plain, _, axis = name.removeprefix("%").partition(".")
    if name in FIXED or name in CLOCKS:
        return True
    return (plain in TRIPLES and axis in AXES) if axis else plain in SINGLES


def special_value(name: str, block: Block, thread: Thread) -> int:
    """The value of an emulated register in a thread."""
    name = ALIASES.get(name, name)
    if name in FIXED:
        return FIXED[name]
    if name in CLOCKS:
        block.clock += 1
        return block.clock >> CLOCKS[name][0]
    plain, _, axis = name.removeprefix("%").partition(".")
    if axis:
        return _triple(plain, block, thread)[AXES.index(axis)]
    lane = thread.lane
    below = (1 << lane) - 1
    values = {
        "laneid": lane,
        "warpid": thread.index // LANES,
        "nwarpid": len(block.warps),
        "smid": block.linear % block.options.sms,
        "nsmid": block.options.sms,
        "lanemask_eq": 1 << lane,
        "lanemask_lt": below,
        "lanemask_le": below | 1 << lane,
        "lanemask_gt": 0xFFFFFFFF & ~(below | 1 << lane),
        "lanemask_ge": 0xFFFFFFFF & ~below,
        "dynamic_smem_size": block.spec.dynamic_shared,
        "total_smem_size": len(block.shared.data),
    }
    return values[plain]


def _triple(name: str, block: Block, thread: Thread) -> tuple[int, int, int]:
    return {
        "tid": thread.position,
        "ntid": block.spec.block,
        "ctaid": block.position,
        "nctaid": block.spec.grid,
    }[name]
