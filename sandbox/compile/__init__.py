"""CUDA C++ to PTX, cubin and resources, in a child process that sees nothing but the SDK's headers."""

from warpsmith.sandbox.compile.cache import CompileCache
from warpsmith.sandbox.compile.jail import CompileLimits
from warpsmith.sandbox.compile.nvrtc import ARCHITECTURES, compile_cuda

__all__ = ["ARCHITECTURES", "CompileCache", "CompileLimits", "compile_cuda"]
