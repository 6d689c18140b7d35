"""What a schedule's seed decides: the order of blocks, which warp begins, which side of a diverged branch runs first,
and which lane of an atomic or a strong store.

The same draws as in the VM (`vm/machine.h`, `vm/worker.h`, `vm/control.h`), so that a run can be followed under its own
seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..machine import LaunchSpec

if TYPE_CHECKING:
    from .state import Thread, Warp

TURN = 1024
"""Backward branches after which a group of lanes lets others of its warp go first: spin locks need that."""
DRAWN = 4
"""Of its first divergences a warp draws for each, and later as many for every doubling or so."""
HELD = 8
"""Backward branches for which lanes are held back at most."""
_WORD = (1 << 64) - 1


def block_order(spec: LaunchSpec, seed: int) -> NDArray[np.int64]:
    """Linear indices of the blocks to run, in the order of the schedule; seed 0 is launch order."""
    count = spec.grid[0] * spec.grid[1] * spec.grid[2]
    run = np.arange(count, dtype=np.int64) if spec.blocks is None else np.array(spec.blocks, np.int64)
    if seed:
        np.random.default_rng(seed).shuffle(run)
    return run


def first_warp(seed: int, block: int, turn: int, warps: int) -> int:
    """The warp that begins a block's `turn`."""
    return _shuffled(seed + block * 977 + turn) % warps if seed else 0


def draw_order(warp: Warp, group: list[Thread], seed: int) -> None:
    """A group has separated: those at its lowest position may have to let the others go first for a while."""
    warp.divergences += 1
    number = warp.divergences
    draw = _drawn(warp, seed, number)
    if draw >> 63 or (draw >> 16 & 0xFFFFFF) % number >= DRAWN:
        return
    lowest = min(thread.pc for thread in group)
    behind = {thread.lane for thread in group if thread.pc == lowest}
    if len(behind) < len(group):
        warp.yielded |= behind
        warp.turns = TURN - 1 - (draw >> 48) % HELD


def lanes_in_turn(warp: Warp, threads: list[Thread], pc: int, seed: int) -> list[Thread]:
    """The lanes of an atomic or a strong store in the order in which they act: nothing else orders them."""
    turn = _drawn(warp, seed, pc << 48) >> 59
    return sorted(threads, key=lambda thread: thread.lane ^ turn)


def _drawn(warp: Warp, seed: int, number: int) -> int:
    return _shuffled(seed * 0x9E3779B97F4A7C15 + warp.block.linear * 977 + (warp.index << 32) + number)


def _shuffled(x: int) -> int:
    """A number that looks random, as `shuffled` in vm/machine.h."""
    x &= _WORD
    x ^= x >> 33
    x = x * 0xFF51AFD7ED558CCD & _WORD
    x ^= x >> 33
    return x * 0xC4CEB9FE1A85EC53 & _WORD
