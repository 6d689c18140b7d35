"""The registers of a random program: pools whose members always hold a value, and others it keeps to itself."""

from __future__ import annotations

import random

POOLS = {"p": ("pred", 6), "h": ("b16", 8), "r": ("b32", 14), "f": ("f32", 6), "rd": ("b64", 8), "fd": ("f64", 4)}
"""Prefix -> declared type and how many: what instructions read and write at random."""
OWN = {
    "q": ("pred", 16),
    "m": ("b32", 16),
    "i": ("b32", 16),
    "t": ("b32", 16),
    "s": ("b32", 8),
    "a": ("b64", 8),
    "e": ("b32", 32),
    "d": ("b64", 16),
}
"""Guards of branches, member masks, loop counters, trip counts, shared and global addresses, fragments."""

CLASSES = {1: ("p",), 8: ("h",), 16: ("h",), 32: ("r", "f"), 64: ("rd", "fd")}
"""Pools whose registers hold a value of so many bits."""


def declarations() -> str:
    return " ".join(f".reg .{kind} %{prefix}<{count}>;" for prefix, (kind, count) in (POOLS | OWN).items())


def width_of(kind: str) -> int:
    """Bits of an operand of a row's type."""
    return 1 if kind == "pred" else int(kind.lstrip("usfb"))


def register(rng: random.Random, width: int) -> str:
    prefix = rng.choice(CLASSES[width])
    return f"%{prefix}{rng.randrange(POOLS[prefix][1])}"


def distinct(rng: random.Random, width: int, count: int) -> list[str]:
    """Different registers of a width, as vectors of results need."""
    every = [f"%{prefix}{i}" for prefix in CLASSES[width] for i in range(POOLS[prefix][1])]
    return rng.sample(every, count)


def literal(rng: random.Random, kind: str) -> str:
    """An immediate of a row's type; predicates have none."""
    if kind == "f32":
        return f"0f{rng.getrandbits(32):08X}"
    if kind == "f64":
        return f"0d{rng.getrandbits(64):016X}"
    bits = width_of(kind)
    if rng.randrange(2):
        return str(rng.choice((0, 1, 2, 3, bits - 1, bits, bits + 1)))
    value = rng.getrandbits(min(bits, 63))
    return str(value - (1 << (bits - 1)) if kind[0] == "s" and bits < 64 else value)


def source(rng: random.Random, kind: str) -> str:
    if kind != "pred" and rng.randrange(6) == 0:
        return literal(rng, kind)
    return register(rng, width_of(kind))
