"""Compiles a candidate by its own language's compiler."""

from __future__ import annotations

from typing import TypeAlias

from warpsmith.core.artifact import Artifact
from warpsmith.core.candidate import TranslationUnit
from warpsmith.core.kernel_file import TritonUnit
from warpsmith.core.outcome import CompileFailed
from warpsmith.sandbox.compile.cache import CompileCache
from warpsmith.sandbox.compile.jail import CompileLimits
from warpsmith.sandbox.compile.nvrtc import compile_cuda
from warpsmith.sandbox.compile.triton_compile import compile_triton
from warpsmith.sandbox.jail.levels import Level

Unit: TypeAlias = TranslationUnit | TritonUnit
"""What a candidate compiles from, in either language."""


def compile_unit(
    unit: Unit,
    arch: str,
    cache: CompileCache | None = None,
    limits: CompileLimits | None = None,
    level: Level | None = None,
) -> Artifact | CompileFailed:
    """Compile for `arch` (`sm_90a`) with the unit's own compiler.

    Raises:
        ToolchainError: the compiler is missing, or cannot compile even an empty kernel.
        StoreError: the cache cannot be read or written.
    """
    if isinstance(unit, TritonUnit):
        return compile_triton(unit, arch, cache, limits, level)
    return compile_cuda(unit, arch, cache, limits, level)
