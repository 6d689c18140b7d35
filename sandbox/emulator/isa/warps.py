"""Every warp row by name."""

from __future__ import annotations

from functools import cache

from . import matrix, mbarrier, quad_products, warp_atomic, warp_control, warp_lanes, warp_memory, wmma
from .row import WarpRow


@cache
def warp_rows() -> dict[str, WarpRow]:
    """Every warp row by canonical name, in table order."""
    rows: dict[str, WarpRow] = {}
    for module in (warp_memory, warp_atomic, warp_lanes, warp_control, matrix, quad_products, wmma, mbarrier):
        for row in module.ROWS:
            if row.name in rows:
                raise ValueError(f"two rows are named {row.name}")
            rows[row.name] = row
    return rows
