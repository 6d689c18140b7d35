"""Which compiler a language has here, without starting it."""

from __future__ import annotations

import importlib.metadata

from warpsmith.core.errors import ToolchainError
from warpsmith.sandbox.compile.toolchain import find_toolchain


def present_compiler(language: str) -> str:
    """`nvrtc 13.0.88` or `triton 3.7.1`, as `Artifact.toolchain` would say.

    Raises:
        ToolchainError: it is not installed.
    """
    if language == "cuda":
        return find_toolchain().name
    try:
        return f"triton {importlib.metadata.version('triton')}"
    except importlib.metadata.PackageNotFoundError as error:
        raise ToolchainError("Triton is not installed.", remedy="pip install triton") from error
