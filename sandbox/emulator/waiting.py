"""Who waits where, in words: the end of the sentence about a launch that hung or spent its budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.emulator.program import Entry

KINDS = ("at a barrier", "for lanes of their warp", "in a loop that waits", "ready to run", "in a loop without end")
"""In the order of `WsWaitKind`."""
SHOWN = 12
"""Places that are told apart; the rest is counted."""


def everyone(waiting: NDArray[np.void], entry: Entry) -> str:
    """`; warps: …` with every place once and how many warps are there, those with most first; empty for nobody."""
    places: dict[str, set[tuple[int, int]]] = {}
    for row in waiting:
        instr = entry.instructions[row["site"]]
        line = f"line {instr.line}" if instr.line else f"PTX line {instr.ptx_line}"
        place = f"{KINDS[row['kind']]} ({instr.text} at {line})"
        places.setdefault(place, set()).add((int(row["block"]), int(row["warp"])))
    found = sorted(places.items(), key=lambda item: -len(item[1]))
    parts = [f"{_count(warps)} {place}" for place, warps in found[:SHOWN]]
    if len(found) > SHOWN:
        parts.append(f"others at {len(found) - SHOWN} more places")
    return f"; warps: {', '.join(parts)}" if parts else ""


def _count(warps: set[tuple[int, int]]) -> str:
    blocks = len({block for block, _ in warps})
    return f"{len(warps)} of {blocks} blocks" if blocks > 1 else str(len(warps))
