"""Where NVRTC, the SDK's headers and our prelude are, and which release they make up."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from warpsmith.core.digest import digest_text
from warpsmith.core.errors import ToolchainError

_REMEDY = (
    "Install warpsmith's dependencies again: `pip install --force-reinstall warpsmith`; a CUDA 13 toolkit in "
    "/usr/local/cuda or with its nvcc in PATH serves as well."
)
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
    """Locate CUDA 13's wheels beside this interpreter, else an installed toolkit, else a library and headers of both.

    Raises:
        ToolchainError: NVRTC or a header it needs is missing.
    """
    spec = importlib.util.find_spec("nvidia")
    wheels = [Path(place) / "cu13" for place in (spec.submodule_search_locations or ())] if spec else []
    return choose_toolchain([*wheels, *_toolkits()])


def choose_toolchain(roots: Sequence[Path]) -> CudaToolchain:
    """The first NVRTC under `roots` for which headers of its own release are under one of them, its own first.

    Raises:
        ToolchainError: there is none; says what the nearest one lacks.
    """
    lacking = ""
    for root in roots:
        library = _library(root)
        if library is None:
            continue
        release = _version(library)
        for folder in [headers for other in (root, *roots) for headers in _folders(other, "include")]:
            missing = _missing(folder, release)
            if not missing:
                builtins = tuple(sorted(library.parent.glob("libnvrtc-builtins.so.*")))
                return CudaToolchain(library, builtins, (PRELUDE, folder, folder / "cccl"), release, _prelude_digest())
            lacking = lacking or f"NVRTC {release} is there; {missing}"
    raise ToolchainError(lacking or "The CUDA compiler NVRTC 13 is not installed.", remedy=_REMEDY)


def _toolkits() -> list[Path]:
    """Where toolkits are installed: nvcc's own folder, and NVIDIA's packages' default."""
    nvcc = shutil.which("nvcc")
    found = [Path(nvcc).resolve().parents[1]] if nvcc else []
    found += [Path("/usr/local/cuda"), *sorted(Path("/usr/local").glob("cuda-13*"), reverse=True)]
    return [root for root in found if root.is_dir()]


def _folders(root: Path, *names: str) -> list[Path]:
    """The folders of these names in a wheel's or a toolkit's root."""
    targets = root / "targets" / f"{platform.machine()}-linux"
    return [place / name for place in (root, targets) for name in names if (place / name).is_dir()]


def _library(root: Path) -> Path | None:
    found = [path for folder in _folders(root, "lib", "lib64") for path in folder.glob("libnvrtc.so.13*")]
    return max(found, key=lambda path: (len(path.name), path.name), default=None)


def _missing(headers: Path, release: str) -> str:
    """What keeps these headers from serving; empty where nothing does."""
    parts = (
        ("cuda_fp16.h", "nvidia-cuda-runtime"),
        ("crt/mma.h", "nvidia-cuda-crt"),
        ("cccl/cuda/std", "nvidia-cuda-cccl"),
    )
    for part, wheel in parts:
        if not (headers / part).exists():
            return f"{headers / part} of {wheel} is missing"
    found = re.search(
        r"#define\s+CUDART_VERSION\s+(\d+)", (headers / "cuda_runtime_api.h").read_text("utf-8", "replace")
    )
    number = int(found.group(1)) if found else 0
    theirs = f"{number // 1000}.{number % 1000 // 10}"
    return "" if release.startswith(f"{theirs}.") else f"the headers in {headers} are of CUDA {theirs}"


def _version(library: Path) -> str:
    """The release: a wheel's version, else what a toolkit's file is called or its `version.json` says."""
    with suppress(importlib.metadata.PackageNotFoundError):
        wheel = importlib.metadata.distribution("nvidia-cuda-nvrtc")
        # Where the wheel lies, which need not be this interpreter's own folder: a venv may see another's packages.
        if library.resolve().is_relative_to(Path(str(wheel.locate_file(""))).resolve()):
            return wheel.version
    named = re.search(r"\.so\.(\d+\.\d+\.\d+)$", library.resolve().name)
    if named:
        return named.group(1)
    for root in library.resolve().parents[:4]:
        if (root / "version.json").is_file():
            listed = json.loads((root / "version.json").read_text())
            return str(listed.get("cuda_nvrtc", listed.get("cuda", {})).get("version", "13"))
    return "13"


def _prelude_digest() -> str:
    headers = sorted(path for path in PRELUDE.rglob("*") if path.is_file())
    texts = [f"{path.relative_to(PRELUDE)}\n{path.read_text()}" for path in headers]
    if not texts:
        raise ToolchainError(f"The prelude's headers are missing from {PRELUDE}.", remedy=_REMEDY)
    return digest_text("\0".join(texts))
