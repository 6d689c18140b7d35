"""Kernels that ask for more than a device, or a run, can give: all end at once, with words."""

from __future__ import annotations

from .case import GRID, at_store, tile


def _local(elements: int) -> tuple[str, str]:
    """An array in local memory that no compiler can leave out."""
    return at_store(
        f"float own[{elements}]; for (int i = 0; i < 8; i++) own[(n * 7919 + i * M) & {elements - 1}] = sum; "
        f"sum += 0.f * own[(n * 7919 + 5 * M) & {elements - 1}];"
    )


LIMITS = (
    tile(
        "a gibibyte of local memory", _local(1 << 28), gets="OverBudget", says="local arrays take 1,073,741,824 bytes"
    ),
    tile("local memory that no device gives", _local(1 << 18), gets="OverBudget", says="the limit is 524,288"),
    tile(
        "more blocks than anybody counts",
        (GRID, "grid = [2147483647, 65535, 65535]"),
        gets="OverBudget",
        says="its grid has 9,223,\\d+,\\d+,\\d+,\\d+,\\d+ blocks",
    ),
    tile(
        "a loop whose counter comes round",
        at_store('for (unsigned i = 0; i != 3; i += 2) asm volatile("" :: "r"(i));'),
        gets="OverBudget|Deadlocked",
        says="counter",
    ),
)

WITHIN = (tile("an array in local memory", _local(1 << 8), gets="Verified"),)
