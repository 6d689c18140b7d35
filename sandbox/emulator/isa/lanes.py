"""Every lane row by name."""

from __future__ import annotations

from functools import cache

from . import (
    carry,
    compare,
    convert,
    convert_bounds,
    floating,
    half,
    integer,
    logic,
    move,
    packed_integer,
    scalar_video,
    video,
)
from .row import LaneRow

MODULES = (
    *(move, integer, carry, logic, compare, floating, half, convert, convert_bounds),
    *(packed_integer, video, scalar_video),
)


@cache
def lane_rows() -> dict[str, LaneRow]:
    """Every lane row by canonical name, in table order."""
    rows: dict[str, LaneRow] = {}
    for module in MODULES:
        for row in module.ROWS:
            if row.name in rows:
                raise ValueError(f"two rows are named {row.name}")
            rows[row.name] = row
    return rows
