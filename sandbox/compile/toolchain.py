"""Where NVRTC, the SDK's headers and our prelude are, and which release they make up."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from warpsmith.core.digest import digest_text
from warpsmith.core.errors import ToolchainError

_REMEDY = "Install warpsmith's dependencies again: `pip install --force-reinstall warpsmith`."
PRELUDE = Path(__file__).parent / "prelude"


@dataclass(frozen=True, slots=True)
class CudaToolchain:
    library: Path
    """libnvrtc.so"""
    builtins: tuple[Path, ...]
    """Libraries NVRTC needs loaded before it compiles."""
    include: tuple[Path, ...]
    """The prelude's folder first, so that its small standard headers stand in for those NVRTC lacks."""
    version: str
    """`13.0.88`"""
    prelude_digest: str
    """Digest of all headers of the prelude: a change of theirs is a change of the compiler."""

    @property
    def name(self) -> str:
        return f"nvrtc {self.version}"


@cache
def find_toolchain() -> CudaToolchain:
    """Locate the CUDA 13 wheels beside this interpreter.

    Raises:
        ToolchainError: a wheel is missing.
    """
    spec = importlib.util.find_spec("nvidia")
    roots = [Path(place) / "cu13" for place in (spec.submodule_search_locations or ())] if spec else []
    for root in roots:
        libraries = sorted((root / "lib").glob("libnvrtc.so.*"))
        builtins = tuple(sorted((root / "lib").glob("libnvrtc-builtins.so.*")))
        headers = root / "include"
        if libraries and (headers / "cuda_fp16.h").exists():
            _require(headers / "crt" / "mma.h", "nvidia-cuda-crt")
            _require(headers / "cccl" / "cuda" / "std", "nvidia-cuda-cccl")
            return CudaToolchain(
                libraries[-1], builtins, (PRELUDE, headers, headers / "cccl"), _version(), _prelude_digest()
            )
    raise ToolchainError("The CUDA compiler NVRTC 13 is not installed.", remedy=_REMEDY)


def _require(path: Path, wheel: str) -> None:
    if not path.exists():
        raise ToolchainError(f"The headers of {wheel} are not installed ({path} is missing).", remedy=_REMEDY)


def _version() -> str:
    try:
        return importlib.metadata.version("nvidia-cuda-nvrtc")
    except importlib.metadata.PackageNotFoundError as error:
        raise ToolchainError("The package nvidia-cuda-nvrtc has no metadata.", remedy=_REMEDY) from error


def _prelude_digest() -> str:
    headers = sorted(path for path in PRELUDE.rglob("*") if path.is_file())
    texts = [f"{path.relative_to(PRELUDE)}\n{path.read_text()}" for path in headers]
    if not texts:
        raise ToolchainError(f"The prelude's headers are missing from {PRELUDE}.", remedy=_REMEDY)
    return digest_text("\0".join(texts))
