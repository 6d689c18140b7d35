"""CUDA C++ or Triton to PTX, cubin and resources, in a child process that sees nothing but its compiler."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warpsmith.sandbox.compile.cache import CompileCache
    from warpsmith.sandbox.compile.jail import CompileLimits
    from warpsmith.sandbox.compile.nvrtc import ARCHITECTURES, compile_cuda
    from warpsmith.sandbox.compile.triton_compile import compile_triton
    from warpsmith.sandbox.compile.unit import Unit, compile_unit

__all__ = ["ARCHITECTURES", "CompileCache", "CompileLimits", "Unit", "compile_cuda", "compile_triton", "compile_unit"]

_HOMES = {
    "CompileCache": "cache",
    "CompileLimits": "jail",
    "ARCHITECTURES": "nvrtc",
    "compile_cuda": "nvrtc",
    "compile_triton": "triton_compile",
    "Unit": "unit",
    "compile_unit": "unit",
}


def __getattr__(name: str) -> Any:
    """Import on first use: to learn which compiler is here needs none of what running it needs."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
