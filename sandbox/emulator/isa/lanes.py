"""Every lane row by name."""

from __future__ import annotations

from functools import cache

from . import carry, compare, convert, floating, half, integer, logic, move
from .row import LaneRow


@cache
def lane_rows() -> dict[str, LaneRow]:
    """Every lane row by canonical name, in table order."""
    rows: dict[str, LaneRow] = {}
    for module in (move, integer, carry, logic, compare, floating, half, convert):
        for row in module.ROWS:
            if row.name in rows:
                raise ValueError(f"two rows are named {row.name}")
            rows[row.name] = row
    return rows
