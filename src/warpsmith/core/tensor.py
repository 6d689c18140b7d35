"""A tensor as bytes with a shape and an element type: what crosses between processes and into a launcher."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType


@dataclass(frozen=True, slots=True, weakref_slot=True)
class HostTensor:
    """A contiguous tensor in host memory. The elements of one that is a launcher's input never change any more."""

    dtype: DType
    shape: tuple[int, ...]
    array: NDArray[Any]
    """`shape`-shaped, C-contiguous, of `dtype.storage`."""

    def __post_init__(self) -> None:
        if self.array.dtype != self.dtype.storage or self.array.shape != self.shape:
            raise ValueError(f"{self.dtype} of shape {self.shape} cannot hold {self.array.dtype} {self.array.shape}")
        if not self.array.flags.c_contiguous:
            raise ValueError("a HostTensor is contiguous")

    @property
    def bytes(self) -> NDArray[np.uint8]:
        """The elements as a flat array of bytes that shares their memory."""
        return self.array.reshape(-1).view(np.uint8)

    @property
    def bits(self) -> NDArray[np.unsignedinteger]:
        """The elements as a flat array of unsigned integers, one each, that shares their memory."""
        whole: NDArray[np.unsignedinteger] = self.bytes.view(f"u{self.dtype.itemsize}")
        return whole

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    @classmethod
    def from_bytes(cls, dtype: DType, shape: tuple[int, ...], data: NDArray[np.uint8]) -> HostTensor:
        """Read `data` (flat bytes, shared) as a tensor."""
        return cls(dtype, shape, data.view(dtype.storage).reshape(shape))
