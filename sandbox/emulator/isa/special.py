"""Special registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .state import LANES, Thread

if TYPE_CHECKING:
    from .block import Block

AXES = ("x", "y", "z")
TRIPLES = frozenset(("tid", "ntid", "ctaid", "nctaid"))
SINGLES = frozenset(("laneid", "warpid", "nwarpid", "nsmid", "dynamic_smem_size", "total_smem_size")) | {
    f"lanemask_{order}" for order in ("eq", "lt", "le", "gt", "ge")
}

WITHOUT_CLUSTERS = {
    # A launch without clusters is a grid of clusters of one block.
    **{f"%cluster_ctaid.{axis}": 0 for axis in AXES},
    **{f"%cluster_nctaid.{axis}": 1 for axis in AXES},
    "%cluster_ctarank": 0,
    "%cluster_nctarank": 1,
    "%is_explicit_cluster": 0,
    "%gridid": 0,
}


def is_emulated(name: str) -> bool:
    """Whether the special register, percent sign and component included, has a value here."""
    plain, _, axis = name.removeprefix("%").partition(".")
    if name in WITHOUT_CLUSTERS:
        return True
    return (plain in TRIPLES and axis in AXES) if axis else plain in SINGLES


def special_value(name: str, block: Block, thread: Thread) -> int:
    """The value of an emulated register in a thread."""
    if name in WITHOUT_CLUSTERS:
        return WITHOUT_CLUSTERS[name]
    plain, _, axis = name.removeprefix("%").partition(".")
    if axis:
        return _triple(plain, block, thread)[AXES.index(axis)]
    lane = thread.lane
    below = (1 << lane) - 1
    values = {
        "laneid": lane,
        "warpid": thread.index // LANES,
        "nwarpid": len(block.warps),
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
