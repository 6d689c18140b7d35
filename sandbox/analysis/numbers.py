"""The numbers that a kernel's code names: what it may compare with, subtract, or keep in a table.

A kernel that answers otherwise at one value must say which. No distribution draws it, but the code does name it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.sandbox.emulator.isa.number import signed, wrap
from warpsmith.sandbox.emulator.program import Immediate, Instr, Module
from warpsmith.sandbox.emulator.ptx.literals import floating
from warpsmith.tasks.convert import finite_limit, narrowed, widened

COMPARING = frozenset(("setp", "set"))
"""Instructions whose whole numbers may be values of an input that was rounded."""
TAKING_BITS = COMPARING | {"xor", "sub", "add", "mov"}
"""Instructions whose whole numbers may be the bits of a value."""
TABLE = 4096
"""Bytes of an initialised variable up to which its words count."""
PLAUSIBLE = (2.0**-20, 2.0**20)
"""Magnitudes of what is taken for the bits of a floating number; most whole numbers are outside."""
BAND = 256.0
"""Between the largest and the least of numbers that stand in one input together."""
WHOLE = 1 << 24
"""Whole numbers from here on are no values of rounded inputs."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers by how the code writes them."""

    floats: frozenset[float] = frozenset()
    """Finite and positive: the magnitudes of floating literals."""
    whole: frozenset[int] = frozenset()
    """Positive: the magnitudes of whole numbers that something is compared with."""
    words: frozenset[int] = frozenset()
    """Of 64 bits: whole numbers that may be a value's bits."""

    @classmethod
    def of(cls, module: Module) -> Numbers:
        """Of all entries of a PTX module and its variables."""
        floats, whole, words = set[float](), set[int](), set[int]()
        for instr, item in _immediates(module):
            if item.type in ("f32", "f64"):
                floats.add(abs(floating(item)))
            elif instr.opcode in TAKING_BITS:
                words.add(item.bits)
                whole |= {abs(signed(item.bits, 64))} if instr.opcode in COMPARING else set()
        for variable in module.variables:
            if variable.init is not None and variable.size <= TABLE:
                words |= {int(word) for word in np.frombuffer(variable.init[: variable.size // 4 * 4], "<u4")}
        return cls._of(floats, whole, words)

    @classmethod
    def passed(cls, *values: float) -> Numbers:
        """Of arguments: floating numbers, and whole ones that may be values or their bits."""
        whole = {value for value in values if isinstance(value, int)}
        floats = {abs(value) for value in values if not isinstance(value, int)}
        return cls._of(floats, {abs(value) for value in whole}, {wrap(value, 64) for value in whole})

    @classmethod
    def _of(cls, floats: Collection[float], whole: Collection[int], words: Collection[int]) -> Numbers:
        return cls(
            frozenset(item for item in floats if 0 < item < float("inf")),
            frozenset(item for item in whole if 1 < item < WHOLE),
            frozenset(words),
        )

    def __or__(self, other: Numbers) -> Numbers:
        return Numbers(self.floats | other.floats, self.whole | other.whole, self.words | other.words)

    def bands(self, dtype: DType) -> tuple[list[Floats], list[Floats]]:
        """Magnitudes that an input of a floating dtype may have, rising: those that are written as floating numbers,
        and those that whole ones mean or whose square is written. Each array spans a factor of BAND at most, so that
        none drowns among the rest.
        """
        literals = _rounded([*self.floats], dtype)
        roots = [item**0.5 for item in self.floats]
        others = _rounded([*self.whole, *self._as_bits(dtype), *roots], dtype)
        return _bands(literals), _bands(np.setdiff1d(others, literals))

    def _as_bits(self, dtype: DType) -> list[float]:
        words = np.array(sorted(self.words), np.uint64)
        halves = (words[:, None] >> np.array([0, 16], np.uint64)).astype(np.uint16)
        views: dict[DType, Callable[[], NDArray[Any]]] = {
            DType.FLOAT16: lambda: halves.view(np.float16),
            DType.BFLOAT16: lambda: (halves.astype(np.uint32) << 16).view(np.float32),
            DType.FLOAT32: lambda: words.astype(np.uint32).view(np.float32),
            DType.FLOAT64: lambda: words.view(np.float64),
        }
        with np.errstate(invalid="ignore"):  # NaN
            values = views[dtype]().astype(np.float64) if dtype in views else np.empty(0)
        sizes = np.abs(values.reshape(-1))
        return [float(size) for size in sizes[(sizes >= PLAUSIBLE[0]) & (sizes <= PLAUSIBLE[1])]]


def _rounded(values: list[float], dtype: DType) -> Floats:
    sizes = np.array(values, np.float64)
    rounded = np.unique(widened(narrowed(sizes[sizes <= finite_limit(dtype)], dtype)))
    return rounded[rounded > 0]


def _bands(sizes: Floats) -> list[Floats]:
    found = list[Floats]()
    while sizes.size:
        count = int(np.searchsorted(sizes, BAND * sizes[0], side="right"))
        found.append(sizes[:count])
        sizes = sizes[count:]
    return found


def _immediates(module: Module) -> Iterator[tuple[Instr, Immediate]]:
    for entry in module.entries:
        for instr in entry.instructions:
            for operand in instr.operands:
                if isinstance(operand, Immediate):
                    yield instr, operand
