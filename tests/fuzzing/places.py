"""Where a random program keeps data. Nobody writes what another thread may touch before the next barrier.

Each thread owns OWN bytes of global, shared and local memory, and one exchange word in shared memory. Contended slots
take commutative integer atomics alone, one operation each. `source` holds any bits, `smalls` small numbers of every
floating type, so that sums of products are exact whatever their order.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

import numpy as np

from warpsmith.sandbox.emulator.isa.number import BF16, F16

OWN = 64
SOURCE_BYTES = 4096
SLOTS = 16
SLOT_BYTES = 8
SMALL_SECTION = 256
SMALLS = {"f16": 0, "bf16": 1, "f32": 2, "tf32": 2, "f64": 3}
"""Section of `smalls` with values of a type."""


@dataclass(frozen=True)
class Shape:
    """A launch: blocks and threads of each."""

    grid: int
    threads: int

    @property
    def whole(self) -> bool:
        """Whether every warp has all of its lanes."""
        return self.threads % 32 == 0

    @property
    def exchange(self) -> int:
        """Shared address of the exchange words; behind them lie the contended slots."""
        return self.threads * OWN

    def shared_slots(self) -> int:
        return -(-(self.exchange + 4 * self.threads) // SLOT_BYTES) * SLOT_BYTES


def source_bytes(rng: random.Random) -> np.ndarray:
    """Random words among values at which arithmetic changes its ways."""
    edges = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x3F800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x00000001)
    words = [rng.choice(edges) if rng.randrange(4) == 0 else rng.getrandbits(32) for _ in range(SOURCE_BYTES // 4)]
    return np.array(words, np.uint32).view(np.uint8)


def small_bytes(rng: random.Random) -> np.ndarray:
    """Four sections of small whole numbers: f16, bf16, f32, f64."""

    def some(count: int) -> list[int]:
        return [rng.randrange(-2, 3) for _ in range(count)]

    halves = [F16.from_float(x) for x in some(SMALL_SECTION // 2)]
    brains = [BF16.from_float(x) for x in some(SMALL_SECTION // 2)]
    packed = struct.pack(f"<{len(halves)}H{len(brains)}H", *halves, *brains)
    packed += struct.pack(f"<{SMALL_SECTION // 4}f", *some(SMALL_SECTION // 4))
    packed += struct.pack(f"<{SMALL_SECTION // 8}d", *some(SMALL_SECTION // 8))
    return np.frombuffer(bytearray(packed), np.uint8)
