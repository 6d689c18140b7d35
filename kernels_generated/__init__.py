"""Accepted kernels, and the small library that loads them.

from warpsmith.kernels_generated import load
gemm = load("w4a16_gemm")
y = gemm(x, qweight, scales)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warpsmith.kernels_generated.serving import (
        Kernel,
        OutsideDomainError,
        OutsideDomainWarning,
        RefusedKernelWarning,
        load,
    )

__all__ = ["Kernel", "OutsideDomainError", "OutsideDomainWarning", "RefusedKernelWarning", "load"]


def __getattr__(name: str) -> Any:
    """Import on first use: reading a library needs none of what running a kernel needs."""
    if name in __all__:
        from warpsmith.kernels_generated import serving

        return getattr(serving, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
