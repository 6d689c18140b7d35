"""What this machine and installation have and lack, each with a remedy."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from warpsmith.core.errors import DeviceError, WarpsmithError
from warpsmith.gpus import Trouble, architecture_of, find_gpus, why_unknown
from warpsmith.profiler.nvml import driver_version
from warpsmith.settings import Settings, api_keys

if TYPE_CHECKING:
    from warpsmith.sandbox.device.messages import DeviceInfo

OLDEST_PYTHON = (3, 11)
CUDA_SERIES = "13.0."
"""The toolkit series that torch pins; compiler output of a newer one may not load on a user's driver."""


_EMULATED = "Kernels run on the emulator and times are modelled."


class State(StrEnum):
    """What was found."""

    OK = "ok"
    WARNING = "warning"
    """Works, with something less."""
    MISSING = "missing"


class Finding(BaseModel, frozen=True, extra="forbid"):
    """One line of the report."""

    name: str
    state: State
    detail: str
    remedy: str = ""
    needed: bool = False
    """Without it the emulator path does not work."""


def examine(settings: Settings) -> tuple[Finding, ...]:
    """Look at everything; takes a few seconds, most of them importing torch."""
    return (*(probe() for probe in _PROBES), _gpu(settings), _store(settings), _library(settings), _cache(settings))


def works(findings: tuple[Finding, ...]) -> bool:
    """Whether kernels can be compiled and emulated here."""
    return all(item.state is not State.MISSING for item in findings if item.needed)


def _python() -> Finding:
    found = ".".join(str(part) for part in sys.version_info[:3])
    good = sys.version_info[:2] >= OLDEST_PYTHON
    return Finding(name="python", state=State.OK if good else State.MISSING, detail=found, needed=True)


def _machine() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    enough = memory >= 4
    return Finding(
        name="machine",
        state=State.OK if enough else State.WARNING,
        detail=f"{cores} cores, {memory:.1f} GiB memory",
        remedy="" if enough else "Large bench workloads need 4 GiB.",
    )


def _vm() -> Finding:
    from warpsmith.sandbox.emulator.vm.bindings import VmNotBuilt, isa_names

    try:
        sets = isa_names()
    except (VmNotBuilt, OSError) as error:
        remedy = "Rebuild it: make setup, or pip install -e . (needs a C++17 compiler)."
        return Finding(name="emulator", state=State.MISSING, detail=str(error), remedy=remedy, needed=True)
    others = f"; also {', '.join(sets[1:])}" if sets[1:] else ""
    return Finding(name="emulator", state=State.OK, detail=f"VM runs {sets[0]}{others}", needed=True)


def _nvrtc() -> Finding:
    """The compiler and its headers, from wheels or from a toolkit."""
    from warpsmith.sandbox.compile.toolchain import find_toolchain

    wheels = ("nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "nvidia-cuda-crt", "nvidia-cuda-cccl")
    remedy = "pip install " + " ".join(f"'{name}=={CUDA_SERIES}*'" for name in wheels)
    try:
        found = find_toolchain()
    except WarpsmithError as error:
        return Finding(name="nvrtc", state=State.MISSING, detail=error.message, remedy=remedy, needed=True)
    good = found.version.startswith(CUDA_SERIES)
    detail = f"{found.version} in {found.library.parent}, headers in {found.include[1]}"
    if good:
        return Finding(name="nvrtc", state=State.OK, detail=detail, needed=True)
    detail += f"; {CUDA_SERIES}* is what warpsmith is tried with"
    return Finding(name="nvrtc", state=State.WARNING, detail=detail, remedy=remedy, needed=True)


def _compile() -> Finding:
    """Compile the smallest kernel that needs the toolkit's headers."""
    from warpsmith.core.candidate import TranslationUnit
    from warpsmith.core.outcome import CompileFailed
    from warpsmith.sandbox.compile import compile_cuda

    text = "#include <cuda_fp16.h>\n__global__ void probe(__half* y) { y[threadIdx.x] = __float2half(1.0f); }\n"
    unit = TranslationUnit(text=text, preamble="", appendix="", names=("probe",))
    try:
        result = compile_cuda(unit, "sm_90a")
    except WarpsmithError as error:
        return Finding(name="compile", state=State.MISSING, detail=error.message, remedy=error.remedy, needed=True)
    if isinstance(result, CompileFailed):
        return Finding(name="compile", state=State.MISSING, detail=result.message, needed=True)
    return Finding(name="compile", state=State.OK, detail=f"sm_90a by {result.toolchain.compiler}", needed=True)


def _jail() -> Finding:
    """The best level, what it leaves open, and why there is no better one."""
    from warpsmith.sandbox.jail.levels import choose, survey

    found, best = survey(), choose()
    left = f"; leaves open: {', '.join(found[best].open)}" if found[best].open else ""
    missing = [f"{probe.level}: {probe.why}" for probe in found.values() if probe.level.rank < best.rank]
    return Finding(
        name="jail",
        state=State.WARNING if missing else State.OK,
        detail=f"{best} ({found[best].why}){left}",
        remedy="; ".join(missing),
    )


def _torch() -> Finding:
    if find_spec("torch") is None:
        remedy = "pip install torch"
        return Finding(name="torch", state=State.MISSING, detail="not installed", remedy=remedy, needed=True)
    import torch

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    return Finding(name="torch", state=State.OK, detail=f"{torch.__version__}, {built}", needed=True)


def _triton() -> Finding:
    found = _installed("triton")
    if found is None:
        return Finding(
            name="triton", state=State.WARNING, detail="not installed: no Triton kernels", remedy="pip install triton"
        )
    return Finding(name="triton", state=State.OK, detail=found)


def _gpu(settings: Settings) -> Finding:
    try:
        found = find_gpus(settings)
    except DeviceError as error:
        return Finding(name="gpu", state=State.WARNING, detail=f"{error.message} {_EMULATED}", remedy=error.remedy)
    if isinstance(found, Trouble):
        return Finding(name="gpu", state=State.WARNING, detail=f"{found.message} {_EMULATED}", remedy=found.remedy)
    unknown = [device for device in found if architecture_of(device) is None]
    detail = "; ".join(_described(device) for device in found) + (
        f"; driver {version}" if (version := driver_version()) else ""
    )
    if not unknown:
        return Finding(name="gpu", state=State.OK, detail=detail)
    return Finding(
        name="gpu",
        state=State.WARNING,
        detail=f"{detail}. {_EMULATED}" if len(unknown) == len(found) else detail,
        remedy=f"{'; '.join(why_unknown(device) for device in unknown)}: it is not used.",
    )


def _described(device: DeviceInfo) -> str:
    major, minor = device.capability
    kind = ", a MIG instance" if device.uuid.startswith("MIG-") else ""
    lacks = [
        *([] if device.virtual_memory else ["no guard pages"]),
        *(["kernels reach host memory"] if device.pageable_memory else []),
        *(["the display's watchdog ends long kernels"] if device.watchdog else []),
    ]
    more = f" ({', '.join(lacks)})" if lacks else ""
    size = f"{device.memory_bytes / 2**30:.0f} GiB"
    return f"{device.name}{kind}, {major}.{minor}, {device.sms} SMs, {size}, {device.uuid}{more}"


def _on_path(tool: str, purpose: str) -> Callable[[], Finding]:
    def probe() -> Finding:
        found = shutil.which(tool)
        if found:
            return Finding(name=tool, state=State.OK, detail=found)
        return Finding(name=tool, state=State.WARNING, detail=f"not in PATH: {purpose}")

    return probe


def _keys() -> Finding:
    found = api_keys()
    if found:
        return Finding(name="api keys", state=State.OK, detail=f"{', '.join(found)} set")
    return Finding(
        name="api keys",
        state=State.WARNING,
        detail="none set: the builtin coder serves",
        remedy="Set ANTHROPIC_API_KEY or OPENAI_API_KEY to let a model write kernels.",
    )


def _store(settings: Settings) -> Finding:
    return _writable("store", settings.store.parent, settings.store, "--store FILE or WARPSMITH_STORE", needed=True)


def _library(settings: Settings) -> Finding:
    return _writable("library", settings.library, settings.library, "--library DIR or WARPSMITH_LIBRARY", needed=True)


def _cache(settings: Settings) -> Finding:
    return _writable("cache", settings.cache, settings.cache, "WARPSMITH_CACHE", needed=False)


def _writable(name: str, folder: Path, shown: Path, choice: str, *, needed: bool) -> Finding:
    """Try a file where files will go: in the folder, or in the nearest one above it that exists."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        detail = f"{shown} cannot be written: {error.strerror}"
        state = State.MISSING if needed else State.WARNING
        return Finding(name=name, state=state, detail=detail, remedy=f"Choose another: {choice}.", needed=needed)
    return Finding(name=name, state=State.OK, detail=str(shown), needed=needed)


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


_PROBES: tuple[Callable[[], Finding], ...] = (
    _python,
    _machine,
    _vm,
    _nvrtc,
    _compile,
    _torch,
    _triton,
    _on_path("ncu", "no Nsight Compute metrics"),
    _on_path("compute-sanitizer", "no memory checks on a GPU"),
    _jail,
    _keys,
)
