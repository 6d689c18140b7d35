"""What memory holds that nobody has written, in a call on the emulator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType

_MANTISSA = {DType.FLOAT64: 52, DType.FLOAT32: 23, DType.FLOAT16: 10, DType.BFLOAT16: 7}
"""Its bits, by format."""
_LEAST = {0: -1, 1: 9, -1: 6}
"""Exponent of two by sign. Those of one sign are no mirror of the other's: a product of two of them must differ too."""


def random_bytes(draw: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Bytes of any value, drawn eight at a time."""
    return draw.integers(0, 1 << 64, -(-size // 8), np.uint64).view(np.uint8)[:size]


def floating_junk(dtype: DType, size: int, sign: int, seed: int) -> NDArray[np.uint8]:
    """Floating values that nobody takes for results: of either sign near one, lest a kernel that passes over zeros have
    nothing to do, or large ones of one sign.

    Args:
        dtype: A floating one.
        size: Bytes.
        sign: 1, -1, or 0 for either.
        seed: What is drawn differs for each, and for each sign.
    """
    draw = np.random.default_rng([seed, 1 << _LEAST[sign] if sign else 0])
    if dtype.itemsize == 1:  # exponents of both eight-bit formats: about one, or the upper ones
        low, mark = (0x60, 0x80 * (sign < 0)) if sign else (0x38, 0)
        return draw.integers(low, low + 8, size, np.uint8) | np.uint8(mark)
    # A drawn mantissa, and a drawn sign where it is open, beside the exponent.
    width = 8 * dtype.itemsize
    word, mantissa = np.dtype(f"u{dtype.itemsize}"), _MANTISSA[dtype]
    bias = (1 << (width - mantissa - 2)) - 1
    kept = (1 << mantissa) - 1 | (0 if sign else 1 << (width - 1))
    put = (bias + _LEAST[sign]) << mantissa | (1 << (width - 1) if sign < 0 else 0)
    words = random_bytes(draw, size).view(word)
    words &= word.type(kept)
    words |= word.type(put)
    return words.view(np.uint8)
