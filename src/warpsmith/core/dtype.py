"""Element types of tensors and buffers: one row each."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np


class _Facts(NamedTuple):
    itemsize: int
    c_type: str
    storage: str
    floating: bool


class DType(StrEnum):
    """An element type, named as PyTorch names it."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT8_E4M3 = "float8_e4m3fn"
    FLOAT8_E5M2 = "float8_e5m2"
    INT64 = "int64"
    INT32 = "int32"
    INT16 = "int16"
    INT8 = "int8"
    UINT8 = "uint8"
    BOOL = "bool"

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return _FACTS[self].itemsize

    @property
    def c_type(self) -> str:
        """The CUDA C++ element type a kernel's pointer parameter has."""
        return _FACTS[self].c_type

    @property
    def storage(self) -> np.dtype[np.generic]:
        """The numpy type that carries the bits; bfloat16 and float8 travel as unsigned integers."""
        return np.dtype(_FACTS[self].storage)

    @property
    def is_floating(self) -> bool:
        return _FACTS[self].floating


_FACTS: dict[DType, _Facts] = {
    DType.FLOAT64: _Facts(8, "double", "float64", True),
    DType.FLOAT32: _Facts(4, "float", "float32", True),
    DType.FLOAT16: _Facts(2, "__half", "float16", True),
    DType.BFLOAT16: _Facts(2, "__nv_bfloat16", "uint16", True),
    DType.FLOAT8_E4M3: _Facts(1, "__nv_fp8_e4m3", "uint8", True),
    DType.FLOAT8_E5M2: _Facts(1, "__nv_fp8_e5m2", "uint8", True),
    DType.INT64: _Facts(8, "long long", "int64", False),
    DType.INT32: _Facts(4, "int", "int32", False),
    DType.INT16: _Facts(2, "short", "int16", False),
    DType.INT8: _Facts(1, "signed char", "int8", False),
    DType.UINT8: _Facts(1, "unsigned char", "uint8", False),
    DType.BOOL: _Facts(1, "bool", "bool", False),
}
